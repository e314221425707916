package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns two stages of real clusters: a gate that knows one member and learns the rest, and the time when two members
// say that they lead.

var (
	learning   = stage{"learning", learnedGate}
	twoLeaders = stage{"two leaders", staleLeader}
)

// seedConfig is gateConfig with one member alone.
func seedConfig(c *labs.Cluster, m *labs.Member) string {
	var b strings.Builder
	fmt.Fprintf(&b, "frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  members:\n    - {name: %s, bolt: %q, http: %q}\n", m.Name, m.Bolt, m.HTTP)
	if m.Peer != "" { // all on one machine: HA tells only where its members reach each other
		b.WriteString("  addresses:\n")
		for _, o := range c.Members {
			fmt.Fprintf(&b, "    %q: %q\n", o.Peer, o.Bolt)
		}
	}
	fmt.Fprintf(&b, "  check: {interval: 1s, user: %s, password: %q}\nlog: {level: debug}\n", c.User, c.Password)
	return b.String()
}

// learnedGate names one member that does not lead, has the gate learn the others, and goes on without the one that was named.
func learnedGate(t *testing.T, c *labs.Cluster) {
	leader := c.Leader()
	seed := c.Others(leader)[0]
	g := startGate(t, c, seedConfig(c, seed))
	ctx := t.Context()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	readers := func(without ...*labs.Member) error {
		want := map[string]bool{}
		for _, m := range c.Others(leader) {
			if !slices.Contains(without, m) {
				want[m.Bolt] = true
			}
		}
		got := map[string]bool{}
		for range 3 * len(c.Members) {
			who, err := managed(ctx, driver, neo4j.AccessModeRead, whoamiBolt)
			if err != nil {
				return err
			}
			got[who] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("reads were answered by %v; want %v", got, want)
		}
		return nil
	}
	eventually(t, 30*time.Second, "reads at every member but the leader", func() error { return readers() })
	for range 10 {
		if who, err := managed(ctx, driver, neo4j.AccessModeWrite, "CREATE (n:Learned) WITH n "+whoamiBolt); err != nil || who != leader.Bolt {
			t.Fatalf("a write was answered by %s, %v; want the leader %s", who, err, leader.Bolt)
		}
	}
	transactionIDs(t, c, g)
	if err := seed.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "reads without the member that was named", func() error { return readers(seed) })
	if who, err := managed(ctx, driver, neo4j.AccessModeWrite, "CREATE (n:Learned) WITH n "+whoamiBolt); err != nil || who != leader.Bolt {
		t.Errorf("a write without the member that was named: answered by %s, %v; want the leader %s", who, err, leader.Bolt)
	}
	if err := seed.Restart(); err != nil {
		t.Fatal(err)
	}
	c.WaitReady()
	eventually(t, time.Minute, "reads at every member again", func() error { return readers() })
}

// transactionIDs opens HTTP transactions: a write's is at the leader, which was learned, so that its id tells no address.
func transactionIDs(t *testing.T, c *labs.Cluster, g *gate) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+g.Address+"/db/data/transaction", strings.NewReader(`{"statements":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(c.User, c.Password)
	r.Header = http.Header{"Authorization": r.Header["Authorization"], "Content-Type": {"application/json"}, "X-Write": {"1"}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	location := answer.Header.Get("Location")
	if answer.StatusCode != http.StatusCreated || !regexp.MustCompile(`/db/data/transaction/[0-9a-f]{6}-\d+$`).MatchString(location) {
		t.Fatalf("a transaction at the leader: status %d at %q; want 201 and six digits before the id", answer.StatusCode, location)
	}
	r.Method, r.URL, r.Body, r.ContentLength = "DELETE", must(r.URL.Parse(location)), nil, 0
	if answer, err = http.DefaultClient.Do(r); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("rolling it back: %v, %v", answer, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// staleLeader suspends the leader until another is elected, and lets it go on: for a moment it may say that it leads. Writes go
// on all the time; none may fail, be done by the one that was suspended, or be lost. A HA cluster (3.5) is not put through it: while its master is
// suspended, not killed, its slaves answer UNKNOWN and elect nobody for longer than drivers try.
func staleLeader(t *testing.T, c *labs.Cluster) {
	config := gateConfig(c, "auto", "failover: {hold: 40s}\n") // and what was sent to a member that froze does not wait for its thaw
	g := startGate(t, c, strings.Replace(config, `bind: "BIND"`, `bind: "BIND", timeouts: {server: 3s}`, 1))
	ctx := t.Context()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	old := c.Leader()
	write := func(i int) (string, error) {
		return managed(ctx, driver, neo4j.AccessModeWrite, fmt.Sprintf("CREATE (n:Stale {id: %d}) WITH n ", i)+whoamiBolt)
	}
	eventually(t, 30*time.Second, "a write at the leader", func() error { _, err := write(0); return err })
	if err := old.Suspend(); err != nil {
		t.Fatal(err)
	}
	suspended := time.Now()
	if who, err := write(1); err != nil || who == old.Bolt {
		t.Fatalf("the first write after %s was suspended: answered by %s, %v", old.Name, who, err)
	}
	t.Logf("the first write after the leader was suspended was done %.1f s later", time.Since(suspended).Seconds())
	if err := old.Resume(); err != nil {
		t.Fatal(err)
	}
	claimed := make(chan int)
	watch, stop := context.WithTimeout(ctx, 15*time.Second)
	defer stop()
	go func() { claimed <- claims(watch, old) }()
	last := 1
	for watch.Err() == nil {
		last++
		who, err := write(last)
		if err != nil || who == old.Bolt {
			t.Errorf("write %d, %.1f s after %s went on: answered by %s, %v", last, time.Since(suspended).Seconds(), old.Name, who, err)
			break
		}
	}
	stop()
	t.Logf("%s said %d times after it went on that it leads; %d writes meanwhile, none of them there", old.Name, <-claimed, last-1)
	kept, err := managed(ctx, driver, neo4j.AccessModeWrite, "MATCH (n:Stale) RETURN toString(count(DISTINCT n.id)) + '/' + toString(count(n))")
	if want := fmt.Sprintf("%d/%d", last+1, last+1); err != nil || kept != want {
		t.Errorf("writes that are there, and how often: %s, %v; want %s", kept, err, want)
	}
	c.WaitReady()
}

// claims counts how often a member says that it leads, until ctx ends.
func claims(ctx context.Context, m *labs.Member) (n int) {
	for ctx.Err() == nil {
		if role, err := m.Role(ctx); err == nil && role == labs.Leader {
			n++
		}
		time.Sleep(5 * time.Millisecond)
	}
	return n
}
