package proxy

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// This file sends whole sessions in every possible cut: what arrives together must not matter.

// cutVersions are one of each shape of session: transactions by text, HELLO as login, LOGON.
var cutVersions = map[string][]bolt.Version{
	"3.5.35": {bolt.V1, bolt.V3}, "4.4.48": {bolt.V4_4}, "5.26.30": {bolt.V5_8},
}

// phases is a session as bytes, by what may be sent together, with how many answers each has.
func phases(v bolt.Version) (parts [][]byte, due []int) {
	add := func(messages ...[]byte) {
		parts, due = append(parts, slices.Concat(messages...)), append(due, len(messages))
	}
	add(logonMessages(v, standin.DefaultUser, standin.DefaultPassword)...)
	add(join(auto(v, someRows), beginTx(v, nil), auto(v, aWrite), commitTx(v), auto(v, oneRow), beginTx(v, nil), auto(v, aWrite), rollbackTx(v))...)
	add(join(auto(v, failRun), auto(v, oneRow))...)
	add(bolt.Reset)
	add(run(v, oneRow, nil, nil))
	add(pull(v))
	return parts, due
}

func handshakeOf(v bolt.Version) []byte {
	b := binary.BigEndian.AppendUint32(nil, bolt.Magic)
	return append(b, 0, 0, v.Minor(), v.Major(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// sayCut plays the session, each part sent by write, and shows the answers.
func sayCut(t *testing.T, conn net.Conn, v bolt.Version, write func(part int, b []byte)) string {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second)) //nolint:errcheck // shows in use
	write(0, handshakeOf(v))
	var chosen [4]byte
	if _, err := readFull(conn, chosen[:]); err != nil || bolt.V(chosen[3], chosen[2]) != v {
		t.Fatalf("handshake: % x %v", chosen, err)
	}
	w := &wire{t: t, conn: conn, v: v, in: bolt.Reader{Source: conn}}
	parts, due := phases(v)
	said := ""
	for i, p := range parts {
		write(i+1, p)
		if line := show(w.answers(due[i])); i > 0 { // the gate speaks for itself when it answers the log-on
			said += line + "\n"
		}
	}
	return said
}

func readFull(conn net.Conn, b []byte) (int, error) {
	for n := 0; n < len(b); {
		got, err := conn.Read(b[n:])
		if n += got; err != nil {
			return n, err
		}
	}
	return len(b), nil
}

func eachCutVersion(t *testing.T, o func(*gateOptions), f func(t *testing.T, g *gate, v bolt.Version)) {
	for _, r := range releases {
		for _, v := range cutVersions[r.server] {
			t.Run("Bolt "+v.String(), func(t *testing.T) {
				all := gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, MaxChunk: 7}}
				if o != nil {
					o(&all)
				}
				f(t, startGate(t, all), v)
			})
		}
	}
}

func dialTCP(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestASessionInAnyCutAnswersTheSame(t *testing.T) {
	eachCutVersion(t, nil, func(t *testing.T, g *gate, v bolt.Version) {
		plain := func(conn net.Conn) func(int, []byte) {
			return func(_ int, b []byte) { conn.Write(b) } //nolint:errcheck // shows in the answers
		}
		conn := dialTCP(t, g.direct())
		want := sayCut(t, conn, v, plain(conn))
		check := func(what string, conn net.Conn, write func(int, []byte)) {
			t.Helper()
			if got := sayCut(t, conn, v, write); got != want {
				t.Fatalf("%s:\ngot\n%s\nwant\n%s", what, got, want)
			}
		}
		conn = dialTCP(t, g.address)
		check("whole", conn, plain(conn))
		conn = dialTCP(t, g.address)
		check("a byte at a time", conn, func(_ int, b []byte) {
			for i := range b {
				conn.Write(b[i : i+1]) //nolint:errcheck // shows in the answers
			}
		})
		for size := 1; size < 40; size++ {
			conn := dialTCP(t, g.address)
			check(fmt.Sprintf("chunks of %d", size), conn, func(part int, b []byte) {
				if part > 0 {
					b = rechunk(b, size)
				}
				conn.Write(b) //nolint:errcheck // shows in the answers
			})
		}
		conn = dialTCP(t, g.address)
		check("NOOPs between messages", conn, func(part int, b []byte) {
			if part > 0 {
				b = slices.Concat(bolt.Noop, bolt.Noop, b, bolt.Noop)
			}
			conn.Write(b) //nolint:errcheck // shows in the answers
		})
	})
}

// TestEveryPlaceToCutASession sends each part in two pieces, cut at every byte, over a network in memory, where a piece
// arrives by itself, and over sockets.
func TestEveryPlaceToCutASession(t *testing.T) {
	network := memnet.New(1)
	eachCutVersion(t, nil, func(t *testing.T, g *gate, v bolt.Version) {
		inMemory := "gate-" + v.String() + ":7687"
		l, err := network.Listen(inMemory)
		if err != nil {
			t.Fatal(err)
		}
		g.server.Listen = func(string, string) (net.Listener, error) { return l, nil }
		main := *g.server.fronts["main"].settings.Load()
		second := main
		second.Name, second.Bind = "memory", []string{inMemory}
		if err := g.server.Apply(Options{}, []*Frontend{&main, &second}); err != nil {
			t.Fatal(err)
		}
		parts, _ := phases(v)
		parts = append([][]byte{handshakeOf(v)}, parts...)
		conn := dialTCP(t, g.address)
		want := sayCut(t, conn, v, func(_ int, b []byte) { conn.Write(b) }) //nolint:errcheck // shows in the answers
		longest := slices.MaxFunc(parts, func(a, b []byte) int { return len(a) - len(b) })
		step := 1
		if testing.Short() {
			step = 17
		}
		for cut := 1; cut < len(longest); cut += step {
			conns := map[string]net.Conn{}
			if conns["memory"], err = network.Dial(t.Context(), "", inMemory); err != nil {
				t.Fatal(err)
			}
			if cut%8 == 1 {
				conns["sockets"] = dialTCP(t, g.address)
			}
			for where, conn := range conns {
				got := sayCut(t, conn, v, func(_ int, b []byte) {
					at := min(cut, len(b))
					conn.Write(b[:at]) //nolint:errcheck // shows in the answers
					if at < len(b) {
						time.Sleep(200 * time.Microsecond) // so that the pieces are read apart, mostly
						conn.Write(b[at:])                 //nolint:errcheck // shows in the answers
					}
				})
				if got != want {
					t.Fatalf("cut at %d, %s:\ngot\n%s\nwant\n%s", cut, where, got, want)
				}
			}
		}
	})
}

func TestNoopsOfAMemberAreDropped(t *testing.T) {
	noisy := func(o *gateOptions) { o.standin.NoopEvery = time.Millisecond }
	eachCutVersion(t, noisy, func(t *testing.T, g *gate, v bolt.Version) {
		if v < bolt.V4_4 {
			t.Skip("members of this version send none")
		}
		raw := &counting{Conn: dialTCP(t, g.address)}
		w := wireOn(t, raw, v)
		raw.on = true
		w.logOn(standin.DefaultUser, standin.DefaultPassword)
		member := loggedWire(t, g.direct(), v)
		for _, text := range []string{
			"MATCH (n) RETURN n /*standin delay=20ms*/", "CREATE (n) RETURN n /*standin delay=20ms delay_at=pull*/",
			"MATCH (n) RETURN n /*standin rows=5 row_delay=5ms*/", "MATCH (n) RETURN n /*standin delay=20ms delay_at=pull*/",
		} {
			w.expect(show(member.ask(auto(v, text)...)), auto(v, text)...)
		}
		if raw.noops > 0 {
			t.Errorf("%d NOOPs of the member reached the client", raw.noops)
		}
	})
}

// counting counts the NOOPs among what is read once it is on: empty chunks that end no message.
type counting struct {
	net.Conn
	on    bool
	noops int
	left  int // of the present chunk
	head  []byte
	open  bool // inside a message
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for _, x := range b[:n] {
		switch {
		case !c.on:
		case c.left > 0:
			c.left--
		default:
			if c.head = append(c.head, x); len(c.head) < 2 {
				continue
			}
			c.left = int(binary.BigEndian.Uint16(c.head))
			if c.head = c.head[:0]; c.left == 0 && !c.open {
				c.noops++
			}
			c.open = c.left > 0
		}
	}
	return n, err
}
