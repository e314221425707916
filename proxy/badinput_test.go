package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// This file sends what no client should, and lets members answer what no member should: each ends at most its own
// session, in time, with the protocol's error and one log line.

// lines collects log lines from info on.
type lines struct {
	slog.Handler
	mu   *sync.Mutex
	seen *[]string
}

func newLines() *lines {
	l := &lines{mu: new(sync.Mutex), seen: new([]string)}
	l.Handler = slog.NewTextHandler(io.Discard, nil)
	return l
}

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.seen = append(*l.seen, b.String())
	return nil
}

func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *lines) WithGroup(string) slog.Handler      { return l }

// about are the lines on connections, from the n-th on.
func (l *lines) about(what string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range *l.seen {
		if strings.Contains(s, what) {
			found = append(found, s)
		}
	}
	return found
}

// endsWithin reads to the end of the connection and returns what came.
func endsWithin(t *testing.T, conn net.Conn, limit time.Duration) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(limit)) //nolint:errcheck // shows in ReadAll
	said, err := io.ReadAll(conn)
	if err != nil && isTimeout(err) {
		t.Fatalf("the connection was still open after %v", limit)
	}
	return said
}

func TestRandomBytesEndTheirOwnSession(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	log := newLines()
	g := startGate(t, gateOptions{standin: single, log: slog.New(log)})
	good := g.logged(bolt.V5_8)
	some := func(n int) []byte {
		b := make([]byte, 1+random.IntN(n))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	const rounds = 40
	for range rounds {
		first, handshaken, logged := dialTCP(t, g.address), g.open(bolt.V5_8).conn, g.logged(bolt.V5_8).conn
		for _, conn := range []net.Conn{first, handshaken, logged} {
			conn.Write(some(100))            //nolint:errcheck // may be closed already
			conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
			endsWithin(t, conn, patience)
			conn.Close()
		}
		good.row(oneRow, nil, nil)
	}
	if n := len(log.about("panic")); n > 0 {
		t.Errorf("%d sessions ended by a panic: %v", n, log.about("panic")[0])
	}
	if n := len(log.about("connection ended")); n > 3*rounds {
		t.Errorf("%d log lines about %d bad connections", n, 3*rounds)
	}
	good.conn.Close()
	g.settled()
}

func TestAbsurdLengthsAreRefused(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	absurd := map[string][]byte{
		"text of 4 GiB":         {0, 8, 0xB3, bolt.TagRun, 0xD2, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0},
		"map of 4 Gi entries":   {0, 11, 0xB3, bolt.TagRun, 0x81, 'x', 0xDA, 0xFF, 0xFF, 0xFF, 0xFF, 0xA0, 0xA0, 0, 0},
		"list of 2 Gi in extra": {0, 14, 0xB3, bolt.TagRun, 0x81, 'x', 0xA0, 0xA1, 0x81, 'k', 0xD6, 0x7F, 0xFF, 0xFF, 0xFF, 0x00, 0, 0},
		"no structure":          {0, 2, 0x81, 'x', 0, 0},
		"message of one byte":   {0, 1, 0xB0, 0, 0},
		"lists a million deep":  slices.Concat([]byte{0xFF, 0xFF, 0xB3, bolt.TagRun, 0x81, 'x'}, bytes.Repeat([]byte{0x91}, 0xFFFF-4), []byte{0, 0}),
		"fields missing":        {0, 4, 0xB3, bolt.TagRun, 0x81, 'x', 0, 0},
	}
	for name, b := range absurd {
		for _, state := range []string{"ready", "in a transaction"} {
			t.Run(name+" "+state, func(t *testing.T) {
				w := loggedWire(t, g.address, bolt.V5_8)
				w.conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // shows in use
				if state != "ready" {
					w.ask(beginTx(w.v, nil)...)
				}
				w.send(b)
				if a := w.read(); a.code() != bolt.CodeInvalidRequest {
					t.Errorf("got %v %v", a, a.value)
				}
				if state == "ready" {
					w.closed()
				}
				w.conn.Close() // in a transaction it is the member's to say, and those of 5.x go on
			})
		}
	}
	g.settled()
}

// TestASlowClientIsNotWaitedForBeforeItsLogin: every step has its time, however often a byte comes.
func TestASlowClientIsNotWaitedForBeforeItsLogin(t *testing.T) {
	script := slices.Concat([][]byte{handshakeOf(bolt.V5_8)}, logonMessages(bolt.V5_8, "neo4j", strings.Repeat("x", 300)))
	for step, name := range []string{"handshake", "HELLO", "LOGON"} {
		for _, every := range []time.Duration{time.Minute, 400 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s, a byte every %v", name, every), func(t *testing.T) {
				inBubble(t, gateOptions{standin: single}, func(t *testing.T, g *gate) {
					conn, err := g.network.Dial(context.Background(), "tcp", g.address)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					for i := range step {
						conn.Write(script[i]) //nolint:errcheck // shows below
						readSome(t, conn)
					}
					began := time.Now()
					var writer sync.WaitGroup
					over := make(chan struct{})
					writer.Go(func() {
						for _, b := range script[step] {
							if _, err := conn.Write([]byte{b}); err != nil {
								return
							}
							select {
							case <-time.After(every):
							case <-over:
								return
							}
						}
					})
					io.Copy(io.Discard, conn) //nolint:errcheck // until it ends
					close(over)
					writer.Wait()
					if took := time.Since(began); took > 7*time.Second { // the first bytes, which tell the protocol, have their own
						t.Errorf("ended after %v; timeouts.handshake is 5 s", took)
					}
				})
			})
		}
	}
}

func readSome(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
}

func TestLittleIsReadBeforeTheLogin(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	large := strings.Repeat("x", 200<<10)
	for name, v := range map[string]bolt.Version{"INIT": bolt.V4_4, "HELLO": bolt.V5_8} {
		w := g.open(v)
		w.conn.Write(message(bolt.TagHello, m{"user_agent": large})) //nolint:errcheck // it may be closed before all is written
		a, err := w.tryRead()
		if err != nil || a.tag != 0 && a.code() != bolt.CodeInvalidRequest {
			t.Errorf("%s: %v %v %v", name, a, a.value, err)
		}
	}
	w := g.open(bolt.V5_8)
	w.ask(logonMessages(w.v, "", "")[0])
	w.conn.Write(message(bolt.TagLogon, m{"scheme": "basic", "principal": large, "credentials": ""})) //nolint:errcheck // as above
	if a, err := w.tryRead(); err != nil || a.tag != 0 && a.code() != bolt.CodeInvalidRequest {
		t.Errorf("LOGON: %v %v %v", a, a.value, err)
	}
	g.settled()
}

func TestARefusedLogOnSaysWhatTheMemberSays(t *testing.T) {
	for _, r := range releases {
		g := startGate(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}})
		for _, v := range r.versions {
			logOn := func(address string) (said []answer) {
				w := openWire(t, address, v)
				messages := logonMessages(v, standin.DefaultUser, "wrong")
				w.send(messages...)
				said = w.answers(len(messages))
				w.closed()
				return said[len(said)-1:]
			}
			g.server.throttle.good("127.0.0.1:1") // refusals slow the next log-on, which is not what is tested
			got, want := logOn(g.address), logOn(g.direct())
			if got[0].code() != want[0].code() || got[0].meta()["message"] != want[0].meta()["message"] {
				t.Errorf("Bolt %v: got %v, a member says %v", v, got[0].value, want[0].value)
			}
		}
		g.settled()
	}
}

func TestAMemberThatAnswersGarbage(t *testing.T) {
	log := newLines()
	g := startGate(t, gateOptions{standin: lab, log: slog.New(log), frontend: func(f *Frontend) { f.Timeouts.Server = 2 * time.Second }})
	other := g.logged(bolt.V5_8)
	for _, at := range []string{"run", "pull"} {
		for text, want := range map[string]string{oneRow: bolt.CodeLeaderSwitch, aWrite: bolt.CodeCommitFailed} {
			extra := m{}
			if text == oneRow {
				extra["mode"] = "r"
			}
			began := time.Now()
			w := g.logged(bolt.V5_8)
			w.send(run(w.v, text, m{"garbage": at}, extra), pull(w.v))
			list := w.answers(2)
			if got := show(list); !strings.Contains(got, "FAILURE("+want+")") && !strings.HasSuffix(got, "CLOSED") {
				t.Errorf("%s with garbage at %s: %s", text, at, got)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%s with garbage at %s took %v", text, at, took)
			}
			w.conn.Close()
			other.row(oneRow, nil, nil)
		}
	}
	other.conn.Close()
	g.settled()
}

func TestAHalfOpenMemberIsGivenUp(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, frontend: func(f *Frontend) { f.Timeouts.Server = time.Second }})
	w := g.logged(bolt.V5_8)
	w.row(oneRow, nil, nil)
	w.ask(beginTx(w.v, nil)...)
	if err := g.cluster.Freeze(g.cluster.Members()[0].Name); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.expect("FAILURE("+bolt.CodeLeaderSwitch+") IGNORED", auto(w.v, aWrite)...)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("given up after %v", took)
	}
	if err := g.cluster.Thaw(g.cluster.Members()[0].Name); err != nil {
		t.Fatal(err)
	}
	w.expect("SUCCESS()", bolt.Reset)
	w.row(oneRow, nil, nil)
	w.conn.Close()
	g.settled()
}

// proxyV2 is a PROXY header of version 2 for IPv4.
func proxyV2(from, to netip.AddrPort) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, 0x11, 0, 12)
	f, d := from.Addr().As4(), to.Addr().As4()
	b = append(append(b, f[:]...), d[:]...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	return binary.BigEndian.AppendUint16(b, to.Port())
}

func TestPROXYHeaders(t *testing.T) {
	client, local := netip.MustParseAddrPort("192.0.2.7:5555"), netip.MustParseAddrPort("198.51.100.9:7687")
	headers := map[string][]byte{
		"v1": []byte("PROXY TCP4 192.0.2.7 198.51.100.9 5555 7687\r\n"),
		"v2": proxyV2(client, local), "none": nil,
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, header := range headers {
		for _, trust := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s trusted=%v", name, trust), func(t *testing.T) {
				g, _ := startQuick(t, func(f *Frontend) {
					if trust {
						f.ProxyFrom = trusted
					}
				})
				conn := dialTCP(t, g.address)
				for _, b := range header { // in pieces
					conn.Write([]byte{b}) //nolint:errcheck // shows below
				}
				if !trust && header != nil {
					conn.Write(handshakeOf(bolt.V5_8)) //nolint:errcheck // shows below
					said := endsWithin(t, conn, patience)
					if bytes.Contains(said, []byte{0, 0, 8, 5}) {
						t.Error("a header from anybody was taken")
					}
					return
				}
				w := wireOn(t, conn, bolt.V5_8)
				w.logOn("a", "b")
				w.row(oneRow, nil, nil)
				s := g.onlySession(t)
				if header != nil && (s.remote != client.String() || s.local != local.String()) {
					t.Errorf("the session is from %s to %s", s.remote, s.local)
				}
				list := w.ask(message(bolt.TagRoute, m{}, []any{}, m{}))
				if want := s.local; !strings.Contains(fmt.Sprint(list[0].value), want) {
					t.Errorf("the routing table %v does not lead to %s", list[0].value, want)
				}
			})
		}
	}
}

// TestWhoIsLetInBehindAProxy: behind a proxy that is trusted, allow and deny are about the client that it names.
func TestWhoIsLetInBehindAProxy(t *testing.T) {
	loopback, clients := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name, header string
		set          func(f *Frontend)
		in           bool
	}{
		{"its client is allowed", "PROXY TCP4 192.0.2.7 198.51.100.9 5555 7687\r\n", func(f *Frontend) { f.Allow = []netip.Prefix{clients} }, true},
		{"its client is denied", "PROXY TCP4 192.0.2.7 198.51.100.9 5555 7687\r\n", func(f *Frontend) { f.Deny = []netip.Prefix{clients} }, false},
		{"only the proxy is allowed", "PROXY TCP4 192.0.2.7 198.51.100.9 5555 7687\r\n", func(f *Frontend) { f.Allow = []netip.Prefix{loopback} }, false},
		{"it speaks for itself", "", func(f *Frontend) { f.Allow = []netip.Prefix{loopback} }, true},
		{"it speaks for itself and is not allowed", "", func(f *Frontend) { f.Allow = []netip.Prefix{clients} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, _ := startQuick(t, func(f *Frontend) { f.ProxyFrom = []netip.Prefix{loopback}; tt.set(f) })
			conn := dialTCP(t, g.address)
			conn.Write(append([]byte(tt.header), handshakeOf(bolt.V5_8)...)) //nolint:errcheck // shows below
			if !tt.in {
				if said := endsWithin(t, conn, patience); len(said) > 0 {
					t.Errorf("was let in: % x", said)
				}
				return
			}
			conn.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck // shows below
			if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
				t.Errorf("was not let in: %v", err)
			}
		})
	}
}

func TestBoltOverTLSOnTheSamePort(t *testing.T) {
	for _, required := range []bool{false, true} {
		g := startGate(t, gateOptions{standin: lab, frontend: func(f *Frontend) { f.TLS, f.TLSRequired = testTLS(t), required }})
		conn := tls.Client(dialTCP(t, g.address), &tls.Config{InsecureSkipVerify: true, ServerName: "gate.example"}) //nolint:gosec // a test's own certificate
		w := wireOn(t, conn, bolt.V5_8)
		w.logOn(standin.DefaultUser, standin.DefaultPassword)
		w.row(aWrite, nil, nil)
		w.ask(join(beginTx(w.v, nil), auto(w.v, someRows), commitTx(w.v))...)
		w.send(auto(w.v, endless)...)
		w.read()
		w.send(bolt.Reset)
		w.answers(2)
		list := w.ask(message(bolt.TagRoute, m{}, []any{}, m{}))
		_, port, _ := net.SplitHostPort(g.address)
		if want := "gate.example:" + port; !strings.Contains(fmt.Sprint(list[0].value), want) {
			t.Errorf("the routing table %v does not lead to %s, the name that the client used", list[0].value, want)
		}
		w.row(oneRow, nil, nil)

		plain := dialTCP(t, g.address)
		plain.Write(handshakeOf(bolt.V5_8)) //nolint:errcheck // shows below
		if required {
			if said := endsWithin(t, plain, 5*time.Second); len(said) > 0 {
				t.Errorf("plain text where TLS is required: % x", said)
			}
		} else {
			readSome(t, plain)
		}
		plain.Close()
		w.conn.Close()
		g.settled()
	}
}

func TestNoCommonVersionIsSaid(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	conn := dialTCP(t, g.address)
	defer conn.Close()
	if _, err := bolt.Handshake(conn, bolt.V1); !errors.Is(err, bolt.ErrNoVersion) {
		t.Errorf("got %v", err)
	}
	endsWithin(t, conn, 5*time.Second)
}

// TestRouteLeadsToTheGate in every version, by message or procedure.
func TestRouteLeadsToTheGate(t *testing.T) {
	eachVersion(t, bolt.V1, func(t *testing.T, g *gate, v bolt.Version) {
		w := g.logged(v)
		var list []answer
		switch {
		case v >= bolt.V4_4:
			list = w.ask(message(bolt.TagRoute, m{"address": "gate.example:7777"}, []any{}, m{}))
		case v >= bolt.V4_3:
			list = w.ask(message(bolt.TagRoute, m{"address": "gate.example:7777"}, []any{}, nil))
		case v >= bolt.V4_0:
			list = w.ask(run(v, "CALL dbms.routing.getRoutingTable($context, $database)", m{"context": m{"address": "gate.example:7777"}, "database": nil}, m{"db": "system"}), pull(v))
		default:
			list = w.ask(run(v, "CALL dbms.cluster.routing.getRoutingTable($context)", m{"context": m{"address": "gate.example:7777"}}, nil), pull(v))
		}
		text := ""
		for _, a := range list {
			if a.tag == bolt.TagFailure {
				t.Fatalf("got %v", a.value)
			}
			text += fmt.Sprint(a.value)
		}
		if strings.Count(text, "gate.example:7777") != 3 {
			t.Errorf("got %s", text)
		}
		for _, member := range g.cluster.Members() {
			if strings.Contains(text, member.Bolt) {
				t.Errorf("%s names a member: %s", text, member.Bolt)
			}
		}
		w.row(oneRow, nil, nil)
		if v >= bolt.V4_0 {
			unknown := map[bool][][]byte{
				true:  {message(bolt.TagRoute, m{}, []any{}, m{"db": "nowhere"})},
				false: {run(v, "CALL dbms.routing.getRoutingTable($context, $database)", m{"context": m{}, "database": "nowhere"}, m{"db": "system"}), pull(v)},
			}[v >= bolt.V4_4]
			if v == bolt.V4_3 {
				unknown = [][]byte{message(bolt.TagRoute, m{}, []any{}, "nowhere")}
			}
			if got := w.ask(unknown...)[0].code(); got != bolt.CodeDatabaseNotFound {
				t.Errorf("an unknown database: %s", got)
			}
		}
	})
}
