// Package gates runs boltgate itself for tests: the program, built once for a test binary, as a process of its own.
//
//	g := gates.Start(t, config, "NEO4J_CHECK_PASSWORD="+password) // config may hold BIND in place of the address
//	… g.Address …
//
// The process ends with its test, by SIGTERM, and must end well; when the test failed, the end of its log is printed.
package gates

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/loopback"
)

// endTime is what a gate gets to end after SIGTERM before it is killed: more than its shutdown.timeout.
const endTime = 45 * time.Second

// Program is the path of the program, built from this source.
var Program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "boltgate-test")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "boltgate")
	build := exec.Command("go", "build", "-o", bin, "github.com/boltgate/boltgate/cmd/boltgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building boltgate: %w\n%s", err, out)
	}
	return bin, nil
})

// Gate is a boltgate that runs.
type Gate struct {
	Address string // host:port, where it listens
	Config  string // path of its file

	t       testing.TB
	process *os.Process
	ended   chan error
	log     log
}

// log keeps what the gate prints.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Start runs boltgate with a configuration until the test ends, and returns without waiting until it listens. config may hold
// BIND in place of an address, which is reserved then; env adds to the environment.
func Start(t testing.TB, config string, env ...string) *Gate {
	t.Helper()
	bin, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{t: t, Address: loopback.Reserve(t), ended: make(chan error, 1)}
	g.Config = filepath.Join(t.TempDir(), "boltgate.yaml")
	if err := os.WriteFile(g.Config, []byte(strings.ReplaceAll(config, "BIND", g.Address)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "-c", g.Config)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &g.log, &g.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.process = cmd.Process
	go func() { g.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("the gate's log:\n%s", tail(g.Log(), 8000))
		}
	})
	return g
}

// Log is what the gate has printed so far.
func (g *Gate) Log() string { return g.log.String() }

// PID is the gate's process id.
func (g *Gate) PID() int { return g.process.Pid }

// Stop ends the gate by SIGTERM; it must end by itself, and well. A gate that was stopped stays so.
func (g *Gate) Stop() {
	if g.process == nil {
		return
	}
	if err := g.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		g.t.Error(err)
	}
	select {
	case err := <-g.ended:
		if err != nil {
			g.t.Errorf("the gate ended with %v", err)
		}
	case <-time.After(endTime):
		g.process.Kill() //nolint:errcheck // it may have ended
		g.t.Errorf("the gate did not end within %v of SIGTERM", endTime)
	}
	g.process = nil
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
