package pool

import (
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

// TestAConnectionWithoutTheAgreedPatchIsNotLent: its date-times would be read as those of another moment.
func TestAConnectionWithoutTheAgreedPatchIsNotLent(t *testing.T) {
	inWorld(t, Options{}, []bolt.Version{bolt.V4_4}, func(t *testing.T, w *world) {
		ann := NewIdentity(Key{Version: bolt.V4_4, UTC: true}, bolt.Basic("ann", password), 0)
		_, err := w.set.Acquire(t.Context(), w.member, ann)
		wantErr(t, err, ErrDial, errPatch)
		w.wantStats(Stats{})
		w.fake.mu.Lock()
		w.fake.utc = true
		w.fake.mu.Unlock()
		w.acquire(ann).Release(true)
		w.wantStats(Stats{Open: 1, Idle: 1})
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
			l, err := w.set.Verify(t.Context(), w.member, ann, Turn{})
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
		w.set.Forget(ann.With(Key{Version: bolt.V4_4, Routed: true}))
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
