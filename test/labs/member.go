package labs

// This file owns one server: its process from start to end, and the questions about its role.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Role is what a member is to the lab's one database.
type Role string

const (
	NoRole   Role = ""         // none yet, or the member does not answer
	Leader   Role = "leader"   // takes writes: HA master, causal leader, a server alone
	Follower Role = "follower" // HA slave, causal follower
	Replica  Role = "replica"  // causal read replica
)

// stopTime is what a server gets to end after SIGTERM before it is killed.
const stopTime = 40 * time.Second

// Member is one server of a lab. Its methods may be called from any goroutine.
type Member struct {
	Name   string // a, b, c…; replicas come last
	Bolt   string // host:port
	HTTP   string // host:port
	Backup string // host:port of the 3.5 backup service, "" elsewhere
	Peer   string // host:port where other HA members pull from it, "" elsewhere
	Home   string // its folder, with conf, data and logs

	ports    ports
	conf     string // its neo4j.conf
	install  *install
	kind     Kind
	password string
	replica  bool
	console  string // file with what it printed

	mu   sync.Mutex
	cmd  *exec.Cmd     // guarded by mu; nil before the first start
	done chan struct{} // guarded by mu; closed when cmd has ended
}

// start starts the process and does not wait until it answers.
func (m *Member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs() {
		return fmt.Errorf("labs: %s runs already", m.Name)
	}
	console, err := os.OpenFile(m.console, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("labs: %s: %w", m.Name, err)
	}
	defer console.Close() // the child has its own copy
	args := append(m.install.javaArgs(), m.install.main, "--home-dir="+m.Home, "--config-dir="+filepath.Join(m.Home, "conf"))
	argv := slices.Concat(m.ports.host.Enter, []string{m.install.jdk.Tool("java")}, args)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = m.Home, cleanEnv(), console, console
	if err := spawn(cmd); err != nil {
		return fmt.Errorf("labs: cannot start %s: %w", m.Name, err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() // how it ended does not matter: whoever waits for it to answer sees that it ended
		close(done)
	}()
	m.cmd, m.done = cmd, done
	return nil
}

// runs reports whether the process is there. The caller holds mu.
func (m *Member) runs() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

// Running reports whether the member's process is there; a suspended one is.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs()
}

// Kill ends the member at once, as a crash would (SIGKILL), and returns when it has ended. A member that does not run stays so.
func (m *Member) Kill() error { return m.end(syscall.SIGKILL, stopTime) }

// Stop asks the member to shut down (SIGTERM) and returns when it has ended; after 40 s it is killed and an error says so.
func (m *Member) Stop() error { return m.end(syscall.SIGTERM, stopTime) }

// Suspend freezes the process (SIGSTOP): its ports still accept connections, and nothing answers. Kill works on it, Stop does not.
func (m *Member) Suspend() error { return m.signal(syscall.SIGSTOP) }

// Resume ends Suspend.
func (m *Member) Resume() error { return m.signal(syscall.SIGCONT) }

// Restart starts a member that was killed or stopped, or stops and starts one that runs. It does not wait until it answers: see Await.
func (m *Member) Restart() error {
	if err := m.Stop(); err != nil {
		return err
	}
	return m.start()
}

func (m *Member) signal(s syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.runs() {
		return fmt.Errorf("labs: %s does not run", m.Name)
	}
	return syscall.Kill(-m.cmd.Process.Pid, s) // its whole group
}

func (m *Member) end(s syscall.Signal, wait time.Duration) error {
	m.mu.Lock()
	running, done := m.runs(), m.done
	m.mu.Unlock()
	if !running {
		return nil
	}
	if err := m.signal(s); err != nil {
		return nil //nolint:nilerr // it ended in between, which is what was asked
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	if s == syscall.SIGKILL {
		return fmt.Errorf("labs: %s did not end %v after SIGKILL", m.Name, wait)
	}
	return errors.Join(fmt.Errorf("labs: %s did not end %v after %v and was killed", m.Name, wait, s), m.end(syscall.SIGKILL, wait))
}

// Role asks the member what it is now. NoRole with an error means that it does not answer, or not as a member of a working cluster.
func (m *Member) Role(ctx context.Context) (Role, error) {
	switch m.kind {
	case HAMode:
		status, text, err := m.get(ctx, "/db/manage/server/ha/available")
		switch {
		case err != nil:
			return NoRole, err
		case status == http.StatusOK && text == "master":
			return Leader, nil
		case status == http.StatusOK && text == "slave":
			return Follower, nil
		}
		return NoRole, fmt.Errorf("labs: %s is not available: %d %q", m.Name, status, text)
	case CausalMode:
		return m.causalRole(ctx)
	}
	if err := m.boltAnswers(ctx); err != nil {
		return NoRole, err
	}
	if status, text, err := m.get(ctx, "/"); err != nil || status != http.StatusOK {
		return NoRole, errors.Join(fmt.Errorf("labs: %s answers GET / with %d %.80q", m.Name, status, text), err)
	}
	return Leader, nil
}

func (m *Member) causalRole(ctx context.Context) (Role, error) {
	status, text, err := m.get(ctx, "/db/manage/server/causalclustering/available")
	if err != nil || status != http.StatusOK {
		return NoRole, errors.Join(fmt.Errorf("labs: %s is not available: %d %.80q", m.Name, status, text), err)
	}
	if m.replica {
		return Replica, nil
	}
	status, _, err = m.get(ctx, "/db/manage/server/causalclustering/writable")
	switch {
	case err != nil:
		return NoRole, err
	case status == http.StatusOK:
		return Leader, nil
	}
	return Follower, nil
}

// get asks the member's HTTP port as the user neo4j, on a connection of its own so that nothing is left open.
func (m *Member) get(ctx context.Context, path string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.HTTP+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	req.SetBasicAuth(User, m.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, strings.TrimSpace(string(body)), err
}

// boltAnswers makes a handshake that every server knows how to answer.
func (m *Member) boltAnswers(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", m.Bolt)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Write([]byte{0x60, 0x60, 0xB0, 0x17, 0, 2, 4, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1}); err != nil {
		return err
	}
	var version [4]byte
	if _, err := io.ReadFull(conn, version[:]); err != nil {
		return fmt.Errorf("labs: %s did not answer the Bolt handshake: %w", m.Name, err)
	}
	return nil
}

// listens polls until a port of the member accepts connections, it ended, or ctx is done.
func (m *Member) listens(ctx context.Context, port int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", m.ports.back(port), time.Second)
		if err == nil {
			return conn.Close()
		}
		if !m.Running() {
			return fmt.Errorf("labs: %s does not run; the end of what it printed:\n%s", m.Name, m.tail())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("labs: waited for %s to listen on %d: %w", m.Name, port, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Await polls until the member has one of the roles (any role when none is given), it ended, or ctx is done.
func (m *Member) Await(ctx context.Context, roles ...Role) (Role, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		role, err := m.Role(ctx)
		if err == nil && matches(role, roles) {
			return role, m.boltAnswers(ctx)
		}
		if !m.Running() {
			return NoRole, fmt.Errorf("labs: %s does not run; the end of what it printed:\n%s", m.Name, m.tail())
		}
		select {
		case <-ctx.Done():
			return NoRole, fmt.Errorf("labs: waited for %s to be %v: %w (now %q; %v)\n%s", m.Name, roles, context.Cause(ctx), role, err, m.tail())
		case <-tick.C:
		}
	}
}

func matches(role Role, wanted []Role) bool {
	for _, w := range wanted {
		if w == role {
			return true
		}
	}
	return len(wanted) == 0
}

// tail returns the last lines that the member printed.
func (m *Member) tail() string {
	text, err := os.ReadFile(m.console)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-40):], []byte("\n")))
}
