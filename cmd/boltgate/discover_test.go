package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
	"github.com/boltgate/boltgate/test/nameserver"
)

// discovered is a daemon whose members are found by DNS alone.
type discovered struct {
	*testDaemon
	dns *nameserver.Server
}

// startDiscovered starts a daemon that looks for members as discover says, and waits until all that are named are known. The
// names of SRV records are sN.test.
func startDiscovered(t *testing.T, d *testDaemon, discover string, names ...string) *discovered {
	t.Helper()
	w := &discovered{d, nameserver.Start(t)}
	for i := range d.members {
		name := fmt.Sprintf("s%d.test.", i+1)
		w.dns.Set(name, dns.TypeA, name+" 1 IN A 127.0.0.1")
	}
	w.name(names...)
	w.discover(discover)
	w.start()
	for range names {
		w.log.await(t, "role changed")
	}
	return w
}

// discover writes a configuration.
func (w *discovered) discover(discover string) {
	w.t.Helper()
	text := fmt.Sprintf(`frontends: [{name: f0, bind: %q}]
cluster:
  discover: {resolvers: %q, %s}
  check: {user: %s, password: %s, interval: 200ms}
log: {level: info}
`, w.address, w.dns.Address, discover, standin.DefaultUser, standin.DefaultPassword)
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// name publishes which members there are, by SRV records of both protocols.
func (w *discovered) name(names ...string) {
	var records, http []string
	for _, name := range names {
		for _, m := range w.members {
			if m.Name == name {
				_, port, _ := net.SplitHostPort(m.Bolt)
				records = append(records, fmt.Sprintf("_bolt._tcp.test. 1 IN SRV 0 0 %s %s.test.", port, name))
				_, port, _ = net.SplitHostPort(m.HTTP)
				http = append(http, fmt.Sprintf("_http._tcp.test. 1 IN SRV 0 0 %s %s.test.", port, name))
			}
		}
	}
	w.dns.Set("_bolt._tcp.test.", dns.TypeSRV, records...)
	w.dns.Set("_http._tcp.test.", dns.TypeSRV, http...)
}

const bySRV = "srv: [_bolt._tcp.test, _http._tcp.test]"

// reads counts who answers reads, on a few connections that read all the time, and what fails.
type reads struct {
	mu     sync.Mutex
	by     map[string]int
	failed error
	stop   atomic.Bool
	done   sync.WaitGroup
}

func (w *discovered) read(connections int) *reads {
	r := &reads{by: map[string]int{}}
	for range connections {
		c := w.dial(w.address)
		r.done.Go(func() {
			for !r.stop.Load() {
				r.note(c.Query("MATCH (n) RETURN n", nil, map[string]any{"mode": "r"}))
				time.Sleep(2 * time.Millisecond) // leave the processor to others
			}
		})
	}
	return r
}

func (r *reads) note(res *bolt.Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = err
		return
	}
	r.by[fmt.Sprint(res.Rows[0][0])]++
}

// anew counts anew.
func (r *reads) anew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.by)
}

func (r *reads) of(member string) (its, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.by {
		all += n
	}
	return r.by[member], all
}

// until waits until cond holds.
func (r *reads) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within 30 s; reads by member: %v", what, r.by)
		}
	}
}

func (r *reads) end(t *testing.T) {
	t.Helper()
	r.stop.Store(true)
	r.done.Wait()
	if r.failed != nil {
		t.Errorf("a client saw %v", r.failed)
	}
}

// followers are the members that do not lead, in order.
func followers(c *standin.Cluster) (names []string) {
	for _, m := range c.Members() {
		if m.Name != c.Leader("neo4j") {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestAMemberThatJoinsByDNSServesAndOneThatLeavesIsDrained(t *testing.T) {
	d, c := newTestDaemonWith(t, standin.Options{Seed: 1, Members: 5})
	leader := c.WaitLeader("neo4j", 30*time.Second)
	f := followers(c)
	w := startDiscovered(t, d, bySRV, leader, f[0], f[1])
	r := w.read(4)
	r.until(t, "reads by those that were there", func() bool { a, _ := r.of(f[0]); b, _ := r.of(f[1]); return a > 0 && b > 0 })

	w.name(leader, f[0], f[1], f[2])
	w.log.await(t, "members discovered")
	if line := w.log.await(t, "member changed", "role changed"); !strings.Contains(line, "member changed") || !strings.Contains(line, f[2]+".test") {
		t.Errorf("the new member was not checked first: %s", line)
	}
	r.until(t, "reads by the new member", func() bool { n, _ := r.of(f[2]); return n > 0 })

	busy, tx := w.transactionAt(f[1]), w.httpTransactionAt(f[1])
	w.name(leader, f[0], f[2])
	w.log.await(t, "member leaves")
	r.anew()
	r.until(t, "reads after it left", func() bool { _, all := r.of(""); return all > 200 })
	if its, all := r.of(f[1]); its > 8 {
		t.Errorf("%d of %d reads went to the member that left; want none but those under way", its, all)
	}
	if _, err := busy.Ask(commit); err != nil {
		t.Errorf("COMMIT of a transaction that was open on the member that left: %v", err)
	}
	if status := w.post(tx + "/commit"); status != 200 {
		t.Errorf("commit of an HTTP transaction on the member that left: got status %d; want 200", status)
	}
	r.end(t)
	w.stop()
	w.end()
}

// transactionAt opens read transactions until one is at the member.
func (w *discovered) transactionAt(member string) *bolt.Client {
	w.t.Helper()
	read := bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{"mode": "r"})
	for range 100 {
		c := w.dial(w.address)
		if _, err := c.Ask(read); err != nil {
			w.t.Fatal(err)
		}
		res, err := c.Query("MATCH (n) RETURN n", nil, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if res.Rows[0][0] == member {
			return c
		}
		if _, err := c.Ask(commit); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatalf("100 transactions, and none at %s", member)
	return nil
}

// httpTransactionAt opens HTTP transactions until one is at the member, and returns its URL.
func (w *discovered) httpTransactionAt(member string) string {
	w.t.Helper()
	id := ""
	for _, m := range w.members {
		if m.Name == member {
			_, port, _ := net.SplitHostPort(m.Bolt)
			digest := sha256.Sum256([]byte(member + ".test:" + port))
			id = hex.EncodeToString(digest[:3])
		}
	}
	for range 100 {
		status, location := w.send("/db/neo4j/tx")
		if status != 201 || !regexp.MustCompile(`/tx/[0-9a-f]{6}-\d+$`).MatchString(location) {
			w.t.Fatalf("got status %d at %q; want 201 and an id that tells no address", status, location)
		}
		path := location[strings.Index(location, "/db/"):]
		if strings.Contains(path, "/"+id+"-") {
			return path
		}
		w.post(path + "/commit")
	}
	w.t.Fatalf("100 HTTP transactions, and none at %s", member)
	return ""
}

func (w *discovered) post(path string) int {
	status, _ := w.send(path)
	return status
}

func (w *discovered) send(path string) (status int, location string) {
	w.t.Helper()
	req, err := http.NewRequest("POST", "http://"+w.address+path, strings.NewReader(`{"statements":[]}`))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Access-Mode": {"READ"}}
	req.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode, res.Header.Get("Location")
}

// TestADNSServerThatFailsCostsNobody has DNS give wrong answers, and none, over a reload too.
func TestADNSServerThatFailsCostsNobody(t *testing.T) {
	d, c := newTestDaemonWith(t, standin.Options{Seed: 1})
	leader := c.WaitLeader("neo4j", 30*time.Second)
	f := followers(c)
	w := startDiscovered(t, d, bySRV, leader, f[0], f[1])
	r := w.read(2)
	for _, spoil := range []func(*dns.Msg){
		func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure },
		func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeNameError, nil },
		func(m *dns.Msg) { m.Answer = nil },
		func(m *dns.Msg) { m.Question[0].Name = "evil.test." },
	} {
		w.dns.Spoil("_bolt._tcp.test.", dns.TypeSRV, spoil)
		w.log.await(t, "its last answer stays in force")
		w.discover(bySRV)
		syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
		if line := w.log.await(t, "configuration reloaded", "member leaves", "members discovered"); !strings.Contains(line, "reloaded") {
			t.Errorf("a wrong answer changed the members: %s", line)
		}
		r.anew()
		r.until(t, "reads by both followers", func() bool { a, _ := r.of(f[0]); b, _ := r.of(f[1]); return a > 0 && b > 0 })
		w.name(leader, f[0], f[1])
		w.log.await(t, "resolves again")
	}
	r.end(t)
	w.stop()
	w.end()
}

// TestMembersBehindOneName has all members on one port of several addresses, as behind a headless Service.
func TestMembersBehindOneName(t *testing.T) {
	address := loopback.Reserve(t)
	_, port, _ := net.SplitHostPort(address)
	ips := map[string]string{"s1": "127.0.0.1", "s2": "127.0.0.2", "s3": "127.0.0.3"}
	d, c := newTestDaemonWith(t, standin.Options{Seed: 1, Listen: func(member, protocol string) (net.Listener, error) {
		if protocol == "bolt" {
			return net.Listen("tcp", net.JoinHostPort(ips[member], port))
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}})
	leader := c.WaitLeader("neo4j", 30*time.Second)
	f := followers(c)
	server := nameserver.Start(t)
	set := func(names ...string) {
		var records []string
		for _, n := range names {
			records = append(records, "db.test. 1 IN A "+ips[n])
		}
		server.Set("db.test.", dns.TypeA, records...)
	}
	set(leader, f[0])
	w := &discovered{d, server}
	w.discover("dns: \"db.test:" + port + "\"")
	w.start()
	w.log.await(t, "role changed")
	w.log.await(t, "role changed")
	r := w.read(2)
	r.until(t, "reads by the follower", func() bool { n, _ := r.of(f[0]); return n > 0 })
	set(leader, f[1])
	w.log.await(t, "member leaves")
	r.until(t, "reads by the other follower", func() bool { n, _ := r.of(f[1]); return n > 0 })
	r.end(t)
	w.stop()
	w.end()
}
