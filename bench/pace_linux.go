package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// onTime is how far from its time an operation of the open loop may start.
const onTime = 100 * time.Microsecond

// keepTime keeps the runtime's timers on time until stop is called. While a process has nothing to do the runtime sleeps in
// whole milliseconds (epoll's unit), so that operations that are due within one would all start together: the offered load
// would come in bursts, and the bursts' queue would be measured instead of the proxy. A timer of the kernel's that the runtime
// polls wakes it in time (timerfd_create(2)). Without one the timers are as they are.
func keepTime() (stop func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return func() {}
	}
	each := unix.NsecToTimespec(int64(onTime))
	unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: each, Value: each}, nil) //nolint:errcheck // shows in the times
	timer := os.NewFile(uintptr(fd), "timer")
	go func() {
		var expired [8]byte
		for {
			if _, err := timer.Read(expired[:]); err != nil {
				return // closed
			}
		}
	}()
	return func() { timer.Close() }
}
