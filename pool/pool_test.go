package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
)

var v54 = []bolt.Version{bolt.V5_4}

func TestAConnectionIsUsedAgain(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		if l := w.set.TryAcquire(w.member, ann); l != nil {
			t.Fatal("a pool without connections lent one")
		}
		l := w.acquire(ann)
		if !l.Fresh || l.Member != w.member || l.Client.Server != "Neo4j/5.26.0" || l.Link == nil {
			t.Errorf("got %+v; want a fresh one with what HELLO said", l)
		}
		w.wantStats(Stats{Open: 1, InFlight: 1})
		l.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
		again := w.set.TryAcquire(w.member, ann)
		if again != l || again.Fresh {
			t.Errorf("got %p, want the same %p, and not fresh", again, l)
		}
		w.wantStats(Stats{Open: 1, InFlight: 1})
		again.Release(true)
		if l := w.set.TryAcquire(w.member, user("bob", bolt.V5_4)); l != nil {
			t.Error("ann's connection was lent to bob as it is")
		}
		if got := w.fake.asked(); got != "[HELLO LOGON:ann]" {
			t.Errorf("the member was asked %s", got)
		}
	})
}

func TestAnUncleanConnectionIsClosed(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		w.acquire(user("ann", bolt.V5_4)).Release(false)
		w.wantStats(Stats{})
		if n := w.fake.open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}

func TestTheNewestIdleIsLentFirst(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b, c := w.acquire(ann), w.acquire(ann), w.acquire(ann)
		for _, l := range []*Lease{b, c, a} {
			l.Release(true)
		}
		for _, want := range []*Lease{a, c, b} {
			if got := w.set.TryAcquire(w.member, ann); got != want {
				t.Errorf("got %p; want %p", got, want)
			}
		}
		for _, l := range []*Lease{a, b, c} {
			l.Release(true)
		}
	})
}

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

func TestAFullPoolLogsOnAnew(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		a, b := w.acquire(user("ann", bolt.V5_4)), w.acquire(user("bob", bolt.V5_4))
		a.Release(true)
		b.Release(true)
		w.fake.asked()
		eve := user("eve", bolt.V5_4)
		l := w.acquire(eve)
		if got := w.fake.asked(); l != a || got != "[LOGOFF LOGON:eve]" {
			t.Errorf("the member was asked %s; want the longest idle to change its user", got)
		}
		l.Release(true)
		w.wantStats(Stats{Open: 2, Idle: 2})
		if w.set.TryAcquire(w.member, user("ann", bolt.V5_4)) != nil {
			t.Error("ann got eve's connection")
		}
		if w.set.TryAcquire(w.member, eve) != l {
			t.Error("eve does not get her connection")
		}
		l.Release(true)
	})
}

func TestAFullPoolWithARefusedLogon(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		w.acquire(user("ann", bolt.V5_4)).Release(true)
		_, err := w.set.Acquire(t.Context(), w.member, NewIdentity(Key{Version: bolt.V5_4}, bolt.Basic("eve", "wrong"), 0))
		f, ok := errors.AsType[*bolt.Failure](err)
		if !ok || f.Code != bolt.CodeUnauthorized || errors.Is(err, ErrDial) {
			t.Errorf("got %v; want the member's refusal", err)
		}
		w.wantStats(Stats{})
		w.acquire(user("ann", bolt.V5_4)).Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestAFullPoolBefore51Evicts(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, []bolt.Version{bolt.V4_4}, func(t *testing.T, w *world) {
		a, b := w.acquire(user("ann", bolt.V4_4)), w.acquire(user("bob", bolt.V4_4))
		b.Release(true)
		after(1500 * time.Millisecond)
		a.Release(true)
		w.fake.asked()
		eve := w.acquire(user("eve", bolt.V4_4))
		if got := w.fake.asked(); got != "[HELLO:eve]" {
			t.Errorf("the member was asked %s", got)
		}
		eve.Release(true)
		w.wantStats(Stats{Open: 2, Idle: 2})
		if n := w.fake.open(); n != 2 {
			t.Errorf("%d connections are open; want 2", n)
		}
		if w.set.TryAcquire(w.member, user("ann", bolt.V4_4)) != a {
			t.Error("not the longest idle went, but another")
		}
		a.Release(true)
	})
}

func TestAnotherKindIsEvictedNotLoggedOnAnew(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		w.acquire(ann).Release(true)
		w.fake.asked()
		routed := w.acquire(ann.With(Key{Version: bolt.V5_4, Routed: true}))
		if got := w.fake.asked(); got != "[HELLO LOGON:ann]" || !routed.Fresh {
			t.Errorf("the member was asked %s; want a new connection", got)
		}
		routed.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestVerifyLogsOnInAnyCase(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		w.acquire(ann).Release(true)
		w.fake.asked()
		for _, want := range []string{"[HELLO LOGON:ann]", "[LOGOFF LOGON:ann]"} {
			l, err := w.set.Verify(t.Context(), w.member, ann)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.fake.asked(); got != want {
				t.Errorf("the member was asked %s; want %s", got, want)
			}
			l.Release(true)
		}
		w.wantStats(Stats{Open: 2, Idle: 2})
	})
}

func TestASingleIdentityIsNeverLentAgain(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 1}, v54, func(t *testing.T, w *world) {
		for _, scheme := range []string{"kerberos", "custom"} {
			auth, err := bolt.ParseAuth(packstream.AppendValue(nil, map[string]string{"scheme": scheme}))
			if err != nil {
				t.Fatal(err)
			}
			id := NewIdentity(Key{Version: bolt.V5_4}, auth, 0)
			if !id.Single() || user("ann", bolt.V5_4).Single() {
				t.Errorf("%s: single is %v", scheme, id.Single())
			}
			w.acquire(user("ann", bolt.V5_4)).Release(true)
			w.fake.asked()
			w.acquire(id).Release(true)
			if got := w.fake.asked(); !strings.HasPrefix(got, "[HELLO LOGON") {
				t.Errorf("%s: the member was asked %s; want a connection of its own", scheme, got)
			}
			w.wantStats(Stats{})
		}
	})
}

func TestForget(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		ann, bob := user("ann", bolt.V5_4), user("bob", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(bob)
		a.Release(true)
		b.Release(true)
		w.set.Forget(bolt.Basic("ann", password))
		w.wantStats(Stats{Open: 1, Idle: 1})
		if w.set.TryAcquire(w.member, ann) != nil || w.set.TryAcquire(w.member, bob) != b {
			t.Error("the wrong connection was closed")
		}
		b.Release(true)
	})
}

func TestAMemberThatMoves(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		other := w.listen("s1:9999", bolt.V5_4)
		ann := user("ann", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(ann)
		a.Release(true)
		moved := *w.member
		moved.Bolt = "s1:9999"
		w.member = &moved
		c := w.acquire(ann)
		w.wantStats(Stats{Open: 2, InFlight: 2})
		if w.fake.open() != 1 || other.open() != 1 || c.Member != &moved {
			t.Errorf("%d connections to the old address, %d to the new", w.fake.open(), other.open())
		}
		b.Release(true) // it led elsewhere
		c.Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
		w.set.Close() //nolint:errcheck // never fails
		settle()
		other.stop()
	})
}

func TestRetain(t *testing.T) {
	inWorld(t, Options{MaxPerMember: 2}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		a, b := w.acquire(ann), w.acquire(ann)
		waits := w.wait(t.Context(), ann)
		a.Release(true)
		settle()
		waits2 := w.wait(t.Context(), ann)
		w.set.Retain([]*cluster.Member{{Name: "s2"}})
		settle()
		wantErr(t, waits2.err, ErrClosed)
		w.wantStats(Stats{})
		b.Release(true)
		waits.lease.Release(true)
		settle()
		if n := w.fake.open(); n != 0 {
			t.Errorf("%d connections to a member that is gone", n)
		}
		w.acquire(ann).Release(true) // it came back
		w.set.Retain([]*cluster.Member{w.member})
		w.wantStats(Stats{Open: 1, Idle: 1})
	})
}

func TestConnectingFails(t *testing.T) {
	inWorld(t, Options{ConnectTimeout: time.Second}, v54, func(t *testing.T, w *world) {
		ann := user("ann", bolt.V5_4)
		_, err := w.set.Acquire(t.Context(), &cluster.Member{Name: "s2", Bolt: "nobody:1"}, ann)
		wantErr(t, err, ErrDial)
		if !strings.Contains(fmt.Sprint(err), "s2") {
			t.Errorf("%v does not name the member", err)
		}
		_, err = w.set.Acquire(t.Context(), w.member, user("ann", bolt.V4_4))
		wantErr(t, err, ErrDial, bolt.ErrNoVersion)
		_, err = w.set.Acquire(t.Context(), w.member, NewIdentity(Key{Version: bolt.V5_4}, bolt.Basic("ann", "wrong"), 0))
		if f, ok := errors.AsType[*bolt.Failure](err); !ok || errors.Is(err, ErrDial) || f.Code != bolt.CodeUnauthorized {
			t.Errorf("got %v; want the member's refusal", err)
		}
		w.fake.setMute(true)
		_, err = w.set.Acquire(t.Context(), w.member, ann)
		wantErr(t, err, ErrDial, errConnectTimeout)
		w.fake.setMute(false)
		garbage := w.listen("s3:7687")
		_, err = w.set.Acquire(t.Context(), &cluster.Member{Name: "s3", Bolt: "s3:7687"}, ann)
		wantErr(t, err, ErrDial, io.EOF)
		w.wantStats(Stats{})
		if got := w.set.Stats("s3"); got != (Stats{}) {
			t.Errorf("got %+v; want nothing left behind", got)
		}
		garbage.stop()
	})
}

func TestASilentNetwork(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		start := time.Now()
		w.net.Link("192.0.2.1", "s1:7687").Blackhole(true)
		_, err := w.set.Acquire(t.Context(), w.member, user("ann", bolt.V5_4))
		wantErr(t, err, ErrDial)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v; want the connect timeout of 5 s", took)
		}
		w.wantStats(Stats{})
	})
}

func TestStatsOfAStranger(t *testing.T) {
	inWorld(t, Options{}, v54, func(t *testing.T, w *world) {
		if got := w.set.Stats("nobody"); got != (Stats{}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestIdentitiesNeverPrintTheSecret(t *testing.T) {
	id := NewIdentity(Key{Version: bolt.V5_4}, bolt.Basic("ann", "s3cret"), 0)
	text, err := json.Marshal(map[string]any{"key": id.Key.Value(), "id": id})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{id, *id, id.Key.Value(), &Lease{id: id, Member: new(cluster.Member)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			text = fmt.Appendf(text, verb, v)
		}
	}
	if strings.Contains(string(text), "s3cret") || strings.Contains(string(text), fmt.Sprintf("%x", "s3cret")) {
		t.Errorf("the secret is printed: %s", text)
	}
	if got := fmt.Sprint(id); got != "basic ann, bolt 5.4 utc=false routed=false" {
		t.Errorf("got %q", got)
	}
}
