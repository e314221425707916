package proxy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// This file has the official driver live through what upgrade_test.go does: its pooled connections were agreed on with
// releases that are gone.

// service is one application with a driver of its own, whose transaction functions must never fail.
type service struct {
	name   string
	driver neo4j.DriverWithContext
	ended  sync.WaitGroup

	mu     sync.Mutex
	writes []string // acknowledged
	reads  int
	errs   []error
}

// driverAt is the official driver, logged on as the stand-ins' own user, until the test ends.
func driverAt(t *testing.T, url string, set ...func(*config.Config)) neo4j.DriverWithContext {
	t.Helper()
	driver, err := neo4j.NewDriverWithContext(url, neo4j.BasicAuth(standin.DefaultUser, standin.DefaultPassword, ""), set...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close(context.Background()) }) //nolint:errcheck // the test has seen what it wants
	return driver
}

func startService(ctx context.Context, t *testing.T, g *gate, name string) *service {
	t.Helper()
	driver := driverAt(t, "neo4j://"+g.address, func(c *config.Config) { c.MaxConnectionPoolSize = 4 })
	if err := driver.VerifyConnectivity(ctx); err != nil { // the driver fills in its dialer when it first connects, without a lock
		t.Fatal(err)
	}
	s := &service{name: name, driver: driver}
	for i := range 3 {
		s.ended.Go(func() { s.work(ctx, i) })
	}
	return s
}

// work writes and reads until ctx ends; what it has begun by then comes to its end.
func (s *service) work(ctx context.Context, worker int) {
	free := context.WithoutCancel(ctx)
	for n := 0; ctx.Err() == nil; n++ {
		mark := fmt.Sprintf("%s-%d-%d", s.name, worker, n)
		var err error
		switch n % 3 {
		case 0:
			err = s.managed(free, aWrite, mark, neo4j.SessionWithContext.ExecuteWrite)
		case 1:
			err = s.managed(free, oneRow, mark, neo4j.SessionWithContext.ExecuteRead)
		case 2:
			_, err = neo4j.ExecuteQuery(free, s.driver, aWrite, m{"mark": mark}, neo4j.EagerResultTransformer)
		}
		s.mu.Lock()
		switch {
		case err != nil:
			s.errs = append(s.errs, fmt.Errorf("%s: %w", mark, err))
		case n%3 == 1:
			s.reads++
		default:
			s.writes = append(s.writes, mark)
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
}

type execute = func(neo4j.SessionWithContext, context.Context, neo4j.ManagedTransactionWork, ...func(*neo4j.TransactionConfig)) (any, error)

func (s *service) managed(ctx context.Context, text, mark string, by execute) error {
	session := s.driver.NewSession(ctx, neo4j.SessionConfig{})
	defer session.Close(ctx)
	_, err := by(session, ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		res, err := tx.Run(ctx, text, m{"mark": mark})
		if err != nil {
			return nil, err
		}
		return res.Single(ctx)
	})
	return err
}

// spoken is by which Bolt versions the statements of each service came since the last call.
type spoken struct {
	mu sync.Mutex
	by map[string]map[bolt.Version]int // by service
}

func (s *spoken) ran(q standin.Query) {
	mark, ok := q.Mark.(string)
	if !ok {
		return
	}
	name, _, _ := strings.Cut(mark, "-")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[name] == nil {
		s.by[name] = map[bolt.Version]int{}
	}
	s.by[name][q.Bolt]++
}

func (s *spoken) take() map[string]map[bolt.Version]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.by
	s.by = map[string]map[bolt.Version]int{}
	return taken
}

// TestADriverSurvivesUpgradesAndRollBacks: three members go from 4.4 to 2026 and back under drivers that were started at
// every stage; no transaction function fails, and every write is there once.
func TestADriverSurvivesUpgradesAndRollBacks(t *testing.T) {
	heard := &spoken{by: map[string]map[bolt.Version]int{}}
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1, ServerVersion: "4.4.48", ElectionTime: 300 * time.Millisecond, OnQuery: heard.ran}})
	ctx, stop := context.WithCancel(t.Context())
	services := []*service{startService(ctx, t, g, "began at 4.4.48")}
	for _, stage := range []struct {
		release string
		newest  bolt.Version // that a driver started now agrees on with the gate; this one knows none after 5.8
		oldest  bolt.Version // that any may still speak
	}{
		{"5.26.30", bolt.V5_8, bolt.V4_4},
		{"2026.08.1", bolt.V5_8, bolt.V4_4},
		{"5.26.30", bolt.V5_8, bolt.V4_4},
		{"4.4.48", bolt.V4_4, bolt.V4_4},
	} {
		for _, member := range []string{"s2", "s1", "s3"} {
			g.replace(member, stage.release)
		}
		s := startService(ctx, t, g, fmt.Sprintf("began at %s (%d)", stage.release, len(services)))
		services = append(services, s)
		heard.take()
		time.Sleep(500 * time.Millisecond)
		now := heard.take()
		for _, s := range services {
			for v := range now[s.name] {
				if v > stage.newest || v < stage.oldest {
					t.Errorf("all members are %s now, and a service that %s speaks %v", stage.release, s.name, v)
				}
			}
		}
		if now[s.name][stage.newest] == 0 {
			t.Errorf("a driver started at %s speaks %v; want %v", stage.release, now[s.name], stage.newest)
		}
		t.Logf("%s: %v", stage.release, now)
	}
	stop()
	times := map[any]int{}
	for _, s := range services {
		s.ended.Wait()
	}
	for _, mark := range g.marks() {
		times[mark]++
	}
	for _, s := range services {
		for _, err := range s.errs {
			t.Error(err)
		}
		for _, mark := range s.writes {
			if times[mark] != 1 {
				t.Errorf("%s is in the log %d times", mark, times[mark])
			}
			delete(times, mark)
		}
		if len(s.writes) == 0 || s.reads == 0 {
			t.Errorf("the service that %s: %d writes, %d reads", s.name, len(s.writes), s.reads)
		}
	}
	if len(times) > 0 {
		t.Errorf("in the log, and never acknowledged: %v", times)
	}
}
