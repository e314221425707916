package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// ticket is somebody whose credential is good for one log-on.
func ticket(t *testing.T) *Identity {
	t.Helper()
	auth, err := bolt.ParseAuth(packstream.AppendValue(nil, map[string]string{"scheme": "kerberos", "credentials": password}))
	if err != nil {
		t.Fatal(err)
	}
	return NewIdentity(Key{Version: bolt.V5_4}, auth, 0)
}

// resume is a Resume in a goroutine of its own, as far as it gets.
func (w *world) resume(ctx context.Context, l *Lease) *waiting {
	r := &waiting{lease: l}
	go func() {
		r.err = l.Resume(ctx)
		r.done = true
	}()
	settle()
	return r
}

func TestAKeptConnectionTakesNoSlot(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		limited := *w.member
		limited.MaxInFlight = 1
		w.member = &limited
		l := w.acquire(ticket(t))
		waits := w.wait(t.Context(), user("ann", bolt.V5_4))
		l.Keep()
		settle()
		if waits.err != nil || !waits.done || waits.lease == l {
			t.Fatalf("the next in line: %v, done %v; want a connection of its own", waits.err, waits.done)
		}
		w.wantStats(Stats{Open: 2, InFlight: 1})
		if l.TryResume() {
			t.Error("it was resumed without a slot")
		}
		left := errors.New("the client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		leaver := w.resume(ctx, l)
		w.wantStats(Stats{Open: 2, InFlight: 1, Queued: 1})
		cancel(left)
		settle()
		wantErr(t, leaver.err, left)
		second := w.resume(t.Context(), l)
		waits.lease.Release(true)
		settle()
		if !second.done || second.err != nil {
			t.Fatalf("resumed: %v, %v", second.done, second.err)
		}
		w.wantStats(Stats{Open: 2, Idle: 1, InFlight: 1})
		w.fake.asked()
		l.Keep()
		if !l.TryResume() || w.fake.asked() != "[]" {
			t.Error("a connection that was just kept had to wait, or to answer")
		}
		l.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestAKeptConnectionIsNobodyElses(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2, IdleTimeout: time.Second}, v54, func(t *testing.T, w *world) {
		id := ticket(t)
		kept := []*Lease{w.acquire(id), w.acquire(id)}
		for _, l := range kept {
			l.Keep()
		}
		after(2 * time.Minute) // idle_timeout is for connections that nobody would miss
		if w.set.TryAcquire(w.member, id) != nil {
			t.Error("a kept connection was lent")
		}
		w.fake.asked()
		for _, l := range kept {
			if r := w.resume(t.Context(), l); !r.done || r.err != nil {
				t.Errorf("it had to wait for a connection, which it has: %v, %v", r.done, r.err)
			}
			if got := w.fake.asked(); got != "[RESET]" {
				t.Errorf("after two minutes the member was asked %s; want a RESET", got)
			}
			l.Keep()
		}
		ann := w.wait(t.Context(), user("ann", bolt.V5_4))
		w.wantStats(Stats{Open: 2, Queued: 1}) // max_per_member counts it, and both were used just now
		kept[1].Release(true)
		settle()
		if !ann.done || ann.err != nil {
			t.Fatalf("who waited for a connection: %v, %v", ann.done, ann.err)
		}
		ann.lease.Release(true)
		w.wantStats(Stats{Open: 2, Idle: 1})
		kept[0].Release(false)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestTheLongestKeptConnectionGoesWhenOthersWait(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 3}, v54, func(t *testing.T, w *world) {
		id := ticket(t)
		kept := []*Lease{w.acquire(id), w.acquire(id), w.acquire(id)}
		for _, l := range kept {
			l.Keep()
			after(time.Second)
		}
		if r := w.resume(t.Context(), kept[0]); r.err != nil { // it is the newest now
			t.Fatal(r.err)
		}
		kept[0].Keep()
		after(keepsFor - 2500*time.Millisecond)
		ann, bob := w.wait(t.Context(), user("ann", bolt.V5_4)), w.wait(t.Context(), user("bob", bolt.V5_4))
		w.wantStats(Stats{Open: 3, Queued: 2}) // nobody's has been idle for long
		after(time.Second)                     // now the second's has
		if !ann.done || ann.err != nil || bob.done {
			t.Fatalf("the first in line: %v, %v; the second: %v", ann.done, ann.err, bob.done)
		}
		w.wantStats(Stats{Open: 3, InFlight: 1, Queued: 1})
		wantErr(t, kept[1].Resume(t.Context()), ErrLost)
		kept[1].Release(false)
		w.wantStats(Stats{Open: 3, InFlight: 1, Queued: 1})
		ann.lease.Release(true) // its connection changes its user, and nobody else has to go
		settle()
		if !bob.done || bob.err != nil {
			t.Fatalf("the next: %v, %v", bob.done, bob.err)
		}
		after(time.Minute)
		for _, l := range []*Lease{kept[0], kept[2]} {
			if r := w.resume(t.Context(), l); !r.done || r.err != nil {
				t.Errorf("a connection that nobody needed is gone: %v, %v", r.done, r.err)
			}
			l.Release(false)
		}
		bob.lease.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
		settle()
		cold := w.acquire(id)
		cold.Keep()
		after(keepsFor)
		next := []*Lease{w.acquire(user("ann", bolt.V5_4)), w.acquire(user("bob", bolt.V5_4)), w.acquire(user("cat", bolt.V5_4))} // at once, by eviction
		wantErr(t, cold.Resume(canceled(t)), context.Canceled)
		for _, l := range next {
			l.Release(false)
		}
		wantErr(t, cold.Resume(t.Context()), ErrLost)
		cold.Release(false)
		w.wantStats(Stats{})
	})
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAKeptConnectionHasALifetime(t *testing.T) {
	inWorld(t, Options{MaxLifetime: time.Minute}, v54, func(t *testing.T, w *world) {
		old := w.acquire(ticket(t))
		old.Keep()
		after(30 * time.Second)
		young, works := w.acquire(ticket(t)), w.acquire(ticket(t))
		young.Keep()
		if err := old.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(35 * time.Second) // a unit of work is not cut for it
		old.Keep()
		after(2 * time.Second)
		wantErr(t, old.Resume(t.Context()), ErrLost)
		old.Release(false)
		if r := w.resume(t.Context(), young); r.err != nil {
			t.Errorf("one that is younger: %v", r.err)
		}
		young.Release(false)
		works.Release(false)
		w.wantStats(Stats{})
	})
}

func TestAKeptConnectionThatIsLost(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before, then func(w *world) // what happens before it is kept, and while
		open         int            // connections that the member still has
	}{
		{"the member closed it", nil, func(w *world) { w.fake.cut() }, 0},
		{"the member does not answer", nil, func(w *world) { after(31 * time.Second); w.fake.setMute(true) }, 1},
		{"the member left the list", nil, func(w *world) { w.set.Retain(nil) }, 0},
		{"the member left the list before", func(w *world) { w.set.Retain(nil) }, nil, 0},
		{"the member has a new address", nil, func(w *world) { w.move() }, 0},
		{"the member had a new address before", func(w *world) { w.move() }, nil, 0},
		{"the gate shuts down", nil, func(w *world) { w.set.Close() }, 0}, //nolint:errcheck // never fails
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
				l := w.acquire(ticket(t))
				if tt.before != nil {
					tt.before(w)
				}
				l.Keep()
				if tt.then != nil {
					tt.then(w)
				}
				settle()
				if n := w.fake.open(); n != tt.open {
					t.Errorf("%d connections are open; want %d", n, tt.open)
				}
				if l.TryResume() {
					t.Error("it was resumed without a question")
				}
				wantErr(t, l.Resume(t.Context()), ErrLost)
				l.Release(false)
				w.wantStats(Stats{})
				if n := w.fake.open(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

// move gives the member another address, of which the pool hears.
func (w *world) move() {
	m := *w.member
	m.Bolt = "s1:9999"
	w.member = &m
	w.set.TryAcquire(w.member, HTTP)
}
