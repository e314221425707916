package proxy

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// addressOf is one of many addresses.
func addressOf(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }

func TestWhoFillsTheTableOfRefusedAddressesResetsOnlyTheOldest(t *testing.T) {
	th := newThrottle()
	for range 5 {
		th.bad("192.0.2.1:1")
	}
	for i := range maxAddresses - 1 {
		th.bad(addressOf(i))
	}
	if d := th.delay("192.0.2.1:2"); d != firstDelay<<4 {
		t.Fatalf("in a table that is just full the first is slowed by %v; want %v", d, firstDelay<<4)
	}
	th.bad("192.0.2.1:1") // and is the newest now
	th.bad("192.0.2.2:1")
	if th.delay("192.0.2.1:2") != firstDelay<<5 || th.delay(addressOf(1)) != firstDelay || th.delay("192.0.2.2:1") != firstDelay {
		t.Error("one more address than there is room for has reset others than the oldest")
	}
	if d := th.delay(addressOf(0)); d != 0 || len(th.refused) != maxAddresses || th.order.Len() != maxAddresses {
		t.Errorf("the oldest is slowed by %v, %d and %d are kept; want 0, %d", d, len(th.refused), th.order.Len(), maxAddresses)
	}
}

func TestRefusedAddressesAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		th.bad("10.0.0.1:1")
		th.bad("[2001:db8::1]:1")
		if th.delay("[2001:db8::2]:1") == 0 || th.delay("[2001:db8:0:1::1]:1") != 0 {
			t.Error("an IPv6 network of 64 bits is one address")
		}
		time.Sleep(forgivenAfter + time.Second)
		th.bad("10.0.0.2:1")
		if len(th.refused) != 1 {
			t.Errorf("%d addresses are kept a minute later; want the new one", len(th.refused))
		}
		if th.delay("10.0.0.2:9") != firstDelay {
			t.Error("a refusal does not slow")
		}
		if th.good("10.0.0.2:1"); th.busy.Load() {
			t.Error("without anybody in it the table says that it is busy")
		}
	})
}

// TestWrongLoginsOverBoltAreSlowed: each that a member refuses puts off the next one of the same address, whoever that is, until a good one.
func TestWrongLoginsOverBoltAreSlowed(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V3, bolt.V5_8} { // in HELLO, in LOGON
		o := gateOptions{standin: twoUsers}
		o.standin.Versions = []bolt.Version{v}
		inBubble(t, o, func(t *testing.T, g *gate) {
			for i, try := range []struct {
				from, user, password string
				in                   bool
				after                time.Duration
			}{
				{"192.0.2.1", "ann", "guess", false, 0},
				{"192.0.2.1", "ann", "another", false, firstDelay},
				{"192.0.2.1", "nobody", "guess", false, 2 * firstDelay},
				{"192.0.2.9", "ann", "secret", true, 0},
				{"192.0.2.1", standin.DefaultUser, standin.DefaultPassword, true, 4 * firstDelay},
				{"192.0.2.1", "ann", "guess", false, 0},
				{"192.0.2.1", "ann", "guess", false, firstDelay},
			} {
				conn, err := g.network.DialFrom(t.Context(), try.from, g.address)
				if err != nil {
					t.Fatal(err)
				}
				w, begun := wireOn(t, conn, v), time.Now()
				list := w.ask(logonMessages(v, try.user, try.password)...)
				took := time.Since(begun)
				if in := list[len(list)-1].tag == bolt.TagSuccess; in != try.in || took < try.after || took >= try.after+firstDelay {
					t.Errorf("%v, log-on %d as %s: got %v after %v; want in %v after %v", v, i, try.user, show(list), took, try.in, try.after)
				}
			}
			if got := g.server.Counts().Limited["login"]; got != 4 {
				t.Errorf("%d log-ons were counted as slowed; want 4", got)
			}
		})
	}
}

// TestWrongLoginsOverHTTPAreSlowed: what a member says of them counts for the address, for Bolt as well.
func TestWrongLoginsOverHTTPAreSlowed(t *testing.T) {
	for _, path := range []string{"/db/neo4j/tx/commit", "/db/neo4j/query/v2"} {
		t.Run(path, func(t *testing.T) {
			g := startGate(t, gateOptions{standin: twoUsers})
			body := map[bool]string{true: stmt(oneRow), false: queryBody(oneRow)}[path == "/db/neo4j/tx/commit"]
			ask := func(user, password string) (answer webAnswer, took time.Duration) {
				begun := time.Now()
				answer = g.web("POST", path, body, "Authorization", basicHeader(user, password))
				return answer, time.Since(begun)
			}
			if a := g.web("POST", path, body, "Authorization", ""); a.status != 401 || g.server.throttle.busy.Load() {
				t.Fatalf("without a login: got %v, slowed %v; want 401, which is no guess", a, g.server.throttle.busy.Load())
			}
			for i := range 4 {
				a, took := ask("ann", fmt.Sprint("guess", i))
				if least := firstDelay << i / 2; a.status != 401 || i > 0 && took < least {
					t.Errorf("guess %d: got %v after %v; want 401, and later than %v", i, a, took, least)
				}
			}
			if a := g.web("GET", "/", "", "Authorization", basicHeader("ann", "guess")); a.status != 200 || g.server.throttle.delay("127.0.0.1:1") != firstDelay<<3 {
				t.Errorf("an answer that needs no login (%v) has changed how the address is slowed", a)
			}
			w, begun := openWire(t, g.address, bolt.V5_4), time.Now()
			w.logOn("ann", "secret")
			if took := time.Since(begun); took < firstDelay<<3 {
				t.Errorf("a Bolt log-on from there took %v; want %v", took, firstDelay<<3)
			}
			if g.server.throttle.busy.Load() {
				t.Error("a good log-on does not forgive")
			}
			ask("ann", "guess")
			if a, took := ask("ann", "secret"); a.status >= 300 || took < firstDelay || g.server.throttle.busy.Load() {
				t.Errorf("the right password: got %v after %v, and slowed still: %v", a, took, g.server.throttle.busy.Load())
			}
		})
	}
}

// TestWhoIsAtWorkOverHTTPIsNotSlowedByNeighbours: nor may another login come in on the same connection without waiting.
func TestWhoIsAtWorkOverHTTPIsNotSlowedByNeighbours(t *testing.T) {
	g := startGate(t, gateOptions{standin: twoUsers})
	g.server.throttle.bad("127.0.0.1:1")
	kept := g.keeping()
	ask := func(user, password string, want int) {
		t.Helper()
		if a := kept.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader(user, password)); a.status != want {
			t.Fatalf("got %v; want %d", a, want)
		}
	}
	ask("ann", "secret", 200)
	for range 6 {
		g.server.throttle.bad("127.0.0.1:1")
	}
	begun := time.Now()
	for range 3 {
		ask("ann", "secret", 200)
	}
	if took := time.Since(begun); took >= firstDelay<<5 {
		t.Errorf("who is at work waited %v for a neighbour's guesses", took)
	}
	g.server.throttle.good("127.0.0.1:1")
	g.server.throttle.bad("127.0.0.1:1")
	begun = time.Now()
	ask(standin.DefaultUser, "guess", 401)
	if took := time.Since(begun); took < firstDelay {
		t.Errorf("another login on the same connection was tried after %v", took)
	}
	if d := g.server.throttle.delay("127.0.0.1:1"); d != firstDelay<<1 {
		t.Errorf("the address is slowed by %v; want %v", d, firstDelay<<1)
	}
}
