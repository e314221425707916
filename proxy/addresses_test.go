package proxy

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// startNarrow is a gate that lets each address have so many connections.
func startNarrow(t *testing.T, most int, more ...func(*Frontend)) *gate {
	return startGate(t, gateOptions{frontend: func(f *Frontend) {
		f.MaxPerAddress = most
		for _, change := range more {
			change(f)
		}
	}})
}

// refusesLogOn tells what a new session was told.
func (g *gate) refusesLogOn(v bolt.Version) answer {
	g.t.Helper()
	w := g.open(v)
	messages := logonMessages(v, standin.DefaultUser, standin.DefaultPassword)
	w.send(messages...)
	for range len(messages) - 1 {
		w.read()
	}
	a := w.read()
	if a.tag != bolt.TagSuccess {
		w.closed()
	}
	w.conn.Close()
	return a
}

// connected waits until the gate has n connections.
func (g *gate) connected(n int) {
	g.t.Helper()
	waitFor(g.t, "connections to end", func() bool { return g.server.Sessions() == n })
}

func TestTooManyConnectionsOfAnAddress(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V1, bolt.V3, bolt.V4_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			o := gateOptions{frontend: func(f *Frontend) { f.MaxPerAddress = 2 }}
			o.standin.Versions = []bolt.Version{v, bolt.V5_4}
			g := startGate(t, o)
			first, web := g.logged(v), g.keeping()
			if a := web.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)); a.status != 200 {
				t.Fatalf("the second got %v", a)
			}
			for range 3 {
				a := g.refusesLogOn(v)
				if text, _ := a.meta()["message"].(string); a.code() != bolt.CodeNoThreads || !strings.Contains(text, "max_per_address") {
					t.Fatalf("the third got %v %v; want %s and why", a, a.value, bolt.CodeNoThreads)
				}
				g.connected(2)
			}
			raw := g.raw()
			raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			a, body := raw.answer("GET")
			if a.StatusCode != 429 || !strings.Contains(body, bolt.CodeNoThreads) || a.Header.Get("Retry-After") == "" || !a.Close {
				t.Errorf("over HTTP the third got %v %s; want 429, Retry-After and close", a, body)
			}
			raw.closed()
			g.connected(2)
			first.row(oneRow, nil, nil)
			first.conn.Close()
			g.connected(1)
			g.logged(v).row(oneRow, nil, nil)
			if n, f := g.server.Counts().Refused["address_connections"], g.server.Frontends()["main"].Refused; n != 4 || f != 4 {
				t.Errorf("%d and %d refusals are counted; want 4", n, f)
			}
		})
	}
}

// TestWhoAsksForMoreAndMoreIsNotAnswered: connections over the limit that say nothing do not add up.
func TestWhoAsksForMoreAndMoreIsNotAnswered(t *testing.T) {
	g := startNarrow(t, 1, func(f *Frontend) { f.Timeouts.Handshake = time.Hour })
	g.logged(bolt.V5_4)
	for range toldAtOnce {
		g.open(bolt.V5_4)
	}
	conn := g.raw().Conn
	conn.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck // shows in Read
	if n, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("one too many to be told so got %d bytes, %v; want to be closed", n, err)
	}
	g.connected(1 + toldAtOnce)
}

func TestConnectionsBehindATrustedProxyCountByTheClientsAddress(t *testing.T) {
	g := startNarrow(t, 1, func(f *Frontend) { f.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	status := func(from string) string {
		raw := g.raw()
		family, to := "TCP4", "192.0.2.9"
		if strings.Contains(from, ":") {
			family, to = "TCP6", "2001:db8::9"
		}
		raw.send("PROXY " + family + " " + from + " " + to + " 1234 7687\r\nGET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n")
		answer, _ := raw.answer("GET")
		return answer.Status
	}
	for _, tt := range []struct{ from, want string }{
		{"192.0.2.1", "200"}, {"192.0.2.2", "200"}, {"192.0.2.1", "429"},
		{"2001:db8::1", "200"}, {"2001:db8::2", "429"}, {"2001:db8:0:1::1", "200"}, // a network of 64 bits is one address
	} {
		if got := status(tt.from); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s got %q; want %s", tt.from, got, tt.want)
		}
	}
}

func TestAReloadThatLimitsAddressesCountsWhoIsThere(t *testing.T) {
	g := startGate(t, gateOptions{})
	a, b := g.logged(bolt.V5_4), g.logged(bolt.V5_4)
	set := *g.server.fronts["main"].settings.Load()
	set.MaxPerAddress = 2
	apply := func(f Frontend) {
		if err := g.server.Apply(Options{}, []*Frontend{&f}); err != nil {
			t.Fatal(err)
		}
	}
	apply(set)
	if got := g.refusesLogOn(bolt.V5_4); got.code() != bolt.CodeNoThreads {
		t.Errorf("a third got %v", got)
	}
	a.row(oneRow, nil, nil)
	g.connected(2)
	a.conn.Close()
	g.connected(1)
	if got := g.refusesLogOn(bolt.V5_4); got.tag != bolt.TagSuccess {
		t.Errorf("with room again: got %v", got)
	}
	g.connected(1)
	set.MaxPerAddress = 0
	apply(set)
	for range 3 {
		g.logged(bolt.V5_4)
	}
	set.MaxPerAddress = 4
	apply(set)
	if got := g.refusesLogOn(bolt.V5_4); got.code() != bolt.CodeNoThreads {
		t.Errorf("the fifth got %v", got)
	}
	b.row(oneRow, nil, nil)
}

// TestADriverWaitsForAPlaceOfItsAddress has an official driver come back by itself until a place is free.
func TestADriverWaitsForAPlaceOfItsAddress(t *testing.T) {
	g := startNarrow(t, 1)
	w := g.logged(bolt.V5_4)
	time.AfterFunc(300*time.Millisecond, func() { w.conn.Close() })
	for _, scheme := range []string{"bolt", "neo4j"} {
		driver := driverAt(t, scheme+"://"+g.address)
		if _, err := neo4j.ExecuteQuery(t.Context(), driver, aWrite, m{"mark": scheme}, neo4j.EagerResultTransformer); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		driver.Close(context.Background()) //nolint:errcheck // the next one waits for its place
	}
	if n := g.server.Counts().Refused["address_connections"]; n == 0 {
		t.Error("nothing was refused: the test shows nothing")
	}
}

// TestWhoIsLetIn: allow and deny are about the next connection, whatever it speaks; who is not let in is told nothing.
func TestWhoIsLetIn(t *testing.T) {
	all, nine := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.9/32")
	inBubble(t, gateOptions{}, func(t *testing.T, g *gate) {
		before := g.logged(bolt.V5_8)
		isIn := func(from string, first []byte) bool {
			conn, err := g.network.DialFrom(t.Context(), from, g.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(first) //nolint:errcheck // shows below
			n, _ := conn.Read(make([]byte, 4))
			return n > 0
		}
		for _, tt := range []struct {
			name        string
			allow, deny []netip.Prefix
			one, nine   bool // whether 192.0.2.1 and 192.0.2.9 are let in
		}{
			{"nothing is said", nil, nil, true, true},
			{"one is denied", nil, []netip.Prefix{nine}, true, false},
			{"all are denied", nil, []netip.Prefix{all}, false, false},
			{"one is allowed", []netip.Prefix{nine}, nil, false, true},
			{"one is denied of those that are allowed", []netip.Prefix{all}, []netip.Prefix{nine}, true, false},
			{"one is allowed of those that are denied", []netip.Prefix{nine}, []netip.Prefix{all}, false, false},
		} {
			refused := g.server.Frontends()["main"].Refused
			g.change(func(f *Frontend) { f.Allow, f.Deny = tt.allow, tt.deny })
			for protocol, first := range map[string][]byte{"Bolt": handshakeOf(bolt.V5_8), "HTTP": []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")} {
				if one, other := isIn("192.0.2.1", first), isIn("192.0.2.9", first); one != tt.one || other != tt.nine {
					t.Errorf("%s: over %s 192.0.2.1 is let in: %v, and 192.0.2.9: %v; want %v, %v", tt.name, protocol, one, other, tt.one, tt.nine)
				}
				refused += map[bool]uint64{false: 1}[tt.one] + map[bool]uint64{false: 1}[tt.nine]
			}
			if got := g.server.Frontends()["main"].Refused; got != refused {
				t.Errorf("%s: %d refusals are counted; want %d", tt.name, got, refused)
			}
		}
		before.row(oneRow, nil, nil)
	})
}
