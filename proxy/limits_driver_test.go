package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// TestEachLimitAsADriverSeesIt: an official driver gets the code and a message that names the key, takes what passes for a reason to try again
// and the rest for none, and goes on with the same gate when the limit no longer stands in its way.
func TestEachLimitAsADriverSeesIt(t *testing.T) {
	v := bolt.V5_4
	oneAtOnce := func(l Limits) gateOptions {
		return gateOptions{standin: twoUsers, server: Options{Limits: l}}
	}
	impatient := func(o gateOptions) gateOptions {
		o.frontend = func(f *Frontend) { f.Timeouts.Queue = 100 * time.Millisecond }
		return o
	}
	busy := func(g *gate) (over func()) {
		w := g.logged(v)
		w.send(run(v, longRead, nil, nil), pull(v))
		g.taken(1)
		return func() { w.conn.Close(); g.noPlaces() }
	}
	atMember := func(g *gate) (over func()) {
		var all []*wire
		for range len(g.cluster.Members()) - 1 { // the readers; each has one place
			all = append(all, g.logged(v))
		}
		for i, w := range all {
			w.send(run(v, longRead, nil, nil), pull(v))
			waitFor(t, "one more place is taken", func() bool { return g.atWork() == i+1 })
		}
		return func() {
			for _, w := range all {
				w.conn.Close()
			}
			waitFor(t, "the places to be free", func() bool { return g.atWork() == 0 })
		}
	}
	for _, tt := range []struct {
		limit   string
		gate    gateOptions
		taken   func(*gate) (over func()) // takes what there is; nil: nothing has to be
		text    string                    // "" is oneRow
		code    string
		message string
		again   bool // the driver's transaction functions would try again
		logged  bool // the driver logs on before anything is taken
		rows    int  // that come first
	}{
		{limit: "max_per_address", gate: gateOptions{frontend: func(f *Frontend) { f.MaxPerAddress = 1 }}, code: bolt.CodeNoThreads, message: "max_per_address", again: true,
			taken: func(g *gate) func() { w := g.logged(v); return func() { w.conn.Close(); g.connected(0) } }},
		{limit: "rate", gate: gateOptions{server: Options{Limits: Limits{PerUser: UserLimits{Rate: 2}, Burst: 1}}}, code: bolt.CodeNoThreads, message: "limits.rate", again: true,
			taken: func(g *gate) func() {
				w := g.logged(v)
				w.row(oneRow, nil, nil)
				return func() { time.Sleep(time.Second) } // the rate is of the real clock: half a second is one more
			}},
		{limit: "per_user.max_queued", gate: oneAtOnce(Limits{PerUser: UserLimits{MaxInFlight: 1}}), taken: busy, code: bolt.CodeNoThreads, message: "limits.per_user.max_queued", again: true},
		{limit: "per_user.max_in_flight", gate: impatient(oneAtOnce(Limits{PerUser: UserLimits{MaxInFlight: 1}, UserQueue: 9})), taken: busy, code: bolt.CodeNoThreads, message: "limits.per_user.max_in_flight", again: true},
		{limit: "per_database.max_queued", gate: oneAtOnce(Limits{PerDatabase: 1}), taken: busy, code: bolt.CodeNoThreads, message: "limits.per_database.max_queued", again: true},
		{limit: "per_database.max_in_flight", gate: impatient(oneAtOnce(Limits{PerDatabase: 1, DatabaseQueue: 9})), taken: busy, code: bolt.CodeNoThreads, message: "limits.per_database.max_in_flight", again: true},
		{limit: "pool", gate: impatient(gateOptions{pool: pool.Options{MaxPerMember: 1}}), taken: atMember, code: bolt.CodeNoThreads, message: "too much work is waiting", again: true, logged: true},
		{limit: "timeouts.transaction", gate: gateOptions{frontend: func(f *Frontend) { f.Timeouts.Transaction = 200 * time.Millisecond }}, text: longRead,
			code: "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"},
		{limit: "max_rows", gate: limitedTo(10, 0), text: manyRows, code: bolt.CodeTerminated, message: "max_rows", rows: 10},
		{limit: "max_bytes", gate: limitedTo(0, 5000), text: manyRows, code: bolt.CodeTerminated, message: "max_bytes", rows: 5},
		{limit: "memory", gate: gateOptions{server: Options{ParkEvery: 10 * time.Millisecond}}, code: bolt.CodeNoThreads, message: "limits.memory", again: true,
			taken: func(g *gate) func() {
				percent := g.inUse()
				percent.Store(96)
				waitFor(t, "memory to be full", g.server.memory.full.Load)
				return func() {
					percent.Store(10)
					waitFor(t, "room", func() bool { return !g.server.memory.full.Load() })
				}
			}},
		{limit: "request", gate: gateOptions{server: Options{RequestLimit: 4096}}, text: "RETURN 1 //" + strings.Repeat("x", 50_000), code: bolt.CodeInvalidRequest, message: "limits.request"},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			g := startGate(t, tt.gate)
			driver := driverAt(t, "bolt://"+g.address)
			if tt.logged {
				if err := driver.VerifyConnectivity(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			over := func() {}
			if tt.taken != nil {
				over = tt.taken(g)
			}
			text := tt.text
			if text == "" {
				text = oneRow
			}
			rows, err := readAll(t.Context(), driver, text)
			failure, ok := errors.AsType[*neo4j.Neo4jError](err)
			if !ok || failure.Code != tt.code || !strings.Contains(failure.Msg, tt.message) || neo4j.IsRetryable(err) != tt.again || rows != tt.rows {
				t.Errorf("%d rows, then %v (to be tried again: %v); want %d, %s with %q, %v", rows, err, neo4j.IsRetryable(err), tt.rows, tt.code, tt.message, tt.again)
			}
			over()
			if rows, err := readAll(t.Context(), driver, oneRow); rows != 1 || err != nil {
				t.Errorf("the next query: %d rows, %v", rows, err)
			}
		})
	}
}

// atWork is how many units of work members have.
func (g *gate) atWork() (n int) {
	for _, m := range g.cluster.Members() {
		n += g.pools.Stats(m.Name).InFlight
	}
	return n
}

// readAll runs an auto-commit query, which no driver repeats, and returns how many rows came.
func readAll(ctx context.Context, driver neo4j.DriverWithContext, text string) (rows int, err error) {
	s := driver.NewSession(ctx, neo4j.SessionConfig{AccessMode: neo4j.AccessModeRead})
	defer s.Close(ctx)
	result, err := s.Run(ctx, text, nil)
	if err != nil {
		return 0, err
	}
	for result.Next(ctx) {
		rows++
	}
	return rows, result.Err()
}
