package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

func TestUnitsOfWorkAreCountedWhereTheirLeaseEnds(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		unit := func(read, clean bool, d time.Duration) {
			l := w.acquire(ann)
			l.Begin(Work{Began: time.Now(), Read: read})
			time.Sleep(d)
			l.Release(clean)
		}
		w.acquire(ann).Release(true) // a log-on
		unit(false, true, 300*time.Microsecond)
		unit(true, true, 30*time.Millisecond)
		unit(true, false, 2*time.Minute)
		kept := w.acquire(NewIdentity(Key{Version: bolt.V5_4}, bolt.Auth{Scheme: "kerberos", Entries: ann.auth.Entries}, 0))
		kept.Begin(Work{Began: time.Now()})
		kept.Keep()
		kept.Release(true)
		c := w.set.Counters(w.member.Name)
		if c.Units() != 4 || c.Broken != 1 || c.Writes[Bolt].Count() != 2 || c.Reads[Bolt].Buckets[len(Bounds)] != 1 || c.Writes[Bolt].Buckets[3] != 1 ||
			c.Reads[Bolt].Sum != 2*time.Minute+30*time.Millisecond || c.Reads[HTTPUnits].Count() != 0 || c.Opened < 2 {
			t.Errorf("got %+v", c)
		}
		if c := w.set.Counters("nobody"); c.Units() != 0 {
			t.Errorf("of nobody: %+v", c)
		}
	})
}

func TestFailuresAreCountedByFewCodes(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		l := w.acquire(user("ann", bolt.V5_4))
		for i := range 2 * maxFailures {
			l.Failed(fmt.Sprint("Neo.ClientError.", i%maxFailures))
			l.Failed(fmt.Sprint("Neo.Made.Up.", i))
		}
		l.Release(true)
		c := w.set.Counters(w.member.Name)
		if len(c.Failures) != maxFailures+1 || c.Failed() != 4*maxFailures || c.Failures[otherFailures] < maxFailures {
			t.Errorf("got %d codes, %d failures: %v", len(c.Failures), c.Failed(), c.Failures)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for range 90 {
		h.note(time.Millisecond)
	}
	for range 10 {
		h.note(time.Hour)
	}
	if q := h.Quantile(0.5); q <= 500*time.Microsecond || q > time.Millisecond {
		t.Errorf("median %v; want up to 1 ms", q)
	}
	if q := h.Quantile(0.99); q != time.Minute {
		t.Errorf("p99 %v; want the last bound", q)
	}
	before := h
	h.note(40 * time.Microsecond)
	h.Sub(&before)
	if q := h.Quantile(0.5); h.Count() != 1 || q > 50*time.Microsecond {
		t.Errorf("the difference has %d with median %v", h.Count(), q)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	_, m, s := onSockets(t, nil, Options{})
	ann := user("ann", bolt.V5_4)
	l, err := s.Acquire(context.Background(), m, ann)
	if err != nil {
		t.Fatal(err)
	}
	l.Release(true)
	n := testing.AllocsPerRun(1000, func() {
		l := s.TryAcquire(m, ann)
		l.Begin(Work{Began: time.Now(), DB: "neo4j", Session: "boltgate-1"})
		l.Release(true)
	})
	if n != 0 {
		t.Errorf("a unit of work allocates %v times", n)
	}
}

// BenchmarkCount is what counting costs a unit of work, beside BenchmarkLend.
func BenchmarkCount(b *testing.B) {
	p := newMemberPool(NewSet(Options{}, nil), nil)
	l := &Lease{id: NewIdentity(Key{Version: bolt.V5_4}, bolt.Auth{}, 0), pool: p}
	now := time.Now()
	end := now.Add(700 * time.Microsecond)
	b.ReportAllocs()
	for b.Loop() {
		l.Begin(Work{Began: now, DB: "neo4j", Session: "boltgate-1"})
		p.count(l, true, end)
	}
}
