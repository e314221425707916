package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
	"github.com/boltgate/boltgate/test/seeds"
)

// This file upgrades clusters member by member, and rolls them back, under sessions that are open and busy, by seeds.

// condition has the operator set a member to drain, or back to ready.
func (g *gate) condition(name string, c cluster.Condition) {
	g.t.Helper()
	o := g.checks
	o.Conditions = map[string]cluster.Condition{name: c}
	g.monitor.Update(o)
	g.await(func(v *cluster.View) bool { return v.Member(name).Condition == c })
}

// replace makes a member another release as operators do it: it hands over what it leads, is drained, and stops when nothing
// runs on it any more.
func (g *gate) replace(name, version string) {
	g.t.Helper()
	for _, db := range []string{"neo4j", "system"} {
		if g.cluster.Leader(db) == name {
			if err := g.cluster.Elect(db, g.otherThan(name)); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	g.await(func(v *cluster.View) bool { l := v.Leader(""); return l != nil && l.Name != name })
	g.condition(name, cluster.Drain)
	g.awaitIdle(name)
	g.become(name, version)
	g.condition(name, cluster.Ready)
}

func (g *gate) otherThan(name string) string {
	for _, m := range g.cluster.Members() {
		if m.Name != name && g.cluster.Alive(m.Name) {
			return m.Name
		}
	}
	panic("nobody else")
}

func (g *gate) awaitIdle(name string) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); g.pools.Stats(name).InFlight > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s is drained and still works", name)
		}
	}
}

// application is many callers, each with one connection that it opens anew when it lost it, as a driver's pool does.
type application struct {
	g    *gate
	rude bool // members are killed with work on them: outcomes may be in doubt

	mu      sync.Mutex
	version map[string]bolt.Version // by mark: that of the session which sent it
	done    map[string]bool         // acknowledged writes
	never   map[string]bool         // attempts of which it was said, or is plain, that they did nothing
	errs    []error
}

func (a *application) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.errs) < 10 {
		a.errs = append(a.errs, err)
	}
}

// caller is one of them.
type caller struct {
	*application
	name   string
	random *rand.Rand
	w      *wire // nil without a connection
	count  int
}

// work does units of work until the application ends; each is tried again, as transaction functions do, for up to 30 s.
func (c *caller) work(ctx context.Context) {
	for ctx.Err() == nil {
		c.oneUnit()
		time.Sleep(time.Duration(c.random.IntN(300)) * time.Millisecond)
	}
	if c.w != nil {
		c.w.conn.Close()
	}
}

func (c *caller) oneUnit() {
	c.count++
	kind := c.random.IntN(4)
	var last error
	for began, attempt := time.Now(), 0; time.Since(began) < 30*time.Second; attempt++ {
		mark := fmt.Sprintf("%s-%d-%d", c.name, c.count, attempt)
		done, err := c.attempt(kind, mark)
		if done {
			return
		}
		last = err
		time.Sleep(time.Duration(50+c.random.IntN(100)) * time.Millisecond)
	}
	c.note(fmt.Errorf("%s: a unit of work did not succeed in 30 s: %w", c.name, last))
}

// attempt tries one unit once. It is not done when it may be tried again, and nothing of it is committed then.
func (c *caller) attempt(kind int, mark string) (done bool, err error) {
	if c.w == nil {
		if err := c.connect(); err != nil {
			return false, err
		}
	}
	c.mu.Lock()
	c.version[mark] = c.w.v
	c.mu.Unlock()
	v, params := c.w.v, m{"mark": mark}
	messages, writes := [][]byte{run(v, aWrite, params, nil), pull(v)}, true
	switch kind {
	case 1:
		messages, writes = [][]byte{run(v, oneRow, params, m{"mode": "r"}), pull(v)}, false
	case 2:
		messages, writes = [][]byte{run(v, oneRow, params, nil), pull(v)}, false
	case 3:
		messages = join(beginTx(v, nil), messages, commitTx(v))
		if len(messages) != transactionRequests {
			return true, errors.New("a transaction has another number of requests")
		}
	}
	if _, err := c.w.conn.Write(slices.Concat(messages...)); err != nil {
		return false, c.lost(mark, 0, err)
	}
	return c.outcome(len(messages), mark, writes)
}

// outcome reads the answers and draws the conclusion that a driver would.
func (c *caller) outcome(due int, mark string, writes bool) (done bool, err error) {
	for got := 0; got < due; {
		a, err := c.w.tryRead()
		if err == nil && a.tag == 0 {
			err = io.ErrUnexpectedEOF
		}
		switch {
		case err != nil:
			return false, c.lost(mark, got, err)
		case a.tag == bolt.TagRecord:
			if row, ok := a.value.([]any); !ok || !slices.Contains(row, any(mark)) {
				c.note(fmt.Errorf("%s was answered by a record of another request: %v", mark, a.value))
			}
			continue
		case a.tag == bolt.TagFailure:
			return c.failed(mark, a, due == transactionRequests && got == due-1)
		}
		got++
	}
	if writes {
		c.mu.Lock()
		c.done[mark] = true
		c.mu.Unlock()
	}
	return true, nil
}

// replicationFailure is what the leader of too few members says at a commit.
const replicationFailure = "Neo.TransientError.Cluster.ReplicationFailure"

// transactionRequests are BEGIN, RUN, PULL and COMMIT.
const transactionRequests = 4

// failed judges a FAILURE, of COMMIT or of another request. The next attempt has a connection of its own, for the test wants many.
func (c *caller) failed(mark string, a answer, atCommit bool) (done bool, err error) {
	c.w.conn.Close()
	c.w = nil
	err = fmt.Errorf("%v: %v", a, a.value)
	switch code := a.code(); {
	case code == bolt.CodeCommitFailed && c.rude:
		return true, nil // in doubt: nobody may try again
	case code == replicationFailure && c.rude:
		return false, err // drivers try it again, on their own account
	case code == bolt.CodeNotALeader && atCommit: // what a member says of a COMMIT is not changed (docs/failover.md); the same holds
		return false, err
	case code == bolt.CodeLeaderSwitch:
		c.mu.Lock()
		c.never[mark] = true
		c.mu.Unlock()
		return false, err
	}
	c.note(fmt.Errorf("%s: %w", mark, err))
	return true, err
}

// lost judges the end of the connection. Before any answer nothing can have been done: a session ends between units.
func (c *caller) lost(mark string, answered int, err error) error {
	c.w.conn.Close()
	c.w = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered == 0 {
		c.never[mark] = true
	} else if !c.rude {
		c.errs = append(c.errs, fmt.Errorf("%s: the connection ended in the middle of the answers: %w", mark, err))
	}
	return err
}

// connect offers what a driver of several versions does, and logs on.
func (c *caller) connect() error {
	conn, err := c.g.network.Dial(context.Background(), "tcp", c.g.address)
	if err != nil {
		return err
	}
	v, err := bolt.Handshake(conn, bolt.V5_8, bolt.V5_4, bolt.V4_4, bolt.V4_3)
	if err != nil {
		conn.Close()
		if errors.Is(err, bolt.ErrNoVersion) {
			c.note(fmt.Errorf("%s: refused at the handshake: all members speak 4.4", c.name))
		}
		return err
	}
	w := &wire{t: c.g.t, conn: conn, v: v, in: bolt.Reader{Source: conn, Limit: 1 << 30}}
	for _, message := range logonMessages(v, standin.DefaultUser, standin.DefaultPassword) {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if a, err := w.tryRead(); err != nil || a.tag != bolt.TagSuccess {
			conn.Close()
			return fmt.Errorf("log-on: %v %v %w", a, a.value, err)
		}
	}
	c.w = w
	return nil
}

// verify holds the log to what callers were told: an acknowledged write is there once, an attempt that did nothing never.
func (a *application) verify() {
	t := a.g.t
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, err := range a.errs {
		t.Error(err)
	}
	times := map[string]int{}
	for _, mark := range a.g.marks() {
		times[mark.(string)]++
	}
	for mark, n := range times {
		if n > 1 || a.never[mark] {
			t.Errorf("%s is in the log %d times; acknowledged: %v, said to have done nothing: %v", mark, n, a.done[mark], a.never[mark])
		}
	}
	for mark := range a.done {
		if times[mark] != 1 {
			t.Errorf("%s was acknowledged and is in the log %d times", mark, times[mark])
		}
	}
	if len(a.done) < 20 {
		t.Errorf("only %d writes succeeded: this has shown little", len(a.done))
	}
}

// TestSessionsSurviveUpgradesAndRollBacks: whatever order the members change in, work goes on, each session on the version
// that it began with.
func TestSessionsSurviveUpgradesAndRollBacks(t *testing.T) {
	from, to := seeds.Range(t, 24)
	versions := map[bolt.Version]bool{}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { upgrades(t, seed, versions) })
		})
	}
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_4, bolt.V5_8} {
		if from != to && !versions[v] {
			t.Errorf("nothing ran on Bolt %v: this has shown little", v)
		}
	}
}

var releasePath = []string{"4.4.48", "5.13.0", "5.26.30", "2026.08.1"}

func upgrades(t *testing.T, seed int64, versions map[bolt.Version]bool) {
	random := rand.New(rand.NewPCG(uint64(seed), 0x76657273))
	at := random.IntN(len(releasePath))
	a := &application{rude: seed%2 == 1, version: map[string]bolt.Version{}, done: map[string]bool{}, never: map[string]bool{}}
	a.g = startGate(t, gateOptions{network: memnet.New(seed), standin: standin.Options{Seed: seed, ServerVersion: releasePath[at],
		ElectionTime: time.Second, OnQuery: a.ran}})
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 8 {
		c := &caller{application: a, name: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(uint64(seed), uint64(i)))}
		callers.Go(func() { c.work(ctx) })
	}
	for range 3 { // releases, one after the other, up or down
		time.Sleep(3 * time.Second)
		if at == 0 || at < len(releasePath)-1 && random.IntN(2) == 0 {
			at++
		} else {
			at--
		}
		members := []string{"s1", "s2", "s3"}
		random.Shuffle(3, func(i, j int) { members[i], members[j] = members[j], members[i] })
		for _, name := range members {
			if a.rude {
				a.g.become(name, releasePath[at])
			} else {
				a.g.replace(name, releasePath[at])
			}
			time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
			if other := members[random.IntN(3)]; random.IntN(2) == 0 {
				a.g.lead(other)
			}
		}
	}
	time.Sleep(3 * time.Second)
	stop()
	callers.Wait()
	a.verify()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, v := range a.version {
		versions[v] = true
	}
}

// ran holds every statement that a member runs to the version of the session that sent it.
func (a *application) ran(q standin.Query) {
	mark, ok := q.Mark.(string)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if want := a.version[mark]; q.Bolt != want {
		a.errs = append(a.errs, fmt.Errorf("%s came to %s over Bolt %v; its session speaks %v", mark, q.Member, q.Bolt, want))
	}
	if strings.HasPrefix(q.Text, "CREATE") && a.done[mark] {
		a.errs = append(a.errs, fmt.Errorf("%s runs again after it was acknowledged", mark))
	}
}
