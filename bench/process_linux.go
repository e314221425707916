package bench

// This file owns what is asked of Linux: a process's CPU time and memory, and the core it runs on.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// tick is the unit of CPU time in /proc: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// processCPU returns the user and system time that a process has used, all its threads together (proc(5), stat fields 14 and 15), in steps of 10 ms.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // begins with field 3
	if len(fields) < 13 {
		return 0, fmt.Errorf("bench: /proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machineSteal reads the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal, all since the machine started.
func machineSteal() (s steal) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return steal{}
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	for i := 1; i < min(len(f), 9); i++ {
		n, _ := strconv.ParseUint(f[i], 10, 64) //nolint:errcheck // what is no number counts as none
		s.all += n
		if i == 8 {
			s.stolen = n
		}
	}
	return s
}

// processMemory returns a process's resident and proportional set size in bytes.
func processMemory(pid int) (rss, pss int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64) //nolint:errcheck // the first line is no number, and is not asked for
		switch f[0] {
		case "Rss:":
			rss = n << 10
		case "Pss:":
			pss = n << 10
		}
	}
	return rss, pss, nil
}

// startOn starts a process on one core (any when core is negative). It gets SIGTERM when this process ends.
func startOn(cmd *exec.Cmd, core int) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if core < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread() // a child inherits the affinity of the thread that starts it
	defer runtime.UnlockOSThread()
	var old cpuSet
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, &old); err != nil {
		return err
	}
	var one cpuSet
	one[core/64] = 1 << (core % 64)
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, &one); err != nil {
		return fmt.Errorf("bench: core %d: %w", core, err)
	}
	err := cmd.Start()
	return errors.Join(err, affinity(syscall.SYS_SCHED_SETAFFINITY, &old))
}

// cpuSet has a bit for each of 1024 cores.
type cpuSet [16]uint64

func affinity(call uintptr, set *cpuSet) error {
	_, _, errno := syscall.RawSyscall(call, 0, unsafe.Sizeof(*set), uintptr(unsafe.Pointer(set)))
	if errno != 0 {
		return errno
	}
	return nil
}
