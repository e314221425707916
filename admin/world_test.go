package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/backup"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/querystats"
)

// fakeGate is what the operator's side is told of clients and pools.
type fakeGate struct {
	mu       sync.Mutex
	stats    map[string]pool.Stats    // guarded by mu once looks are taken
	counters map[string]pool.Counters // guarded by mu once samples are taken
	fronts   map[string]proxy.FrontendStats
	clients  []proxy.Client
	killed   []string
	queries  *querystats.Table
	slow     []proxy.SlowQuery
	counts   *proxy.Counts // nil: some of each
	checks   map[string]health.Checks
	ends     time.Time // guarded by mu: when the certificate does
}

func (f *fakeGate) Checks(member string) health.Checks { return f.checks[member] }

func (f *fakeGate) Queries() *querystats.Table     { return f.queries }
func (f *fakeGate) SlowQueries() []proxy.SlowQuery { return f.slow }

func (f *fakeGate) Transactions(*cluster.Member) int { return 0 }

func (f *fakeGate) Stats(member string) pool.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats[member]
}

func (f *fakeGate) certificates() map[string]time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[string]time.Time{"frontend main": f.ends}
}

func (f *fakeGate) Counters(member string) pool.Counters {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counters[member]
}

func (f *fakeGate) Slots(*cluster.Member) int                 { return 100 }
func (f *fakeGate) Frontends() map[string]proxy.FrontendStats { return f.fronts }

func (f *fakeGate) Counts() proxy.Counts {
	if f.counts != nil {
		return *f.counts
	}
	return proxy.Counts{Held: 7, HeldBytes: 4096, InDoubt: 1, Spans: otlp.Counts{Sent: 11, Full: 12, Refused: 13, Lost: 14}, Resent: map[string]int64{"lost": 2},
		Refused: map[string]int64{"hold": 3, "address_connections": 1}, Limited: map[string]int64{"rows": 2, "login": 4}, Replays: map[string]int64{"done": 1}}
}

func (f *fakeGate) Clients() []proxy.Client { return slices.Clone(f.clients) }

func (f *fakeGate) Kill(id string) bool {
	known := slices.ContainsFunc(f.clients, func(c proxy.Client) bool { return c.ID == id })
	if known {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.killed = append(f.killed, id)
	}
	return known
}

// fakeControl notes what it is asked, and says err.
type fakeControl struct {
	mu    sync.Mutex
	asked []string // guarded by mu while the server listens
	err   error
}

func (f *fakeControl) has(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.asked, what)
}

func (f *fakeControl) ask(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	return f.err
}

func (f *fakeControl) SetCondition(_ context.Context, member string, to cluster.Condition, force bool) error {
	if force {
		return f.ask(to.String() + " " + member + " forced")
	}
	return f.ask(to.String() + " " + member)
}

func (f *fakeControl) SetWeight(_ context.Context, member string, weight int) error {
	return f.ask(fmt.Sprint("weight ", member, " ", weight))
}
func (f *fakeControl) Reload(context.Context) error { return f.ask("reload") }
func (f *fakeControl) PreviewReload(context.Context) ([]string, error) {
	return []string{"failover.hold: 20s -> 10s"}, f.ask("preview")
}

// testWorld is an operator's side whose surroundings a test sets.
type testWorld struct {
	*Server
	t       testing.TB
	current *cluster.Current
	gate    *fakeGate
	control *fakeControl
	events  *Events
}

func newTestWorld(t testing.TB, o Options) *testWorld {
	w := &testWorld{t: t, current: new(cluster.Current), gate: &fakeGate{queries: querystats.New(), ends: time.Unix(4_100_000_000, 0)}, control: new(fakeControl), events: new(Events)}
	w.Server = New(World{Current: w.current, Monitor: w.gate, Pools: w.gate, Gate: w.gate, Control: w.control, Events: w.events,
		Log: slog.New(w.events.Tee(slog.DiscardHandler)), Version: "test",
		Certificates: w.gate.certificates,
		Backups: func() []backup.State {
			return []backup.State{{Job: "nightly", Last: time.Unix(1_700_000_000, 0), Due: time.Unix(1_700_093_600, 0)}, {Job: "weekly", Due: time.Unix(4_000_000_000, 0), Problem: "open /backups: permission denied"}}
		}})
	t.Cleanup(w.Server.Close)
	if err := w.Apply(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// cluster publishes a cluster of three and a replica, with a lagging member and a database without a leader.
func (w *testWorld) cluster() *testWorld {
	up := func(name string, roles map[string]cluster.Role) *cluster.Status {
		return &cluster.Status{Member: &cluster.Member{Name: name, Bolt: name + ":7687", HTTP: name + ":7474", Weight: 1}, Up: true,
			Since: time.Now().Add(-time.Hour), Roles: roles, Agent: "Neo4j/5.26.0"}
	}
	a := up("a", map[string]cluster.Role{"neo4j": cluster.Leader, "system": cluster.Follower, "sales": cluster.Follower})
	b := up("b", map[string]cluster.Role{"neo4j": cluster.Follower, "system": cluster.Leader, "sales": cluster.Follower})
	c := up("c", map[string]cluster.Role{"neo4j": cluster.Follower, "system": cluster.Follower, "sales": cluster.Unknown})
	d := up("d", map[string]cluster.Role{"neo4j": cluster.Replica})
	b.Progress = map[string]cluster.Progress{"neo4j": {Tx: 90, Lag: 10}}
	c.Condition, c.Asked = cluster.Drain, time.Now().Add(-5*time.Minute)
	d.Up, d.LastError, d.Roles, d.Tags = false, "connection refused", nil, []string{"zone-b"}
	passed := health.Checks{At: time.Now().Add(-400 * time.Millisecond), Took: 3200 * time.Microsecond, Result: health.Passed}
	w.gate.checks = map[string]health.Checks{"a": passed, "b": passed, "c": passed,
		"d": {At: time.Now(), Took: 200 * time.Microsecond, Result: health.Unreachable, Failed: 3, Falls: 1, Down: time.Hour}}
	w.gate.stats = map[string]pool.Stats{"a": {Open: 5, Idle: 2, InFlight: 3, Queued: 1}}
	n := pool.Counters{Broken: 1, Opened: 6, In: 12_345, Out: 3_000_000, Failures: map[string]uint64{"Neo.ClientError.Statement.SyntaxError": 2}}
	n.Writes[pool.Bolt].Buckets[3], n.Writes[pool.Bolt].Sum = 40, 16*time.Millisecond
	n.Reads[pool.HTTPUnits].Buckets[len(pool.Bounds)], n.Reads[pool.HTTPUnits].Sum = 2, 3*time.Minute
	w.gate.counters = map[string]pool.Counters{"a": n}
	w.gate.fronts = map[string]proxy.FrontendStats{"main": {Name: "main", Bind: []string{":7687"}, Open: 3, Working: 2, Max: 10000, Accepted: 9, Refused: 1, In: 23_456, Out: 4_000_000,
		Writes: [2]uint64{40, 0}, Reads: [2]uint64{0, 2}, Failures: map[string]uint64{"Neo.TransientError.Transaction.LeaderSwitch": 1}}}
	client := func(n int, state, member string) proxy.Client {
		c := proxy.Client{ID: fmt.Sprint("boltgate-", n), Frontend: "main", Address: "10.0.0.9:5000", Protocol: "bolt 5.4", User: "<b>ann</b>", Agent: "neo4j-go/5", State: state, Member: member}
		if member != "" {
			c.Query = "MATCH (r:`<u>` {x: ?}) RETURN r"
			c.Work = pool.Work{Began: time.Now().Add(-time.Duration(n) * time.Second), DB: "neo4j", Read: n > 1}
		}
		return c
	}
	shape := w.gate.queries.ID([]byte("MATCH (n:`<b>`) RETURN n"))
	w.gate.queries.Add(shape, 0, 20*time.Millisecond, 7, true)
	w.gate.slow = []proxy.SlowQuery{{At: time.Now(), Text: "MATCH (s:`<i>`) RETURN s", Took: 1500 * time.Millisecond, Session: "boltgate-1", User: "ann", Member: "a", Database: "neo4j", Read: true}}
	w.gate.clients = []proxy.Client{client(3, proxy.ClientIdle, ""), client(1, proxy.ClientWorking, "a"), client(10, proxy.ClientTransaction, "b"), client(4, proxy.ClientWaiting, "")}
	w.current.Publish(&cluster.View{Generation: cluster.Autonomous, Default: "neo4j", Members: []*cluster.Status{a, b, c, d}})
	return w
}

// do sends a request to the API, not over a network, and returns its answer. Headers are "Name: value".
func (w *testWorld) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8474"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	got := httptest.NewRecorder()
	w.all.ServeHTTP(got, r)
	return got
}

// want sends a request and checks the answer's status, and that it holds text.
func (w *testWorld) want(status int, text, method, path, body string, headers ...string) {
	w.t.Helper()
	got := w.do(method, path, body, headers...)
	if got.Code != status || !strings.Contains(got.Body.String(), text) {
		w.t.Errorf("%s %s %s %q: got %d %s; want %d with %q", method, path, body, headers, got.Code, got.Body, status, text)
	}
}

func decode[T any](t testing.TB, from io.Reader) (v T) {
	t.Helper()
	if err := json.NewDecoder(from).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func get[T any](w *testWorld, path string) T {
	w.t.Helper()
	got := w.do(http.MethodGet, path, "")
	if got.Code != http.StatusOK {
		w.t.Fatalf("%s: got %d %s", path, got.Code, got.Body)
	}
	return decode[T](w.t, got.Body)
}
