package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

func TestTheSweeper(t *testing.T) {
	o := Options{IdleTimeout: 10 * time.Second, HTTPIdle: 5 * time.Second, MaxLifetime: 25 * time.Second}
	inWorld(t, o, v54, func(t *testing.T, w *world) {
		web := w.listen("s1:7474")
		ann := user("ann", bolt.V5_4)
		w.acquire(ann).Release(true)
		w.acquire(HTTP).Release(true)
		after(4 * time.Second)
		w.wantStats(Stats{Open: 1, Idle: 2})
		after(2500 * time.Millisecond)
		w.wantStats(Stats{Open: 1, Idle: 1})
		after(5 * time.Second)
		w.wantStats(Stats{})
		l := w.acquire(ann)
		for range 4 { // kept busy, so only its age counts
			l.Release(true)
			after(5 * time.Second)
			if l = w.set.TryAcquire(w.member, ann); l == nil {
				t.Fatal("a connection within all limits was not lent")
			}
		}
		l.Release(true)
		after(7 * time.Second)
		w.wantStats(Stats{})
		w.set.Close() //nolint:errcheck // never fails
		web.stop()
	})
}

func TestAnOldConnectionIsNotLent(t *testing.T) {
	inWorld(t, Options{MaxLifetime: 10 * time.Second}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		l := w.acquire(ann)
		after(11 * time.Second)
		l.Release(true)
		if w.set.TryAcquire(w.member, ann) != nil {
			t.Error("TryAcquire lent it")
		}
		next := w.acquire(ann)
		if next == l || !next.Fresh {
			t.Error("Acquire lent it")
		}
		next.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestTheSweeperSeesTheEnd(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(ann)
		a.Release(true)
		w.fake.cut()
		after(1500 * time.Millisecond)
		w.wantStats(Stats{Open: 1, InFlight: 1})
		b.Release(true)
		if l := w.set.TryAcquire(w.member, ann); l != nil {
			t.Error("a connection that the member closed was lent")
		}
		w.wantStats(Stats{})
	})
}

func TestTheSweeperChangesNothingElse(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 3}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b, c := w.acquire(ann), w.acquire(ann), w.acquire(ann)
		a.Release(true)
		b.Release(true)
		c.Release(true)
		idle := idleSince(a)
		after(5500 * time.Millisecond)
		w.wantStats(Stats{Open: 3, Idle: 3})
		if idleSince(a) != idle {
			t.Error("a look made the connection young again")
		}
		for _, want := range []*Lease{c, b, a} {
			if got := w.set.TryAcquire(w.member, ann); got != want {
				t.Error("looks changed the order in which connections are lent")
			}
		}
		a.Release(true)
		b.Release(true)
		c.Release(true)
	})
}

func idleSince(l *Lease) time.Time {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.idleSince
}

func TestAStaleConnectionAnswersFirst(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		l := w.acquire(ann)
		l.Release(true)
		after(31500 * time.Millisecond)
		if w.set.TryAcquire(w.member, ann) != nil {
			t.Error("TryAcquire lent it unasked")
		}
		w.fake.asked()
		if got := w.acquire(ann); got != l {
			t.Error("a connection that answers was not lent")
		}
		if got := w.fake.asked(); got != "[RESET]" {
			t.Errorf("the member was asked %s; want a RESET", got)
		}
		l.Release(true)
		if got := w.acquire(ann); got != l || w.fake.asked() != "[]" {
			t.Error("a connection that was just used had to answer")
		}
		l.Release(true)
	})
}

func TestAMemberThatDoesNotAnswer(t *testing.T) {
	inWorld(t, Options{ConnectTimeout: 2 * time.Second}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b, c := w.acquire(ann), w.acquire(ann), w.acquire(ann)
		a.Release(true)
		b.Release(true)
		c.Release(true)
		after(31500 * time.Millisecond)
		w.fake.setMute(true)
		left := errors.New("the client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		r := w.wait(ctx, ann)
		cancel(left)
		settle()
		wantErr(t, r.err, left)
		w.wantStats(Stats{Open: 2, Idle: 2}) // one had been asked; the others did nothing wrong
		start := time.Now()
		_, err := w.set.Acquire(t.Context(), w.member, ann)
		wantErr(t, err, ErrDial, errConnectTimeout)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v; want the connect timeout", took)
		}
		w.wantStats(Stats{Open: 1, Idle: 1})
		w.fake.setMute(false)
	})
}
