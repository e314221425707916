package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
	"github.com/boltgate/boltgate/test/seeds"
)

// This file shows that work finds its database's leader while the leaders of several databases move under load, and that
// nothing is lost, done twice or told to the wrong client meanwhile.

const (
	movingClients = 6
	movingWork    = 12                     // units of work of each
	movingChecks  = 100 * time.Millisecond // between two checks of a member
	movingNotice  = 250 * time.Millisecond // after a move, in which a write may still knock at the former leader
)

// TestLeadersOfDatabasesMoveUnderLoad runs one cluster and gate for each seed (test/seeds; 1,000 take a
// few minutes). In even seeds leaders only move; in odd ones members also die, hang and
// are cut off.
func TestLeadersOfDatabasesMoveUnderLoad(t *testing.T) {
	usual := int64(24)
	if testing.Short() || raceDetector {
		usual = 8
	}
	from, to := seeds.Range(t, usual)
	total := new(tally)
	t.Run("seeds", func(t *testing.T) {
		for worker := range int64(2) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for seed := from + worker; seed <= to && !t.Failed(); seed += 2 {
					synctest.Test(t, func(t *testing.T) { newMoving(t, seed).run(total) })
				}
			})
		}
	})
	made := to - from + 1
	t.Logf("%d seeds: %+v", made, total.counts)
	if made >= 8 && (total.counts.Acknowledged == 0 || total.counts.Moves == 0 || total.counts.Knocked == 0) {
		t.Errorf("the test did not test: %+v", total.counts)
	}
}

// counts are what the seeds came to.
type counts struct {
	Acknowledged, Failed, InDoubt, Reads int // units of work
	Moves, Trouble                       int // of leaders; members that died, hung or were cut off
	Knocked                              int // writes that a former leader was asked for
}

type tally struct {
	mu     sync.Mutex
	counts counts
}

func (t *tally) add(c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Acknowledged += c.Acknowledged
	t.counts.Failed += c.Failed
	t.counts.InDoubt += c.InDoubt
	t.counts.Reads += c.Reads
	t.counts.Moves += c.Moves
	t.counts.Trouble += c.Trouble
	t.counts.Knocked += c.Knocked
}

// moving is one seed.
type moving struct {
	t      *testing.T
	seed   int64
	rough  bool
	random *rand.Rand // of the mover
	g      *gate
	dbs    []string // that lie on every member, and with part the one that does not
	part   string

	mu     sync.Mutex
	counts counts
	fate   map[string]fate      // by mark: what its client was told
	home   map[string]string    // by mark: the database that it belongs to
	moved  map[string]time.Time // by database: when its leader moved last
	quiet  bool                 // leaders do not move any more
}

// fate is what a client knows of a write.
type fate uint8

const (
	failed fate = iota
	acknowledged
	inDoubt
)

func newMoving(t *testing.T, seed int64) *moving {
	m := &moving{t: t, seed: seed, rough: seed%2 == 1, random: rand.New(rand.NewPCG(uint64(seed), 7)), dbs: []string{"neo4j", "orders", "users"}, part: "part",
		fate: make(map[string]fate), home: make(map[string]string), moved: make(map[string]time.Time)}
	o := standin.Options{
		Seed: seed, Members: 3 + 2*m.random.IntN(2), Replicas: m.random.IntN(2), Databases: append(slices.Clone(m.dbs), m.part),
		Hosting: map[string][]string{m.part: {"s2", "s3"}}, Aliases: map[string]string{"alias": "orders"},
		Home: map[string]string{"u1": "users"}, Users: map[string]string{standin.DefaultUser: standin.DefaultPassword, "u1": "p", "u2": "p"},
		SSR: m.random.IntN(2) == 0, LateRefusal: m.random.IntN(4) == 0, ElectionTime: 400 * time.Millisecond, OnQuery: m.note,
		Lag: time.Duration(m.random.IntN(20)) * time.Millisecond,
	}
	log := new(bytes.Buffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gate's log of seed %d:\n%s", seed, log)
		}
	})
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	m.g = startGate(t, gateOptions{standin: o, log: slog.New(slog.NewTextHandler(log, level)), network: memnet.New(seed), health: func(h *health.Options) {
		h.Interval, h.FastInterval, h.Timeout = movingChecks, 20*time.Millisecond, 400*time.Millisecond
	}})
	m.g.await(func(v *cluster.View) bool {
		return !slices.ContainsFunc(append(slices.Clone(o.Databases), "system", "alias"), func(db string) bool { return v.Leader(db) == nil })
	})
	return m
}

// run is a seed from its first unit of work to the look at the logs.
func (m *moving) run(total *tally) {
	stop, moverEnded := make(chan struct{}), make(chan struct{})
	go func() { defer close(moverEnded); m.move(stop) }()
	m.clients(movingWork, 0)
	close(stop)
	<-moverEnded
	m.repair()
	time.Sleep(2 * time.Second)
	m.mu.Lock()
	m.quiet = true
	m.mu.Unlock()
	m.clients(3, movingWork)
	m.look()
	total.add(m.counts)
}

func (m *moving) clients(work, from int) {
	var wg sync.WaitGroup
	for id := range movingClients {
		wg.Go(func() {
			c := &mover{m: m, id: id, random: rand.New(rand.NewPCG(uint64(m.seed), uint64(100+id+from)))}
			defer c.leave()
			for i := range work {
				c.step(fmt.Sprintf("%d-%d-%d", m.seed, id, from+i))
				time.Sleep(time.Duration(c.random.IntN(60)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// move moves leaders until stop closes, and in rough seeds makes trouble.
func (m *moving) move(stop chan struct{}) {
	members := m.g.cluster.Members()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(2+m.random.IntN(50)) * time.Millisecond):
		}
		db := append(slices.Clone(m.dbs), m.part, "system")[m.random.IntN(len(m.dbs)+2)]
		name := members[m.random.IntN(len(members))].Name
		if db == m.part {
			name = []string{"s2", "s3"}[m.random.IntN(2)]
		}
		if m.rough && m.random.IntN(16) == 0 {
			m.trouble(name)
			continue
		}
		m.mu.Lock()
		m.moved[db] = time.Now()
		m.mu.Unlock()
		if m.g.cluster.Elect(db, name) == nil {
			m.mu.Lock()
			m.counts.Moves++
			m.moved[db] = time.Now()
			m.mu.Unlock()
		}
	}
}

func (m *moving) trouble(name string) {
	m.mu.Lock()
	m.counts.Trouble++
	m.mu.Unlock()
	m.repair()
	switch m.random.IntN(3) {
	case 0:
		m.g.cluster.Kill(name) //nolint:errcheck // a member of the list
	case 1:
		m.g.cluster.Freeze(name) //nolint:errcheck // as above
	case 2:
		m.g.cluster.Partition(name) //nolint:errcheck // as above
	}
}

func (m *moving) repair() {
	m.g.cluster.Heal()
	for _, member := range m.g.cluster.Members() {
		m.g.cluster.Thaw(member.Name) //nolint:errcheck // a member of the list
		if !m.g.cluster.Alive(member.Name) {
			m.g.cluster.Restart(member.Name) //nolint:errcheck // as above
		}
	}
}

// note looks at each write before a member runs it: another than the leader is asked only in the moment after a move.
func (m *moving) note(q standin.Query) {
	if !strings.HasPrefix(q.Text, "CREATE") {
		return
	}
	if m.g == nil || m.g.cluster.Role(q.DB, q.Runs) == cluster.Leader {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.Knocked++
	if late := time.Since(m.moved[q.DB]); m.quiet || !m.rough && late > movingNotice {
		m.t.Errorf("seed %d: write %v to %s was sent to %s %v after its leader last moved", m.seed, q.Mark, q.DB, q.Runs, late)
	}
}

// look compares what clients were told with what was committed.
func (m *moving) look() {
	times, where := make(map[string]int), make(map[string]string)
	for _, db := range append(slices.Clone(m.dbs), m.part) {
		for _, e := range m.g.cluster.Log(db) {
			for _, mark := range e.Marks {
				text := fmt.Sprint(mark)
				times[text]++
				where[text] = db
			}
		}
	}
	for mark, n := range times {
		if _, known := m.fate[mark]; !known || n > 1 || where[mark] != m.home[mark] {
			m.t.Errorf("seed %d: %s was committed %d times, to %s; it belongs to %s", m.seed, mark, n, where[mark], m.home[mark])
		}
	}
	for mark, f := range m.fate {
		if n := times[mark]; f == acknowledged && n != 1 || f == failed && n != 0 {
			m.t.Errorf("seed %d: %s, whose client was told %d (0 failed, 1 acknowledged), was committed %d times", m.seed, mark, f, n)
		}
	}
}

// mover is one client.
type mover struct {
	m      *moving
	id     int
	random *rand.Rand
	c      *bolt.Client
	conn   net.Conn
	user   string
}

func (c *mover) leave() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.c = nil, nil
	}
}

// client is the connection to the gate, a new one when the last broke.
func (c *mover) client() *bolt.Client {
	if c.c != nil {
		return c.c
	}
	conn, err := c.m.g.network.DialFrom(context.Background(), fmt.Sprint("client", c.id), c.m.g.address)
	if err != nil {
		c.m.t.Errorf("seed %d: %v", c.m.seed, err)
		return nil
	}
	v := []bolt.Version{bolt.V5_8, bolt.V5_4, bolt.V5_0, bolt.V4_4, bolt.V4_1}[c.random.IntN(5)]
	c.user = []string{"u1", "u2"}[c.id%2]
	cl := bolt.NewClient(conn, v)
	_, err = bolt.Handshake(conn, v)
	if err == nil {
		err = cl.Logon(bolt.HelloOptions{Agent: "test/1"}, bolt.Basic(c.user, "p"))
	}
	if err != nil {
		conn.Close()
		c.m.t.Errorf("seed %d: log-on over %v: %v", c.m.seed, v, err)
		return nil
	}
	c.c, c.conn = cl, conn
	return cl
}

// step does one unit of work.
func (c *mover) step(mark string) {
	m := c.m
	db := append(slices.Clone(m.dbs), m.part)[c.random.IntN(len(m.dbs)+1)]
	extra := map[string]any{"db": db}
	home := map[string]string{"u1": "users", "u2": "neo4j"}[[]string{"u1", "u2"}[c.id%2]]
	switch c.random.IntN(9) {
	case 0, 1:
		c.auto(mark, "CREATE (n) RETURN n", db, extra)
	case 2:
		c.auto(mark, "CREATE (n) RETURN n", home, nil)
	case 3:
		c.auto(mark, "CREATE (n) RETURN n", "orders", map[string]any{"db": "Alias"})
	case 4:
		c.auto(mark, "USE "+db+" CREATE (n) RETURN n", db, []map[string]any{nil, {"db": "orders"}}[c.random.IntN(2)])
	case 5:
		c.transaction(mark, db, extra)
	case 6:
		c.read(mark, []string{"MATCH (n) RETURN n", "SHOW TRANSACTIONS"}[c.random.IntN(2)], db, extra)
	case 7:
		extra["mode"] = "r"
		c.read(mark, "MATCH (n) RETURN n", db, extra)
	case 8:
		c.overHTTP(mark, db)
	}
}

// auto is an auto-commit write.
func (c *mover) auto(mark, text, db string, extra map[string]any) {
	cl := c.client()
	if cl == nil {
		return
	}
	c.m.expect(mark, db)
	res, err := cl.Query(text, map[string]any{"mark": mark}, extra)
	c.check(res, mark, db)
	c.m.told(mark, c.outcome(err, false))
}

// transaction is an explicit one of two writes.
func (c *mover) transaction(mark, db string, extra map[string]any) {
	cl := c.client()
	if cl == nil {
		return
	}
	marks := []string{mark + "a", mark + "b"}
	f := failed
	_, err := cl.AskReady(bolt.AppendMessage(nil, bolt.TagBegin, extra))
	for _, part := range marks {
		c.m.expect(part, db)
		if err == nil {
			var res *bolt.Result
			res, err = cl.Query("CREATE (n) RETURN n", map[string]any{"mark": part}, map[string]any{})
			c.check(res, part, db)
		}
	}
	if err == nil {
		_, err = cl.AskReady(bolt.AppendMessage(nil, bolt.TagCommit))
		f = c.outcome(err, true)
	} else if c.outcome(err, false) == acknowledged {
		f = acknowledged
	}
	for _, part := range marks {
		c.m.told(part, f)
	}
}

func (c *mover) read(mark, text, db string, extra map[string]any) {
	cl := c.client()
	if cl == nil {
		return
	}
	res, err := cl.Query(text, map[string]any{"mark": mark}, extra)
	c.check(res, mark, db)
	if c.outcome(err, false) == acknowledged {
		c.m.mu.Lock()
		c.m.counts.Reads++
		c.m.mu.Unlock()
	}
}

// check holds a result against the question.
func (c *mover) check(res *bolt.Result, mark, db string) {
	if res == nil {
		return
	}
	for _, row := range res.Rows {
		got := make(map[string]any)
		for i, f := range res.Fields {
			got[f] = row[i]
		}
		if got["mark"] != mark || got["db"] != db || got["user"] != c.user {
			c.m.t.Errorf("seed %d: %s of %s asked with mark %s about %s and got %v", c.m.seed, fmt.Sprint("client", c.id), c.user, mark, db, got)
		}
	}
}

// outcome reads an error. What it says about members is never for clients, but for a COMMIT, which they hear whole.
func (c *mover) outcome(err error, commit bool) fate {
	if err == nil {
		return acknowledged
	}
	f, ok := errors.AsType[*bolt.Failure](err)
	if !ok {
		c.leave()
		if !c.m.rough {
			c.m.t.Errorf("seed %d: the connection broke although no member did: %v", c.m.seed, err)
		}
		return inDoubt
	}
	return c.m.judge(f.Code, f.Message, commit)
}

// judge tells what a code says about a write, and whether a client may get it at all.
func (m *moving) judge(code, message string, commit bool) fate {
	switch code {
	case bolt.CodeLeaderSwitch:
		return failed
	case bolt.CodeNotALeader:
		if commit {
			return failed
		}
	case bolt.CodeCommitFailed, "Neo.TransientError.Cluster.ReplicationFailure":
		if m.rough {
			return inDoubt
		}
	}
	m.t.Errorf("seed %d: a client was told %s: %s", m.seed, code, message)
	return inDoubt
}

// overHTTP is a write by HTTP.
func (c *mover) overHTTP(mark, db string) {
	c.m.expect(mark, db)
	body, _ := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": "CREATE (n) RETURN n", "parameters": map[string]any{"mark": mark}}}})
	r, _ := http.NewRequest("POST", "http://"+c.m.g.address+"/db/"+db+"/tx/commit", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("u2", "p")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return c.m.g.network.DialFrom(ctx, fmt.Sprint("client", c.id), address)
	}}}
	resp, err := client.Do(r)
	if err != nil {
		c.m.told(mark, c.outcome(err, false))
		return
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	a := webAnswer{status: resp.StatusCode, raw: string(raw)}
	if err != nil || json.Unmarshal(raw, &a.body) != nil {
		c.m.told(mark, inDoubt)
		return
	}
	if code := a.code(); code != "" {
		c.m.told(mark, c.m.judge(code, a.raw, false))
		return
	}
	if a.field("mark") != mark || a.field("db") != db {
		c.m.t.Errorf("seed %d: asked over HTTP with mark %s about %s, got %v", c.m.seed, mark, db, a)
	}
	c.m.told(mark, acknowledged)
}

func (m *moving) expect(mark, db string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.home[mark] = db
}

func (m *moving) told(mark string, f fate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fate[mark] = f
	switch f {
	case acknowledged:
		m.counts.Acknowledged++
	case failed:
		m.counts.Failed++
	case inDoubt:
		m.counts.InDoubt++
	}
}
