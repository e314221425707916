package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// learned is a daemon whose configuration lists one member.
type learned struct {
	*discovered
	c      *standin.Cluster
	leader string
	others []string // the rest of the voters
}

// startLearned starts a daemon that knows one member of a stand-in cluster; more is added to its configuration.
func startLearned(t *testing.T, o standin.Options, more func([]*cluster.Member) string) *learned {
	t.Helper()
	w := newLearned(t, o)
	w.knows(w.others[0], more(w.members))
	w.start()
	return w
}

// newLearned does not start the daemon yet.
func newLearned(t *testing.T, o standin.Options) *learned {
	t.Helper()
	d, c := newTestDaemonWith(t, o)
	w := &learned{discovered: &discovered{testDaemon: d}, c: c, leader: c.WaitLeader("", 30*time.Second)}
	for _, m := range c.Members() {
		if m.Name != w.leader {
			w.others = append(w.others, m.Name)
		}
	}
	return w
}

func nothing([]*cluster.Member) string { return "" }

// knows writes a configuration that lists one member.
func (w *learned) knows(name, more string) {
	w.t.Helper()
	m := w.at(name)
	http := ""
	if m.HTTP != "" {
		http = fmt.Sprintf(", http: %q", m.HTTP)
	}
	text := fmt.Sprintf(`frontends: [{name: f0, bind: %q}]
cluster:
  members: [{name: seed, bolt: %q%s}]
  check: {user: %s, password: %s, interval: 200ms}
%slog: {level: info}
`, w.address, m.Bolt, http, standin.DefaultUser, standin.DefaultPassword, more)
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *learned) at(name string) *cluster.Member {
	for _, m := range w.members {
		if m.Name == name {
			return m
		}
	}
	w.t.Fatalf("no member %s", name)
	return nil
}

// awaitMembers waits for lines that say that these have become members.
func (w *learned) awaitMembers(names ...string) {
	w.t.Helper()
	missing := slices.Clone(names)
	for len(missing) > 0 {
		line := w.log.await(w.t, "role changed")
		missing = slices.DeleteFunc(missing, func(name string) bool { return strings.Contains(line, w.at(name).Bolt) })
	}
}

func (w *learned) tell(names ...string) {
	w.t.Helper()
	for _, m := range w.members {
		if err := w.c.Tell(m.Name, names...); err != nil {
			w.t.Fatal(err)
		}
	}
}

// peers maps the addresses of HA members at which only their peers reach them.
func peers(members []*cluster.Member) string {
	var b strings.Builder
	b.WriteString("  addresses:\n")
	for i, m := range members {
		fmt.Fprintf(&b, "    \"127.0.0.1:%d\": %q\n", 6001+i, m.Bolt)
	}
	return b.String()
}

func TestTheRestOfAClusterIsLearnedFromOneMember(t *testing.T) {
	for _, c := range []struct {
		generation cluster.Generation
		version    string
	}{{cluster.Autonomous, "5.26.30"}, {cluster.Autonomous, "5.0.0"}, {cluster.Autonomous, "2026.08.1"}, {cluster.Causal, "4.4.48"}, {cluster.Causal, "3.5.35"}, {cluster.Causal, "3.1.9"}} {
		t.Run(fmt.Sprint(c.generation, " ", c.version), func(t *testing.T) {
			w := startLearned(t, standin.Options{Generation: c.generation, ServerVersion: c.version, Seed: 1, Replicas: 1}, nothing)
			w.awaitMembers(append(w.others[1:], w.leader)...)
			w.works()
			w.stop()
			w.end()
		})
	}
}

// TestMembersAreLearnedWithoutTheRightToSeeServers: the addresses in SHOW DATABASES stand in for SHOW SERVERS. They are Bolt's alone.
func TestMembersAreLearnedWithoutTheRightToSeeServers(t *testing.T) {
	w := newLearned(t, standin.Options{ServerVersion: "5.26.30", Seed: 1, Replicas: 1})
	w.c.LimitUser(standin.DefaultUser)
	w.knows(w.others[0], "")
	w.start()
	w.awaitMembers(append(w.others[1:], w.leader)...)
	c := w.dial(w.address)
	w.worksBy(func(text string, write bool) string {
		res, err := c.Query(text, nil, map[string]any{"mode": map[bool]string{false: "r", true: "w"}[write]})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(res.Rows[0][0])
	})
	w.stop()
	w.end()
}

// works checks that writes are done by the leader, and reads by all others, over HTTP, which every generation speaks.
func (w *learned) works() {
	w.t.Helper()
	path := "/db/neo4j/tx/commit"
	if !w.c.MultiDatabase() {
		path = "/db/data/transaction/commit"
	}
	w.worksBy(func(text string, write bool) string {
		return w.who(path, text, map[bool]string{false: "0", true: "1"}[write])
	})
}

// worksBy does so by who, which does a statement and returns who did it.
func (w *learned) worksBy(who func(text string, write bool) string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		got := map[string]bool{}
		for range 12 {
			got["read "+who("MATCH (n) RETURN n", false)] = true
			got["write "+who("CREATE (n) RETURN n", true)] = true
		}
		want := map[string]bool{"write " + w.leader: true}
		for _, name := range w.others {
			want["read "+name] = true
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("got %v; want %v", got, want)
		}
	}
}

// who does a statement over HTTP, and who did it.
func (w *learned) who(path, statement, write string) string {
	w.t.Helper()
	req, err := http.NewRequest("POST", "http://"+w.address+path, strings.NewReader(fmt.Sprintf(`{"statements":[{"statement":%q}]}`, statement)))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "X-Write": {write}}
	req.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.Header.Get(standin.MemberHeader)
}

func TestAHAClusterIsLearnedFromOneMember(t *testing.T) {
	w := startLearned(t, standin.Options{Generation: cluster.HA, ServerVersion: "3.5.35", Seed: 1}, peers)
	w.awaitMembers(w.leader, w.others[1])
	w.works()
	w.stop()
	w.end()
}

func TestAMemberThatNobodyTellsOfLeavesAndComesBack(t *testing.T) {
	w := startLearned(t, standin.Options{Seed: 1, Members: 4}, nothing)
	f := w.others
	w.awaitMembers(w.leader, f[1], f[2])
	r := w.read(4)
	r.until(t, "reads by all followers", func() bool { a, _ := r.of(f[1]); b, _ := r.of(f[2]); return a > 0 && b > 0 })
	busy := w.transactionAt(f[2])
	w.tell(w.leader, f[0], f[1])
	if line := w.log.await(t, "member leaves"); !strings.Contains(line, w.at(f[2]).Bolt) {
		t.Errorf("another member leaves: %s", line)
	}
	r.anew()
	r.until(t, "reads after it left", func() bool { _, all := r.of(""); return all > 200 })
	if its, all := r.of(f[2]); its > 8 {
		t.Errorf("%d of %d reads went to the member that left; want none but those under way", its, all)
	}
	if _, err := busy.Ask(commit); err != nil {
		t.Errorf("COMMIT of a transaction that was open on the member that left: %v", err)
	}
	w.tell()
	w.log.await(t, "members learned from the cluster")
	r.until(t, "reads by the member that is back", func() bool { n, _ := r.of(f[2]); return n > 0 })
	r.end(t)
	w.stop()
	w.end()
}

func TestWrongAnswersTakeNobodyAway(t *testing.T) {
	w := startLearned(t, standin.Options{Seed: 1}, nothing)
	f := w.others
	w.awaitMembers(w.leader, f[1])
	r := w.read(2)
	for _, lie := range [][]string{{""}, {"127.0.77.1:7687"}, {"127.0.77.1:7687", "127.0.77.2:7687", "127.0.77.3:7687"}, {f[0]}, {f[0], "127.0.77.1:7687"}} {
		w.tell(lie...)
		asked := time.Now()
		r.anew()
		r.until(t, "reads by both followers", func() bool { // for more than one interval between two questions
			a, _ := r.of(f[0])
			b, _ := r.of(f[1])
			return a > 0 && b > 0 && time.Since(asked) > 2500*time.Millisecond
		})
	}
	r.end(t)
	w.stop()
	w.end()
	for done := false; !done; {
		select {
		case line := <-w.log.text:
			if strings.Contains(line, "member leaves") || strings.Contains(line, "127.0.77") && strings.Contains(line, "members learned") {
				t.Errorf("a lie was believed: %s", line)
			}
		default:
			done = true
		}
	}
}

// TestUnreachableAddressesWaitForTheirMapping has members advertise addresses that nobody reaches, as containers do.
func TestUnreachableAddressesWaitForTheirMapping(t *testing.T) {
	inside := func(name, protocol, address string) string {
		return net.JoinHostPort("127.0.77."+name[1:], map[string]string{"bolt": "7687", "http": "7474"}[protocol])
	}
	w := startLearned(t, standin.Options{Seed: 1, Advertise: inside}, nothing)
	f := w.others
	if line := w.log.await(t, "an advertised address is no member's", "members learned"); !strings.Contains(line, "cluster.addresses") {
		t.Errorf("it does not say what to set: %s", line)
	}
	c := w.dial(w.address)
	if res, err := c.Query("MATCH (n) RETURN n", nil, map[string]any{"mode": "r"}); err != nil || res.Rows[0][0] != f[0] {
		t.Errorf("a read at the one that is known: %v, %v", res, err)
	}
	var b strings.Builder
	b.WriteString("  addresses:\n")
	for _, m := range w.members {
		fmt.Fprintf(&b, "    %q: %q\n    %q: %q\n", inside(m.Name, "bolt", ""), m.Bolt, inside(m.Name, "http", ""), m.HTTP)
	}
	w.knows(f[0], b.String())
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	w.awaitMembers(w.leader, f[1])
	if res, err := c.Query("CREATE (n) RETURN n", nil, nil); err != nil || res.Rows[0][0] != w.leader {
		t.Errorf("a write once they are: %v, %v", res, err)
	}
	w.stop()
	w.end()
}

func TestLearningCanBeSwitchedOff(t *testing.T) {
	w := startLearned(t, standin.Options{Seed: 1}, nothing)
	w.awaitMembers(w.leader, w.others[1])
	w.knows(w.others[0], "  discover: {cluster: false}\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	w.log.await(t, "member leaves")
	w.log.await(t, "member leaves")
	c := w.dial(w.address)
	// The checks take their new list over a moment after it was said. Two of three readers left: ten reads in turn would meet them.
	for limit, alone := time.Now().Add(10*time.Second), 0; alone < 10; alone++ {
		res, err := c.Query("MATCH (n) RETURN n", nil, map[string]any{"mode": "r"})
		if err != nil || time.Now().After(limit) {
			t.Fatalf("a read: %v, %v; want the one that is listed", res, err)
		}
		if res.Rows[0][0] != w.others[0] {
			alone = -1
		}
	}
	w.stop()
	w.end()
}
