package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// testDaemon is a whole daemon in this process, in front of a stand-in cluster, with a configuration file.
type testDaemon struct {
	t       *testing.T
	members []*cluster.Member
	file    string
	address string
	stop    context.CancelFunc
	ended   chan error
	log     *lines
	more    string // of the configuration

	frontend string // one more of the list
	reader   *bolt.Client
}

// lines collects log output; safe for concurrent use.
type lines struct{ text chan string }

func (l *lines) Write(b []byte) (int, error) {
	l.text <- string(b)
	return len(b), nil
}

// await waits for a line that contains one of the texts, and returns it.
func (l *lines) await(t *testing.T, texts ...string) string {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line := <-l.text:
			if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(line, s) }) {
				return line
			}
		case <-limit:
			t.Fatalf("no log line with %q within a minute", texts)
		}
	}
}

func startTestDaemon(t *testing.T) *testDaemon {
	d := newTestDaemon(t)
	d.write(d.address)
	d.start()
	d.log.await(t, "role changed")
	return d
}

// newTestDaemon starts the members, and no daemon yet.
func newTestDaemon(t *testing.T) *testDaemon {
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1})
	return d
}

func newTestDaemonWith(t *testing.T, o standin.Options) (*testDaemon, *standin.Cluster) {
	c, err := standin.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d := &testDaemon{t: t, members: c.Members(), address: loopback.Reserve(t), ended: make(chan error, 1), log: &lines{make(chan string, 10000)}}
	d.file = filepath.Join(t.TempDir(), "boltgate.yaml")
	return d, c
}

func (d *testDaemon) start() {
	d.t.Helper()
	load := func() (*configs.Config, error) { return configs.Load(d.file) }
	cfg, err := load()
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	d.stop = cancel
	go func() { d.ended <- runDaemon(ctx, cfg, load, newLogger(cfg.Log, d.log)) }()
}

// write writes a configuration with a frontend for each address.
func (d *testDaemon) write(addresses ...string) {
	var b strings.Builder
	b.WriteString("frontends:\n")
	for i, a := range addresses {
		fmt.Fprintf(&b, "  - {name: f%d, bind: %q}\n", i, a)
	}
	b.WriteString(d.frontend)
	b.WriteString("cluster:\n  members:\n")
	for _, m := range d.members {
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q}\n", m.Name, m.Bolt, m.HTTP)
	}
	fmt.Fprintf(&b, "  check: {user: %s, password: %s, interval: 200ms}\n", standin.DefaultUser, standin.DefaultPassword)
	b.WriteString(d.more)
	if err := os.WriteFile(d.file, []byte(b.String()), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *testDaemon) dial(address string) *bolt.Client {
	d.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		d.t.Fatal(err)
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
		d.t.Fatal(err)
	}
	return c
}

var (
	begin  = bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{})
	commit = bolt.AppendMessage(nil, bolt.TagCommit)
)

func (d *testDaemon) end() {
	d.t.Helper()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(time.Minute):
		d.t.Fatal("the daemon did not end")
	}
}

func TestReloadKeepsConnectionsAndOpenTransactions(t *testing.T) {
	d := startTestDaemon(t)
	idle, busy := d.dial(d.address), d.dial(d.address)
	if _, err := busy.Ask(begin); err != nil {
		t.Fatal(err)
	}
	second := loopback.Reserve(t)
	d.write(d.address, second)
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	d.log.await(t, "configuration reloaded")
	d.dial(second)
	if _, err := busy.Ask(commit); err != nil {
		t.Errorf("COMMIT of a transaction that was open during the reload: %v", err)
	}
	if _, err := idle.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Errorf("a session that was idle during the reload: %v", err)
	}
	d.stop()
	d.end()
}

func TestStartSaysWhatIsMissingToLearnRoles(t *testing.T) {
	d := newTestDaemon(t)
	text := fmt.Sprintf("frontends: [{name: f0, bind: %q}]\nfailover: {hold: 100ms}\ncluster:\n  members: [{bolt: %q}, {bolt: %q}]\n", d.address, d.members[0].Bolt, d.members[1].Bolt)
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	for _, said := range []string{"cluster.check.user: not set", "roles unknown: cluster.check.user is not set"} { // of the file, and of what members said
		if line := d.log.await(t, said); !strings.Contains(line, "WARN") || !strings.Contains(line, "password_file") || !strings.Contains(line, "standalone") {
			t.Errorf("it does not say what to set: %s", line)
		}
	}
	d.stop()
	d.end()
}

func TestReloadChangesTheLogLevel(t *testing.T) {
	d := startTestDaemon(t)
	leave := func() { d.dial(d.address).Conn.Close() }
	d.more = "log: {level: debug, format: text}\n"
	d.write(d.address)
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	d.log.await(t, "log.format changes at the next start")
	leave()
	d.log.await(t, "connection closed")
	d.more = "log: {level: warn}\n"
	d.write(d.address)
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	d.more = "log: {level: info}\n"
	d.log.await(t, "log.format changes at the next start") // a warning
	leave()
	d.write(d.address)
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	if line := d.log.await(t, "configuration reloaded", "connection closed"); !strings.Contains(line, "configuration reloaded") {
		t.Errorf("a debug line while the level was warn: %s", line)
	}
	d.stop()
	d.end()
}

func TestReloadOfABadFileChangesNothing(t *testing.T) {
	d := startTestDaemon(t)
	c := d.dial(d.address)
	if err := os.WriteFile(d.file, []byte("frontends: [{name: f0, bind: \":1\", colour: red}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	d.log.await(t, "not reloaded")
	if _, err := c.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Error(err)
	}
	d.dial(d.address)
	d.stop()
	d.end()
}

func TestShutdownLetsTransactionsEndAndClosesIdleSessionsLast(t *testing.T) {
	d := startTestDaemon(t)
	idle, busy := d.dial(d.address), d.dial(d.address)
	if _, err := busy.Ask(begin); err != nil {
		t.Fatal(err)
	}
	d.stop()
	d.log.await(t, "shutting down")
	for {
		conn, err := net.Dial("tcp", d.address)
		if err != nil {
			break
		}
		conn.Close() // accepted before the listener closed
	}
	if _, err := idle.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Errorf("an idle session was closed while another had work: %v", err)
	}
	if _, err := busy.Ask(commit); err != nil {
		t.Errorf("COMMIT during the shutdown: %v", err)
	}
	d.end()
	if _, err := idle.Query("RETURN 1", nil, nil); err == nil {
		t.Error("the idle session outlived the daemon")
	}
}

func TestDuringTheDelayOfAShutdownItIsNotReadyAndStillAccepts(t *testing.T) {
	d := newTestDaemon(t)
	probes := loopback.Reserve(t)
	d.more = fmt.Sprintf("shutdown: {delay: 2s}\nadmin: {bind: %q, probes: %q}\n", loopback.Reserve(t), probes)
	d.write(d.address)
	d.start()
	d.log.await(t, "role changed")
	ready := func() int {
		t.Helper()
		a, err := http.Get("http://" + probes + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	for limit := time.Now().Add(time.Minute); ready() != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it does not become ready")
		}
	}
	began := time.Now()
	d.stop()
	d.log.await(t, "shutting down")
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d during shutdown.delay; want 503", got)
	}
	if _, err := d.dial(d.address).Query("MATCH (n) RETURN n", nil, nil); err != nil && time.Since(began) < 2*time.Second {
		t.Errorf("a new connection during shutdown.delay: %v", err)
	}
	d.end()
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it ended after %v; the delay is 2s", took)
	}
}
