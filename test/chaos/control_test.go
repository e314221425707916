package chaos

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the control: each member is read from directly, beside the work, and the machine is asked for nothing but to wake us. What a
// living member itself takes its time for, on a machine that has four servers on two cores, is not the gate's; and a machine that stood still,
// as virtual ones do, makes a round void.

const (
	controlEvery = 50 * time.Millisecond
	stoodStill   = time.Second // that a wake-up came late
)

// control notes how long members took for a read each.
type control struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu    sync.Mutex
	took  []sample      // guarded by mu
	still time.Duration // guarded by mu: the latest wake-up was so late
}

// sample is one answer of a member.
type sample struct {
	member string
	at     time.Time
	took   time.Duration
}

// startControl begins to read from every member, and to write at the one that leads.
func startControl(t *testing.T, c *labs.Cluster) *control {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k := &control{stop: cancel}
	for _, m := range c.Members {
		driver := drive(t, "bolt://"+m.Bolt, c)
		k.wait.Go(func() {
			defer driver.Close(context.Background()) //nolint:errcheck // nothing is left to be said
			k.read(ctx, m.Name, driver)
		})
	}
	for _, m := range c.Members[:c.Lab.Cores] {
		driver := drive(t, "bolt://"+m.Bolt, c)
		k.wait.Go(func() {
			defer driver.Close(context.Background()) //nolint:errcheck // as above
			k.write(ctx, c, m, driver)
		})
	}
	k.wait.Go(func() { k.wakeUps(ctx) })
	return k
}

// wakeUps notes how late the machine wakes us.
func (k *control) wakeUps(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		pauseFor(ctx, controlEvery)
		late := time.Since(began) - controlEvery
		k.mu.Lock()
		k.still = max(k.still, late)
		k.mu.Unlock()
	}
}

func (k *control) read(ctx context.Context, member string, driver neo4j.DriverWithContext) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		session := driver.NewSession(ctx, neo4j.SessionConfig{AccessMode: neo4j.AccessModeRead})
		err := consume(ctx, func() (neo4j.ResultWithContext, error) {
			return session.Run(ctx, matchText, map[string]any{"id": "none"})
		})
		session.Close(ctx) //nolint:errcheck // what counts was said
		if err == nil {
			k.note(sample{member, time.Now(), time.Since(began)})
		}
		<-tick.C
	}
}

const atLeader = "writes" // in place of a member's name

// controlWrite commits something: what changes nothing in the end is never given to the other members, and takes no time.
const controlWrite = "MERGE (n:Control) SET n.written = coalesce(n.written, 0) + 1"

// write writes while the member leads.
func (k *control) write(ctx context.Context, c *labs.Cluster, m *labs.Member, driver neo4j.DriverWithContext) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	client := &http.Client{Transport: &http.Transport{}, Timeout: watchTime}
	defer client.CloseIdleConnections()
	for ; ctx.Err() == nil; <-tick.C {
		if !leads(ctx, client, c, m) {
			continue
		}
		began := time.Now()
		session := driver.NewSession(ctx, neo4j.SessionConfig{})
		err := consume(ctx, func() (neo4j.ResultWithContext, error) {
			return session.Run(ctx, controlWrite, nil)
		})
		session.Close(ctx) //nolint:errcheck // as above
		if err == nil {
			k.note(sample{atLeader, time.Now(), time.Since(began)})
		}
	}
}

func (k *control) note(s sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.took = append(k.took, s)
}

// end stops it.
func (k *control) end() {
	k.stop()
	k.wait.Wait()
}

// longest is the longest that which samples took within the window.
func (k *control) longest(from, to time.Time, which func(sample) bool) (longest time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.took {
		if which(s) && s.at.After(from) && s.at.Add(-s.took).Before(to) {
			longest = max(longest, s.took)
		}
	}
	return longest
}

// unserved is the longest time within the window in which no member but the one that was hit answered a read: the others may all have been busy
// with following a new leader.
func (k *control) unserved(hit string, from, to time.Time) time.Duration {
	return k.without(from, to, func(s sample) bool { return s.member != hit && s.member != atLeader })
}

// unwritten is the longest time within the window in which no member took a write.
func (k *control) unwritten(from, to time.Time) time.Duration {
	return k.without(from, to, func(s sample) bool { return s.member == atLeader })
}

func (k *control) without(from, to time.Time, which func(sample) bool) (longest time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := from
	for _, s := range slices.SortedFunc(slices.Values(k.took), func(a, b sample) int { return a.at.Compare(b.at) }) {
		if which(s) && s.at.After(last) && s.at.Before(to) {
			longest, last = max(longest, s.at.Sub(last)), s.at
		}
	}
	return max(longest, to.Sub(last))
}
