//go:build linux

package proxy

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/boltgate/boltgate/test/loopback"
)

// This file owns gates that are processes of their own: `boltgate run`, built for the test, and what Linux says about
// their memory.

// buildGate builds the program and returns its path.
func buildGate(t *testing.T) string {
	program := filepath.Join(t.TempDir(), "boltgate")
	build := exec.Command("go", "build", "-o", program, "github.com/boltgate/boltgate/cmd/boltgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the gate: %v\n%s", err, out)
	}
	return program
}

// gateProcess is such a gate.
type gateProcess struct {
	address string
	cmd     *exec.Cmd
	output  bytes.Buffer // read only after the process ended
	before  int64        // resident bytes when the measuring began
}

const gateFile = `
frontends: [{name: main, bind: %q}]
cluster:
  generation: standalone
  members: [{name: s1, bolt: %q, http: %q}]
log: {level: warn}
`

// startGateProcess starts a gate with defaults before one member. It ends with the test.
func startGateProcess(t testing.TB, program, bolt, http string) *gateProcess {
	t.Helper()
	g := &gateProcess{address: loopback.Reserve(t)}
	file := filepath.Join(t.TempDir(), "boltgate.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, gateFile, g.address, bolt, http), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cmd = exec.Command(program, "run", "-c", file)
	g.cmd.Stderr = &g.output
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GO") { // GOGC and the like are not what the defaults are about
			g.cmd.Env = append(g.cmd.Env, v)
		}
	}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.end(t) })
	waitFor(t, "the gate listens", func() bool {
		conn, err := net.Dial("tcp", g.address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return g
}

func (g *gateProcess) end(t testing.TB) {
	g.cmd.Process.Kill() //nolint:errcheck // it may have ended
	g.cmd.Wait()         //nolint:errcheck // it was killed
	if t.Failed() && g.output.Len() > 0 {
		t.Logf("the gate said:\n%s", g.output.Bytes())
	}
}

// begin notes how much is resident, and makes the peak start from there (proc(5), clear_refs).
func (g *gateProcess) begin(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Skipf("a process's peak of memory cannot be reset here: %v", err)
	}
	g.before = g.status(t, "VmRSS:")
}

// rise is how far resident memory has been above what it was at begin, at its peak.
func (g *gateProcess) rise(t testing.TB) int64 {
	t.Helper()
	return g.status(t, "VmHWM:") - g.before
}

// status reads a size from the process's status (proc(5)), in bytes.
func (g *gateProcess) status(t testing.TB, key string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no %s in a process's status; has it ended?", key)
	return 0
}
