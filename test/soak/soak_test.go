//go:build linux

// Package soak runs the gate for long under work, faults and clients that come and go, and looks whether what it holds stays what it was: memory,
// goroutines, files.
//
//	make soak                                             30 minutes
//	go test -run TestSoak ./test/soak                     a minute of work
//	BOLTGATE_SOAK=5m go test -v -timeout 10m ./test/soak  so long
package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/loopback"
)

// duration is how long it takes.
func duration(t *testing.T) time.Duration {
	text := os.Getenv("BOLTGATE_SOAK")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("BOLTGATE_SOAK: %v", err)
	}
	return d
}

func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it takes a minute (-short)")
	}
	s := start(t)
	limit := duration(t)
	s.work(limit / 4)
	before := s.resting()
	s.work(limit * 3 / 4)
	after := s.resting()
	t.Logf("%d units of work; at rest %v, and after three times as much work %v", s.done.Load(), before, after)
	if s.done.Load() < int64(limit/time.Second)*20 {
		t.Errorf("only %d units of work were done", s.done.Load())
	}
	if after.files > before.files+5 {
		t.Errorf("files: %d, then %d", before.files, after.files)
	}
	if after.goroutines > before.goroutines+10 {
		t.Errorf("goroutines: %d, then %d", before.goroutines, after.goroutines)
	}
	if after.memory > before.memory+before.memory/4+8<<20 {
		t.Errorf("memory: %d KiB, then %d KiB", before.memory>>10, after.memory>>10)
	}
}

// soak is a gate under work.
type soak struct {
	*testing.T
	cluster *standin.Cluster
	gate    *gates.Gate
	admin   string
	done    atomic.Int64 // units of work
}

func start(t *testing.T) *soak {
	c, err := standin.Start(standin.Options{Seed: 1, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // the test is over
	s := &soak{T: t, cluster: c, admin: loopback.Reserve(t)}
	var b strings.Builder
	b.WriteString("frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  members:\n")
	for _, m := range c.Members() {
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q}\n", m.Name, m.Bolt, m.HTTP)
	}
	fmt.Fprintf(&b, "  check: {user: %s, password: %s}\nadmin: {bind: %q}\npool: {idle_timeout: 2s, http_idle: 2s}\nlog: {level: error}\n",
		standin.DefaultUser, standin.DefaultPassword, s.admin)
	s.gate = gates.Start(t, b.String())
	return s
}

// work has clients of all kinds work for so long, while members are killed, frozen, and come back.
func (s *soak) work(d time.Duration) {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	var wait sync.WaitGroup
	for i := range 6 {
		wait.Go(func() { s.sessions(ctx, i%2 == 0) })
		wait.Go(func() { s.requests(ctx) })
	}
	wait.Go(func() { s.faults(ctx) })
	wait.Wait()
}

// sessions opens a driver, works, and closes it, again and again. What fails for a fault is tried again by the driver, or is not what counts here.
func (s *soak) sessions(ctx context.Context, writes bool) {
	for ctx.Err() == nil {
		driver, err := neo4j.NewDriverWithContext("neo4j://"+s.gate.Address, neo4j.BasicAuth(standin.DefaultUser, standin.DefaultPassword, ""))
		if err != nil {
			s.Error(err)
			return
		}
		for range 50 {
			session := driver.NewSession(ctx, neo4j.SessionConfig{})
			work, text := session.ExecuteRead, "MATCH (n) RETURN n"
			if writes {
				work, text = session.ExecuteWrite, "CREATE (n) RETURN n"
			}
			_, err := work(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
				result, err := tx.Run(ctx, text, map[string]any{"rows": rand.IntN(50)})
				if err != nil {
					return nil, err
				}
				return result.Consume(ctx)
			})
			session.Close(context.Background()) //nolint:errcheck // what counts was said
			if err == nil {
				s.done.Add(1)
			}
		}
		driver.Close(context.Background()) //nolint:errcheck // as above
	}
}

// requests works over HTTP; each hundredth client leaves in the middle.
func (s *soak) requests(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		limit := 5 * time.Second
		if n%100 == 99 {
			limit = time.Millisecond
		}
		s.request(ctx, client, limit)
	}
}

func (s *soak) request(ctx context.Context, client *http.Client, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body := strings.NewReader(`{"statement": "MATCH (n) RETURN n", "accessMode": "READ"}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.gate.Address+"/db/neo4j/query/v2", body)
	if err != nil {
		s.Error(err)
		return
	}
	r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil { // for a fault, or because we left
		return
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err == nil {
		s.done.Add(1)
	}
}

// faults kills or freezes a member, and lets it come back.
func (s *soak) faults(ctx context.Context) {
	members := s.cluster.Members()
	for n := 0; ; n++ {
		name := members[n%len(members)].Name
		if !wait(ctx, 2*time.Second) {
			return
		}
		if n%3 == 2 {
			s.cluster.Freeze(name) //nolint:errcheck // it exists
			wait(ctx, 6*time.Second)
			s.cluster.Thaw(name) //nolint:errcheck // as above
			continue
		}
		s.cluster.Kill(name) //nolint:errcheck // as above
		wait(ctx, time.Second)
		s.cluster.Restart(name) //nolint:errcheck // as above
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// held is what the gate's process holds.
type held struct {
	memory     int64 // resident bytes
	files      int
	goroutines int
}

func (h held) String() string {
	return fmt.Sprintf("%d KiB, %d files, %d goroutines", h.memory>>10, h.files, h.goroutines)
}

// resting is what the gate holds once its clients have gone and its idle connections have timed out: the least of some seconds.
func (s *soak) resting() held {
	least := s.holds()
	for range 15 {
		time.Sleep(time.Second)
		now := s.holds()
		least = held{min(least.memory, now.memory), min(least.files, now.files), min(least.goroutines, now.goroutines)}
	}
	return least
}

var (
	resident   = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)
)

func (s *soak) holds() held {
	s.Helper()
	process := filepath.Join("/proc", strconv.Itoa(s.gate.PID()))
	status, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		s.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(process, "fd"))
	if err != nil {
		s.Fatal(err)
	}
	answer, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return held{int64(s.number(resident, status)) << 10, len(files), s.number(goroutines, metrics)}
}

func (s *soak) number(in *regexp.Regexp, text []byte) int {
	s.Helper()
	found := in.FindSubmatch(text)
	if found == nil {
		s.Fatalf("no %v in %.2000s", in, text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		s.Fatal(err)
	}
	return n
}
