package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// TestOperatorScripts runs what an operator would type, each script against a daemon of its own in front of a stand-in cluster.
func TestOperatorScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/operate", UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "", Setup: func(e *testscript.Env) error {
		d, c := newTestDaemonWith(t, standin.Options{Generation: cluster.Autonomous, Seed: 1})
		address := loopback.Reserve(t)
		d.more = "admin: {bind: \"" + address + "\"}\n"
		d.write(d.address)
		d.start()
		e.Defer(func() { d.stop(); d.end() })
		d.awaitRoles(c)
		leader := c.Leader("neo4j")
		for _, m := range d.members {
			if m.Name != leader && m.Name != c.Leader("system") {
				e.Setenv("FOLLOWER", m.Name)
			}
		}
		e.Setenv("LEADER", leader)
		e.Setenv("BOLTGATE_ADMIN", address)
		e.Setenv("CONFIG", d.file)
		return nil
	}})
}

// awaitRoles waits until the daemon knows who leads.
func (d *testDaemon) awaitRoles(c *standin.Cluster) {
	d.t.Helper()
	open := map[string]bool{"neo4j": true, "system": true}
	for len(open) > 0 {
		line := d.log.await(d.t, "role changed")
		for db := range open {
			if strings.Contains(line, `"db":"`+db+`"`) && strings.Contains(line, `"to":"leader"`) {
				delete(open, db)
			}
		}
	}
}

// startOperatedWith starts a daemon with an address for operators and more configuration, before a cluster of three.
func startOperatedWith(t *testing.T, more string) (*testDaemon, *standin.Cluster) {
	d, c := newTestDaemonWith(t, standin.Options{Generation: cluster.Autonomous, Seed: 1})
	address := loopback.Reserve(t)
	d.more = "admin: {bind: \"" + address + "\"}\n" + more
	d.write(d.address)
	d.start()
	d.awaitRoles(c)
	t.Setenv("BOLTGATE_ADMIN", address)
	return d, c
}

// startOperated starts a daemon with an address for operators, before a cluster of three; idle is a member that leads nothing.
func startOperated(t *testing.T) (d *testDaemon, idle string) {
	d, c := startOperatedWith(t, "")
	for _, m := range d.members {
		if m.Name != c.Leader("neo4j") && m.Name != c.Leader("system") {
			idle = m.Name
		}
	}
	return d, idle
}

// TestADrainDropsNobody has a transaction open on a member while that is drained: it commits there, and new reads go elsewhere.
func TestADrainDropsNobody(t *testing.T) {
	d, _ := startOperated(t)
	session := d.dial(d.address)
	beginRead := bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{"mode": "r", "db": "neo4j"})
	if _, err := session.Ask(beginRead); err != nil {
		t.Fatal(err)
	}
	member := d.busyMember()
	if code, out := d.boltgate("drain", member, "--force", "--timeout", "200ms"); code != 1 || !strings.Contains(out, "1 unit of work") {
		t.Fatalf("a drain whose transaction goes on: got %d, %s", code, out)
	}
	if code, out := d.boltgate("queries"); code != 0 || !strings.Contains(out, "in transaction") || !strings.Contains(out, " read ") || !strings.Contains(out, " "+member+" ") {
		t.Errorf("queries: %d, %s", code, out)
	}
	drained := make(chan string, 1)
	go func() {
		_, out := d.boltgate("drain", member, "--force", "--timeout", "1m")
		drained <- out
	}()
	for range 20 {
		if m := d.readBy(); m == member {
			t.Fatalf("a read went to %s, which is drained", m)
		}
	}
	if _, err := session.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Errorf("a query in the transaction that was open: %v", err)
	}
	if _, err := session.Ask(commit); err != nil {
		t.Errorf("COMMIT of the transaction that was open: %v", err)
	}
	select {
	case out := <-drained:
		if !strings.Contains(out, "drain; nothing runs on it") {
			t.Errorf("the drain said %s", out)
		}
	case <-time.After(time.Minute):
		t.Fatal("the drain did not end with the transaction")
	}
	if code, out := d.boltgate("ready", member); code != 0 || !strings.Contains(out, "ready") {
		t.Errorf("ready: %d, %s", code, out)
	}
	for deadline := time.Now().Add(time.Minute); d.readBy() != member; {
		if time.Now().After(deadline) {
			t.Fatalf("no read goes to %s, which is ready again", member)
		}
	}
	id := d.sessionOf(session)
	if code, out := d.boltgate("sessions"); code != 0 || !strings.Contains(out, id) || !strings.Contains(out, "idle") || !strings.Contains(out, "neo4j") {
		t.Errorf("sessions: %d, %s", code, out)
	}
	if code, out := d.boltgate("kill", id); code != 0 || out != id+": killed\n" {
		t.Errorf("kill: %d, %s", code, out)
	}
	if _, err := session.Query("RETURN 1", nil, nil); err == nil {
		t.Error("a client that was killed is served")
	}
	if code, out := d.boltgate("kill", id); code != 1 || !strings.Contains(out, "no client has this session") {
		t.Errorf("kill of a client that is gone: %d, %s", code, out)
	}
	d.stop()
	d.end()
}

// TestALeaderIsDrainedAndStoppedUnseen is how a leader is taken out: the transaction that is open on it ends there, the writes that come meanwhile wait,
// over Bolt and HTTP, and go on when the member was stopped and another one leads.
func TestALeaderIsDrainedAndStoppedUnseen(t *testing.T) {
	d, c := startOperatedWith(t, "failover: {hold: 5m}\n")
	leader := c.Leader("neo4j")
	inTx, waiting := d.dial(d.address), d.dial(d.address)
	if _, err := inTx.Ask(begin); err != nil {
		t.Fatal(err)
	}
	if code, out := d.boltgate("drain", leader, "--force", "--wait=false"); code != 0 || !strings.Contains(out, "1 unit of work") {
		t.Fatalf("drain of the leader: %d, %s", code, out)
	}
	var writes sync.WaitGroup
	writes.Go(func() {
		if r, err := waiting.Query("CREATE (n) RETURN n", map[string]any{"mark": "held"}, nil); err != nil || r.Rows[0][0] == leader {
			t.Errorf("a write that waited: %v, %v", r, err)
		}
	})
	writes.Go(func() { postStatement(t, http.DefaultClient, "http://"+d.address+"/db/neo4j/tx/commit") })
	d.awaitHeld(2)
	for range 2 {
		if _, err := inTx.Query("CREATE (n) RETURN n", map[string]any{"mark": "open"}, nil); err != nil {
			t.Errorf("a write in the transaction that was open: %v", err)
		}
	}
	if _, err := inTx.Ask(commit); err != nil {
		t.Errorf("COMMIT of the transaction that was open: %v", err)
	}
	if code, out := d.boltgate("drain", leader, "--force", "--timeout", "1m"); code != 0 || !strings.Contains(out, "drain; nothing runs on it") {
		t.Errorf("drain when the transaction has ended: %d, %s", code, out)
	}
	d.awaitHeld(2)
	if err := c.Kill(leader); err != nil {
		t.Fatal(err)
	}
	writes.Wait()
	var by []string
	for _, e := range c.Log("neo4j") {
		by = append(by, fmt.Sprint(e.Leader == leader, e.Marks))
	}
	slices.Sort(by)
	if want := []string{"false [<nil>]", "false [held]", "true [open open]"}; !slices.Equal(by, want) {
		t.Errorf("committed: %v; want %v", by, want)
	}
	d.stop()
	d.end()
}

// awaitHeld waits until so many units of work wait for a leader.
func (d *testDaemon) awaitHeld(want int64) {
	d.t.Helper()
	var s admin.StatusInfo
	for limit := time.Now().Add(time.Minute); s.Held != want; {
		if _, out := d.boltgate("status", "--json"); json.Unmarshal([]byte(out), &s) != nil || time.Now().After(limit) {
			d.t.Fatalf("want %d units of work held: %s", want, out)
		}
	}
}

// postStatement sends a write over HTTP, which has to succeed, and returns where its transaction is committed if it is open.
func postStatement(t *testing.T, client *http.Client, url string) (commit string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(`{"statements":[{"statement":"CREATE (n) RETURN n"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
	a, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var said struct {
		Commit string
		Errors []any
	}
	if err := json.NewDecoder(a.Body).Decode(&said); err != nil || len(said.Errors) > 0 || a.StatusCode >= 300 {
		t.Fatalf("%s: %d %v, %v", url, a.StatusCode, said.Errors, err)
	}
	return said.Commit
}

// sessionOf is the id that the gate told the client.
func (d *testDaemon) sessionOf(c *bolt.Client) string {
	id, _ := c.Hello["connection_id"].(string)
	return id
}

// boltgate runs a command in this process.
func (d *testDaemon) boltgate(args ...string) (code int, out string) {
	d.t.Helper()
	var text strings.Builder
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&text)
	code = execute(d.t.Context(), root, &text)
	return code, text.String()
}

// busyMember is the one member on which work is.
func (d *testDaemon) busyMember() string {
	d.t.Helper()
	_, out := d.boltgate("members", "--json")
	var all []admin.MemberInfo
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		d.t.Fatal(err, out)
	}
	for _, m := range all {
		if m.Busy() {
			return m.Name
		}
	}
	d.t.Fatalf("work is on no member: %s", out)
	return ""
}

// readBy is who served a read.
func (d *testDaemon) readBy() string {
	d.t.Helper()
	if d.reader == nil {
		d.reader = d.dial(d.address)
	}
	r, err := d.reader.Query("MATCH (n) RETURN n", nil, map[string]any{"mode": "r", "db": "neo4j"})
	if err != nil {
		d.t.Fatal(err)
	}
	return r.Rows[0][0].(string)
}
