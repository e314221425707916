package chaos

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the network of partitions: a process with network namespaces that nobody else sees, in which members have hosts of their own.
// Two bridges join them, one for clients (the gate and the harness are at it) and one for members among themselves. Links are cut by taking them
// down on the bridge's side; what is sent is dropped then, and nobody is told. All of it is gone when the process is, however it ends.

const inside = "BOLTGATE_CHAOS_INSIDE" // set in that process

// enterNetwork runs the present test again in a process of its own that has such a network, and says whether this is that process. Where the
// machine does not permit it the test is skipped, loudly, in CI too.
func enterNetwork(t *testing.T) (entered bool) {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	if err := permitted(); err != nil {
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: %s: no network namespaces here: %v\n\n", t.Name(), err)
		t.Skipf("SKIPPED: no network namespaces here (root and ip of iproute2 are wanted): %v", err)
	}
	_, within, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	args := []string{"-test.v", "-test.run=^" + t.Name() + "$/" + within, "-test.timeout=" + flag.Lookup("test.timeout").Value.String()}
	cmd := apart(os.Args[0], args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	out, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Printf("  | %s\n", lines.Text())
		}
		io.Copy(io.Discard, out) //nolint:errcheck // a line that was too long
	}()
	err := cmd.Run()
	writer.Close()
	if err != nil {
		t.Errorf("in network namespaces of its own: %v; see above", err)
	}
	return false
}

// apart is a command with networks and mounts of its own.
func apart(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// permitted tries what is wanted.
func permitted() error {
	if out, err := apart("ip", "link", "add", "probe", "type", "bridge").CombinedOutput(); err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	if out, err := apart("ip", "link", "add", "probe", "type", "veth", "peer", "name", "other").CombinedOutput(); err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	return nil
}

// network is where the members of a lab are.
type network struct{ hosts []labs.Host }

const (
	front = "front" // the clients' side
	back  = "back"  // the members' side
)

// subnets of the bridges; the gate's and the harness's own address ends in 254.
var subnets = map[string]string{front: "10.77.1.", back: "10.77.2."}

// layNetwork makes hosts a, b, c… for n members.
func layNetwork(t *testing.T, n int) *network {
	t.Helper()
	const names = "/run/netns" // where ip keeps them; ours alone in this process
	if err := errors.Join(os.MkdirAll(names, 0o755), syscall.Mount("none", names, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(names, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ip(t, "link set lo up")
	for i, side := range []string{front, back} {
		ip(t, "link add %s address 02:00:00:00:%02d:fe type bridge", side, i)
		ip(t, "addr add %s254/24 dev %s", subnets[side], side)
		ip(t, "link set %s up", side)
		t.Cleanup(func() { ip(t, "link del %s", side) })
	}
	w := &network{}
	for i := range n {
		name := string(rune('a' + i))
		ip(t, "netns add %s", name)
		t.Cleanup(func() { ip(t, "netns del %s", name) })
		ip(t, "-n %s link set lo up", name)
		for _, side := range []string{front, back} {
			ip(t, "link add %s-%s master %s type veth peer name %s netns %s", name, side, side, side, name)
			t.Cleanup(func() { ip(t, "link del %s-%s", name, side) }) // the name space may take its time to go, with all that is in it
			ip(t, "-n %s addr add %s%d/24 dev %s", name, subnets[side], i+1, side)
			ip(t, "-n %s link set %s up", name, side)
			ip(t, "link set %s-%s up", name, side)
		}
		w.hosts = append(w.hosts, labs.Host{Front: fmt.Sprint(subnets[front], i+1), Back: fmt.Sprint(subnets[back], i+1), Enter: []string{"ip", "netns", "exec", name}})
	}
	return w
}

// cut takes a member's links down; heal puts them up.
func (w *network) cut(m *labs.Member, sides ...string) error  { return w.set(m, "down", sides) }
func (w *network) heal(m *labs.Member, sides ...string) error { return w.set(m, "up", sides) }

func (w *network) set(m *labs.Member, state string, sides []string) error {
	for _, side := range sides {
		if err := runIP("link", "set", m.Name+"-"+side, state); err != nil {
			return err
		}
	}
	return nil
}

func ip(t *testing.T, format string, args ...any) {
	t.Helper()
	if err := runIP(strings.Fields(fmt.Sprintf(format, args...))...); err != nil {
		t.Fatal(err)
	}
}

func runIP(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: ip %s: %w %s", strings.Join(args, " "), err, out)
	}
	return nil
}
