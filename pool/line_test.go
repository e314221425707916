package pool

import (
	"context"
	"errors"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func TestTheLineKeepsItsOrder(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(ann)
		var line []*waiting
		for range 4 {
			line = append(line, w.wait(t.Context(), ann))
		}
		w.wantStats(Stats{Open: 2, InFlight: 2, Queued: 4})
		if w.set.TryAcquire(w.member, ann) != nil {
			t.Error("somebody was let past the line")
		}
		for i, l := range []*Lease{a, b, nil, nil} {
			if l == nil {
				l = line[i-2].lease
			}
			l.Release(i%2 == 0)
			settle()
			for j, r := range line {
				if r.done != (j <= i) || r.done && r.err != nil {
					t.Fatalf("after %d releases number %d is done: %v, %v", i+1, j, r.done, r.err)
				}
			}
		}
		for _, r := range line[2:] {
			r.lease.Release(true)
		}
		w.wantStats(Stats{Open: 2, Idle: 2})
	})
}

func TestLeavingTheLine(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		l := w.acquire(ann)
		left := errors.New("the client left")
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second, third := w.wait(t.Context(), ann), w.wait(ctx, ann), w.wait(t.Context(), ann)
		cancel(left)
		settle()
		wantErr(t, second.err, left)
		w.wantStats(Stats{Open: 1, InFlight: 1, Queued: 2})
		l.Release(true)
		settle()
		if !first.done || third.done {
			t.Fatalf("first done %v, third %v; want the first alone", first.done, third.done)
		}
		first.lease.Release(true)
		settle()
		third.lease.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestWhoIsGrantedASlotWhileLeavingHandsItOn(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		for range 200 {
			l := w.acquire(ann)
			ctx, cancel := context.WithCancel(t.Context())
			leaver, next := w.wait(ctx, ann), w.wait(t.Context(), ann)
			go cancel()
			go l.Release(true)
			settle()
			if leaver.lease != nil {
				leaver.lease.Release(true)
				settle()
			}
			if !next.done || next.err != nil {
				t.Fatalf("the next in line waits for ever: %v", next.err)
			}
			next.lease.Release(true)
			cancel()
		}
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestAFullLine(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1, MaxQueue: 2}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		l := w.acquire(ann)
		a, b := w.wait(t.Context(), ann), w.wait(t.Context(), ann)
		_, err := w.set.Acquire(t.Context(), w.member, ann)
		wantErr(t, err, ErrFull)
		l.Release(true)
		settle()
		a.lease.Release(true)
		settle()
		b.lease.Release(true)
	})
}

func TestTheMembersOwnLimitCountsBothProtocols(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		w.member.MaxInFlight = 2
		web := w.listen("s1:7474")
		a, b := w.acquire(user("ann", bolt.V5_4)), w.acquire(HTTP)
		third := w.wait(t.Context(), HTTP)
		w.wantStats(Stats{Open: 1, InFlight: 2, Queued: 1})
		a.Release(true)
		settle()
		if !third.done || third.err != nil {
			t.Fatalf("the slot of a Bolt connection did not serve HTTP: %v", third.err)
		}
		b.Release(true)
		third.lease.Release(false)
		w.wantStats(Stats{Open: 1, Idle: 2})
		w.set.Close() //nolint:errcheck // never fails
		web.stop()
	})
}

func TestAWideMemberStillHasTheBoltConnectionsOfThePool(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		w.member.MaxInFlight = 3
		web := w.listen("s1:7474")
		defer func() { w.set.Close(); web.stop() }() //nolint:errcheck // never fails
		ann := user("ann", bolt.V5_4)
		a, second := w.acquire(ann), w.wait(t.Context(), ann)
		b, c := w.acquire(HTTP), w.acquire(HTTP) // past those who wait for Bolt
		fourth := w.wait(t.Context(), HTTP)
		w.wantStats(Stats{Open: 1, InFlight: 3, Queued: 2})
		b.Release(true)
		settle()
		if second.done || !fourth.done {
			t.Fatalf("Bolt done %v, HTTP %v; want that HTTP's slot serves HTTP alone", second.done, fourth.done)
		}
		a.Release(true)
		settle()
		if !second.done || second.err != nil {
			t.Fatalf("Bolt's slot does not serve Bolt: %v", second.err)
		}
		second.lease.Release(true)
		fourth.lease.Release(true)
		c.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 3})
	})
}

func TestApplyMovesTheLine(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		first := w.acquire(ann)
		var line []*waiting
		for range 4 {
			line = append(line, w.wait(t.Context(), ann))
		}
		more := w.options
		more.MaxPerMember = 3
		w.set.Apply(more)
		w.wantStats(Stats{Open: 3, InFlight: 3, Queued: 2})
		w.set.Apply(w.options) // down to one again
		first.Release(true)
		line[0].lease.Release(true)
		w.wantStats(Stats{Open: 3, Idle: 2, InFlight: 1, Queued: 2})
		for i := 1; i < 4; i++ {
			settle()
			if line[i].err != nil || !line[i].done {
				t.Fatalf("number %d of the line was forgotten: %v", i, line[i].err)
			}
			line[i].lease.Release(true)
		}
		w.wantStats(Stats{Open: 3, Idle: 3})
	})
}

func TestAMembersNewLimitMovesTheLine(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		w.member.MaxInFlight = 1
		first, second := w.acquire(ann), w.wait(t.Context(), ann)
		wider := *w.member
		wider.MaxInFlight = 2
		w.member = &wider
		third := w.wait(t.Context(), ann)
		if !second.done || third.done {
			t.Errorf("second done %v, third %v; want the second alone", second.done, third.done)
		}
		first.Release(true)
		settle()
		second.lease.Release(true)
		third.lease.Release(true)
		if third.lease.Member != &wider {
			t.Error("a used connection names the member as it was")
		}
		w.wantStats(Stats{Open: 2, Idle: 2})
	})
}

func TestClose(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(ann)
		waits := w.wait(t.Context(), ann)
		b.Release(true)
		settle()
		waits2 := w.wait(t.Context(), ann)
		w.set.Close() //nolint:errcheck // never fails
		w.set.Close() //nolint:errcheck // twice does nothing
		settle()
		wantErr(t, waits2.err, ErrClosed)
		_, err := w.set.Acquire(t.Context(), w.member, ann)
		wantErr(t, err, ErrClosed)
		_, err = w.set.Acquire(t.Context(), &cluster.Member{Name: "s2", Bolt: "s1:7687"}, ann)
		wantErr(t, err, ErrClosed)
		a.Release(true)
		waits.lease.Release(true)
		w.wantStats(Stats{})
	})
}

func TestALineThatIsDispersedPicksAnotherMember(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		single := NewIdentity(Key{Version: bolt.V5_4}, bolt.Auth{Scheme: "kerberos", Entries: user("kay", bolt.V5_4).auth.Entries}, 0)
		kept := w.acquire(single)
		kept.Keep()
		ann := user("ann", bolt.V5_4)
		l := w.acquire(ann)
		less := *w.member
		less.MaxInFlight = 1
		w.member = &less
		waits := w.wait(t.Context(), ann)
		resumed := make(chan error, 1)
		go func() { resumed <- kept.Resume(t.Context()) }()
		settle()
		w.set.Disperse(w.member.Name)
		settle()
		wantErr(t, waits.err, ErrMoved)
		w.wantStats(Stats{Open: 2, InFlight: 1, Queued: 1}) // who is bound to this member waits on
		l.Release(true)
		settle()
		if err := <-resumed; err != nil {
			t.Error(err)
		}
		kept.Release(true)
		w.set.Disperse("nobody")
	})
}
