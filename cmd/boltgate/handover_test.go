//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// asProgram makes this test binary boltgate itself, and otherFormats one whose successor knows no format of clients that this one
// knows; see TestMain.
const (
	asProgram    = "BOLTGATE_TEST_PROGRAM"
	otherFormats = "BOLTGATE_TEST_FORMATS"
)

// gateProcess is boltgate as a process of its own, with its successors, in front of stand-in members.
type gateProcess struct {
	*testDaemon
	cmd *exec.Cmd
}

// startGate starts boltgate and waits until it knows the leader.
func startGate(t *testing.T, o standin.Options, more string, env ...string) *gateProcess {
	t.Helper()
	d, _ := newTestDaemonWith(t, o)
	d.more = more
	return startGateOf(t, d, env...)
}

func startGateOf(t *testing.T, d *testDaemon, env ...string) *gateProcess {
	t.Helper()
	d.write(d.address)
	cmd := exec.Command(os.Args[0], "run", "-c", d.file)
	cmd.Env = env
	return startCommand(t, d, cmd)
}

// startCommand starts a boltgate, with an environment that is added to this process's own.
func startCommand(t *testing.T, d *testDaemon, cmd *exec.Cmd) *gateProcess {
	t.Helper()
	g := &gateProcess{testDaemon: d, cmd: cmd}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), cmd.Env...)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var reading sync.WaitGroup
	reading.Go(func() { // ends when the last process has
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if testing.Verbose() {
				fmt.Print(line)
			}
			g.log.text <- line
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it has ended
		cmd.Wait()         //nolint:errcheck // killed
		reading.Wait()
		r.Close()
	})
	g.log.await(t, "role changed")
	return g
}

// handOver makes the process hand over, and returns its successor, which ends with the test.
func (g *gateProcess) handOver(from int) (successor int) {
	g.t.Helper()
	return g.handedOver(from, g.log.await)
}

// takeOver is handOver, and waits until the successor says that it took over: the two processes' lines come in either order.
func (g *gateProcess) takeOver(from int) (successor int) {
	g.t.Helper()
	return g.handedOver(from, func(t *testing.T, texts ...string) string {
		line := g.log.await(t, append(texts, `"took over"`)...)
		if strings.Contains(line, `"took over"`) {
			return g.log.await(t, texts...)
		}
		if strings.Contains(line, `"handed over`) {
			g.log.await(t, `"took over"`)
		}
		return line
	})
}

func (g *gateProcess) handedOver(from int, await func(t *testing.T, texts ...string) string) (successor int) {
	g.t.Helper()
	if err := syscall.Kill(from, syscall.SIGUSR2); err != nil {
		g.t.Fatal(err)
	}
	line := await(g.t, `"handed over`, "successor does not serve")
	_, rest, ok := strings.Cut(line, `"pid":`)
	if !ok {
		g.t.Fatalf("no hand-over: %s", line)
	}
	text, _, _ := strings.Cut(rest, ",")
	successor, err := strconv.Atoi(text)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { syscall.Kill(successor, syscall.SIGKILL) }) //nolint:errcheck // it may have ended
	return successor
}

// ended waits for the first process, whose exit code has to be 0.
func (g *gateProcess) ended() {
	g.t.Helper()
	done := make(chan error, 1)
	go func() { done <- g.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			g.t.Errorf("the process that handed over ended with %v", err)
		}
	case <-time.After(time.Minute):
		g.t.Fatal("the process that handed over does not end")
	}
}

// connecting connects, logs on, writes and leaves, over and over, until stop; it returns how often, and what failed.
func (g *gateProcess) connecting(stop <-chan struct{}) (n int, err error) {
	for {
		select {
		case <-stop:
			return n, nil
		default:
		}
		if err := g.once(); err != nil {
			return n, err
		}
		n++
	}
}

func (g *gateProcess) once() error {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		return err
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
		return err
	}
	_, err = c.Query("CREATE (n) RETURN n", nil, nil)
	return err
}

func TestAHandOverLosesNoConnectionAndCutsNoTransaction(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	busy := g.dial(g.address)
	if _, err := busy.Ask(begin); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			if n, err := g.connecting(stop); err != nil {
				t.Errorf("after %d connections: %v", n, err)
			}
		})
	}
	time.Sleep(200 * time.Millisecond) // of work before
	successor := g.takeOver(g.cmd.Process.Pid)
	if successor == g.cmd.Process.Pid {
		t.Fatal("it is its own successor")
	}
	time.Sleep(200 * time.Millisecond) // and after
	if _, err := busy.Ask(commit); err != nil {
		t.Errorf("COMMIT of a transaction that was open during the hand-over: %v", err)
	}
	busy.Conn.Close()
	g.ended()
	if err := g.once(); err != nil {
		t.Errorf("after the first process has ended: %v", err)
	}
	close(stop)
	clients.Wait()
}

func TestASuccessorThatDoesNotStartChangesNothing(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	good, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"a file with a fault":        string(good) + "colour: red\n",
		"an address of another":      strings.Replace(string(good), g.address, g.taken(), 1),
		"members that do not answer": g.strangers(string(good)),
	} {
		if err := os.WriteFile(g.file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(g.cmd.Process.Pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		if line := g.log.await(t, `"handed over`, "successor does not serve"); !strings.Contains(line, "this process goes on") {
			t.Errorf("%s: %s", name, line)
		}
		if err := g.once(); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
	if err := os.WriteFile(g.file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	g.handOver(g.cmd.Process.Pid)
	if err := g.once(); err != nil {
		t.Error(err)
	}
}

// taken is an address that somebody listens on.
func (g *gateProcess) taken() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// strangers is the configuration with members where nobody is.
func (g *gateProcess) strangers(text string) string {
	for _, m := range g.members {
		text = strings.NewReplacer(m.Bolt, loopback.Reserve(g.t), m.HTTP, loopback.Reserve(g.t)).Replace(text)
	}
	return text
}

func TestAProcessTakesBackTheSocketsOfASuccessorThatDies(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	for range 2 {
		successor := g.takeOver(g.cmd.Process.Pid)
		if err := syscall.Kill(successor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		g.log.await(t, "this process accepts again")
		if err := g.once(); err != nil {
			t.Errorf("after the successor was killed: %v", err)
		}
	}
}

// idleClients logs n clients on, each with a different tale to tell afterwards.
func (g *gateProcess) idleClients(n int) (all []*bolt.Client) {
	g.t.Helper()
	for range n {
		all = append(all, g.dial(g.address))
	}
	return all
}

// stillThere has each client read over its old connection.
func (g *gateProcess) stillThere(all []*bolt.Client, when string) {
	g.t.Helper()
	for i, c := range all {
		c.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
		if _, err := c.Query("MATCH (n) RETURN n", nil, nil); err != nil {
			g.t.Fatalf("idle client %d, %s: %v", i, when, err)
		}
	}
}

// writing writes over one connection, over and over, until stop.
func (g *gateProcess) writing(c *bolt.Client, stop <-chan struct{}) (n int, err error) {
	for {
		select {
		case <-stop:
			return n, nil
		default:
		}
		c.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
		if _, err := c.Query("CREATE (n) RETURN n", nil, nil); err != nil {
			return n, err
		}
		n++
	}
}

func TestIdleClientsAndBusyOnesNeverNoticeTwoHandOvers(t *testing.T) {
	t.Parallel()
	idle := 2000
	if testing.Short() {
		idle = 200
	}
	g := startGate(t, standin.Options{Seed: 1}, "")
	clients := g.idleClients(idle)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for i := range 4 {
		c := g.dial(g.address)
		busy.Go(func() {
			if n, err := g.writing(c, stop); err != nil {
				t.Errorf("writer %d, after %d writes: %v", i, n, err)
			}
		})
		busy.Go(func() {
			if n, err := g.connecting(stop); err != nil {
				t.Errorf("client %d, after %d connections: %v", i, n, err)
			}
		})
	}
	second := g.handOver(g.cmd.Process.Pid)
	g.ended() // all of them went: the open writers too
	g.stillThere(clients, "after a hand-over")
	third := g.handOver(second)
	g.gone(second)
	g.stillThere(clients, "after another")
	close(stop)
	busy.Wait()
	if err := syscall.Kill(third, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	g.log.await(t, `"shut down"`)
}

// gone waits until a process that is no child of this one is gone.
func (g *gateProcess) gone(pid int) {
	g.t.Helper()
	for limit := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			g.t.Fatalf("process %d does not end", pid)
		}
	}
}

// zombie tells whether the process has ended and nobody has asked how.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(text), ") Z ")
}
