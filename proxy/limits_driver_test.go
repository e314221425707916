package proxy

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// This file shows limits as an official driver sees them. What takes up a limit is in limits_taken_test.go.

// limitRow is one limit, and what a driver hears of it.
type limitRow struct {
	limit   string
	gate    gateOptions
	taken   func(*gate) (over func()) // takes what there is; nil: nothing has to be
	text    string                    // "" is oneRow
	write   bool
	code    string
	message string // a part of it: the key
	again   bool   // the driver's transaction functions try again
	rows    int    // that come first
	fresh   bool   // the driver comes only when the limit is reached; others have a routing table, and a connection
	driver  func(*config.Config)
}

var limitRows = []limitRow{
	{limit: "max_per_address", gate: gateOptions{frontend: func(f *Frontend) { f.MaxPerAddress = 1 }}, taken: aConnection, fresh: true,
		code: bolt.CodeNoThreads, message: "max_per_address", again: true},
	{limit: "rate.user", gate: gateOptions{server: slowRate(Limits{PerUser: UserLimits{Rate: perHour}})}, taken: theRate, code: bolt.CodeNoThreads, message: "limits.rate", again: true},
	{limit: "rate.address", gate: gateOptions{server: slowRate(Limits{AddressRate: perHour})}, taken: theRate, code: bolt.CodeNoThreads, message: "limits.rate", again: true},
	{limit: "per_user.max_queued", gate: narrow(Limits{PerUser: UserLimits{MaxInFlight: 1}}), taken: aPlace, code: bolt.CodeNoThreads, message: "limits.per_user.max_queued", again: true},
	{limit: "per_user.max_in_flight", gate: narrow(Limits{PerUser: UserLimits{MaxInFlight: 1}, UserQueue: 9}), taken: impatient(aPlace),
		code: bolt.CodeNoThreads, message: "limits.per_user.max_in_flight", again: true},
	{limit: "per_database.max_queued", gate: narrow(Limits{PerDatabase: 1}), taken: aPlace, code: bolt.CodeNoThreads, message: "limits.per_database.max_queued", again: true},
	{limit: "per_database.max_in_flight", gate: narrow(Limits{PerDatabase: 1, DatabaseQueue: 9}), taken: impatient(aPlace),
		code: bolt.CodeNoThreads, message: "limits.per_database.max_in_flight", again: true},
	{limit: "cluster.members[].max_in_flight", gate: gateOptions{standin: single, health: limited(1)}, taken: impatient(theMembers),
		code: bolt.CodeNoThreads, message: "cluster.members[].max_in_flight", again: true},
	{limit: "pool.max_per_member", gate: gateOptions{pool: pool.Options{MaxPerMember: 1}}, taken: impatient(theMembers), code: bolt.CodeNoThreads, message: "pool.max_per_member", again: true},
	{limit: "pool.max_queued", gate: gateOptions{pool: pool.Options{MaxPerMember: 1, MaxQueue: -1}}, taken: theMembers, code: bolt.CodeNoThreads, message: "pool.max_queued", again: true},
	{limit: "timeouts.transaction", taken: transactionTime, text: longRead,
		code: "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"},
	{limit: "per_user.transaction", taken: transactionTimeOfAUser, text: longRead,
		code: "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"},
	{limit: "max_rows", gate: limitedTo(10, 0), text: manyRows, code: bolt.CodeTerminated, message: "max_rows", rows: 10},
	{limit: "per_user.max_rows", gate: narrow(Limits{PerUser: UserLimits{MaxRows: 10}}), text: manyRows, code: bolt.CodeTerminated, message: "max_rows", rows: 10},
	{limit: "max_bytes", gate: limitedTo(0, 5000), text: manyRows, code: bolt.CodeTerminated, message: "max_bytes", rows: 5},
	{limit: "per_user.max_bytes", gate: narrow(Limits{PerUser: UserLimits{MaxBytes: 5000}}), text: manyRows, code: bolt.CodeTerminated, message: "max_bytes", rows: 5},
	{limit: "memory", gate: gateOptions{server: Options{ParkEvery: 10 * time.Millisecond}}, taken: theMemory, fresh: true, // for idle clients go before work is refused
		code: bolt.CodeNoThreads, message: "limits.memory", again: true},
	{limit: "request", gate: gateOptions{server: Options{RequestLimit: 4096}}, text: "RETURN 1 //" + strings.Repeat("x", 50_000), code: bolt.CodeInvalidRequest, message: "limits.request"},
	{limit: "failover.hold", gate: electing(Options{}), taken: theHold, text: aWrite, write: true, code: bolt.CodeLeaderSwitch, message: "failover.hold", again: true},
	{limit: "failover.max_held", gate: electing(Options{Hold: time.Hour, MaxHeld: 1}), taken: theLineForALeader, text: aWrite, write: true,
		code: bolt.CodeNoThreads, message: "failover.max_held", again: true},
	{limit: "auth.max_in_flight", gate: gateOptions{server: Options{AuthInFlight: 1}}, taken: impatient(theLogOn), driver: logsOnEachTime, code: bolt.CodeNoThreads, message: "auth.max_in_flight", again: true},
	{limit: "auth.max_in_flight and failover.max_held", gate: gateOptions{server: Options{AuthInFlight: 1, MaxHeld: 1}}, taken: theLineForALogOn, driver: logsOnEachTime,
		code: bolt.CodeNoThreads, message: "failover.max_held log-ons wait for auth.max_in_flight", again: true},
}

// TestEachLimitAsADriverSeesIt: an official driver gets the code and a message that names the key, and takes what passes for a reason to try
// again and the rest for none. A transaction function does try again, and succeeds when the limit no longer stands in its way. All the while
// the driver keeps the gate: it asks for no other routing table.
func TestEachLimitAsADriverSeesIt(t *testing.T) {
	for _, tt := range limitRows {
		t.Run(tt.limit, func(t *testing.T) {
			t.Parallel() // drivers wait for two seconds before they try again
			g := startGate(t, tt.gate)
			a := startLimitedDriver(t, g, &tt)
			over := func() {}
			if tt.taken != nil {
				over = tt.taken(g)
			}
			text := tt.text
			if text == "" {
				text = oneRow
			}
			rows, err := a.readAll(t.Context(), text)
			failure, ok := errors.AsType[*neo4j.Neo4jError](err)
			if !ok || failure.Code != tt.code || !strings.Contains(failure.Msg, tt.message) || neo4j.IsRetryable(err) != tt.again || rows != tt.rows {
				t.Errorf("%d rows, then %v (to be tried again: %v); want %d, %s with %q, %v", rows, err, neo4j.IsRetryable(err), tt.rows, tt.code, tt.message, tt.again)
			}
			if tt.again {
				before := g.turnedAway()
				done := make(chan error, 1)
				go func() { done <- a.transaction(t.Context(), text) }()
				waitFor(t, "the transaction function was refused", func() bool { return g.turnedAway() > before })
				over()
				if err := <-done; err != nil {
					t.Errorf("a transaction function: %v", err)
				}
			} else {
				over()
			}
			if rows, err := a.readAll(t.Context(), oneRow); rows != 1 || err != nil {
				t.Errorf("the next query: %d rows, %v", rows, err)
			}
			if n := a.tables.asked.Load(); !tt.fresh && n != 1 {
				t.Errorf("the driver asked for %d routing tables; want the first to be good", n)
			}
		})
	}
}

// logsOnEachTime has a driver use no connection twice.
func logsOnEachTime(c *config.Config) { c.MaxConnectionLifetime = time.Nanosecond }

// TestWhoIsOverMaxConnectionsWaits: nobody tells a driver so. Its connection waits unaccepted, for as long as it has the patience for, and
// comes in when another leaves.
func TestWhoIsOverMaxConnectionsWaits(t *testing.T) {
	g := startGate(t, gateOptions{frontend: func(f *Frontend) { f.MaxConnections = 1 }})
	w := g.logged(bolt.V5_4)
	hasty := startLimitedDriver(t, g, &limitRow{fresh: true, driver: func(c *config.Config) { c.ConnectionAcquisitionTimeout = 100 * time.Millisecond }})
	rows, err := hasty.readAll(t.Context(), oneRow)
	if _, told := errors.AsType[*neo4j.Neo4jError](err); rows != 0 || err == nil || told || !neo4j.IsRetryable(err) {
		t.Errorf("without patience: %d rows, %v; want a timeout of the driver's own", rows, err)
	}
	w.row(oneRow, nil, nil)
	w.conn.Close()
	if rows, err := startLimitedDriver(t, g, &limitRow{fresh: true}).readAll(t.Context(), oneRow); rows != 1 || err != nil {
		t.Errorf("when the other has left: %d rows, %v", rows, err)
	}
}

// limitedDriver is an official driver whose work meets a limit.
type limitedDriver struct {
	driver neo4j.DriverWithContext
	mode   neo4j.AccessMode
	tables tableCounter
}

// tableCounter counts the routing tables that a driver asks for. It is what the driver logs its messages with.
type tableCounter struct{ asked atomic.Int64 }

func (c *tableCounter) LogClientMessage(_, message string, _ ...any) {
	if strings.HasPrefix(message, "ROUTE") {
		c.asked.Add(1)
	}
}

func (c *tableCounter) LogServerMessage(string, string, ...any) {}

func startLimitedDriver(t *testing.T, g *gate, row *limitRow) *limitedDriver {
	t.Helper()
	scheme := "neo4j://"
	if row.fresh {
		scheme = "bolt://"
	}
	a := &limitedDriver{mode: neo4j.AccessModeRead}
	a.driver = driverAt(t, scheme+g.address, func(c *config.Config) {
		c.MaxTransactionRetryTime = patience
		if row.driver != nil {
			row.driver(c)
		}
	})
	if !row.fresh {
		if rows, err := a.readAll(t.Context(), oneRow); rows != 1 || err != nil {
			t.Fatalf("before the limit is reached: %d rows, %v", rows, err)
		}
		g.noPlaces()
		waitFor(t, "the members have no work", func() bool { return g.atWork() == 0 })
	}
	if row.write {
		a.mode = neo4j.AccessModeWrite
	}
	return a
}

func (a *limitedDriver) session(ctx context.Context) neo4j.SessionWithContext {
	return a.driver.NewSession(ctx, neo4j.SessionConfig{AccessMode: a.mode, DatabaseName: "neo4j", BoltLogger: &a.tables})
}

// readAll runs an auto-commit query, which no driver repeats, and returns how many rows came.
func (a *limitedDriver) readAll(ctx context.Context, text string) (rows int, err error) {
	s := a.session(ctx)
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

// transaction runs a text in a transaction function, which the driver repeats.
func (a *limitedDriver) transaction(ctx context.Context, text string) error {
	s := a.session(ctx)
	defer s.Close(ctx)
	execute := s.ExecuteRead
	if a.mode == neo4j.AccessModeWrite {
		execute = s.ExecuteWrite
	}
	_, err := execute(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		result, err := tx.Run(ctx, text, nil)
		if err != nil {
			return nil, err
		}
		return result.Single(ctx)
	})
	return err
}

// turnedAway is how often clients were told to come back.
func (g *gate) turnedAway() (n int64) {
	for _, one := range g.server.Counts().Refused {
		n += one
	}
	return n
}
