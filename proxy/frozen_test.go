//go:build linux

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// This file stops a member's reading while much is being sent to it: timeouts.server bounds that, a client that leaves
// meanwhile is noticed, and either way the lease ends.

const (
	serverLimit = 500 * time.Millisecond // timeouts.server of these tests
	noticed     = 20 * time.Second       // within which everything ends
	largeParam  = 8 << 20                // of an opening request: more than sockets on the way hold, less than limits.request
)

// freezer stops a member's reading, and lets it go on when the test ends.
type freezer struct {
	mu     sync.Mutex
	conns  []net.Conn // guarded by mu
	frozen bool       // guarded by mu
	thawed chan struct{}
	once   sync.Once
}

type frozenConn struct {
	net.Conn
	f *freezer
}

func (c frozenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 && isTimeout(err) {
		<-c.f.thawed
		c.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // shows in Read
		return c.Conn.Read(b)
	}
	return n, err
}

func (f *freezer) reader(conn net.Conn) net.Conn {
	conn.(*net.TCPConn).SetReadBuffer(smallSocket) //nolint:errcheck // shows in the result
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, conn)
	if f.frozen {
		conn.SetReadDeadline(longAgo) //nolint:errcheck // shows in Read
	}
	return frozenConn{conn, f}
}

// freeze ends all reading, the one that is waiting included.
func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = true
	for _, conn := range f.conns {
		conn.SetReadDeadline(longAgo) //nolint:errcheck // shows in Read
	}
}

func (f *freezer) thaw() { f.once.Do(func() { close(f.thawed) }) }

// smallDial keeps what sockets towards members hold small, so that a frozen one is felt soon.
func smallDial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		conn.(*net.TCPConn).SetWriteBuffer(smallSocket) //nolint:errcheck // shows in the result
	}
	return conn, err
}

// frozenGate starts a gate before a member that can be frozen, and a client that has done a unit of work.
func frozenGate(t *testing.T, limit time.Duration) (g *gate, w *wire, f *freezer) {
	f = &freezer{thawed: make(chan struct{})}
	g = startBefore(t, &quickMember{reader: f.reader}, pool.Options{Dial: smallDial}, nil)
	t.Cleanup(f.thaw) // before the gate waits for the end of its sessions
	w = openWire(t, g.address, bolt.V5_8)
	w.logOn("a", "b")
	w.row("RETURN 1", nil, nil)
	g.change(func(f *Frontend) { f.Timeouts.Server = limit })
	w.conn.SetDeadline(time.Now().Add(2 * noticed)) //nolint:errcheck // shows in use
	return g, w, f
}

// leaseEnds waits until no member works for anybody.
func leaseEnds(t *testing.T, g *gate, member string, since time.Time) {
	t.Helper()
	for g.pools.Stats(member).InFlight != 0 {
		if time.Since(since) > noticed {
			t.Fatalf("the lease has not ended after %v", noticed)
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("the lease ended after %v", time.Since(since).Round(time.Millisecond))
}

func TestServerTimeoutBoundsAnUpload(t *testing.T) {
	g, w, f := frozenGate(t, serverLimit)
	w.ask(beginTx(w.v, nil)...)
	f.freeze()
	began := time.Now()
	go writeParams(w.conn, 64<<20) //nolint:errcheck // ends with the connection
	if a, err := w.tryRead(); err == nil && a.tag != bolt.TagFailure {
		t.Errorf("got %v; want a FAILURE", a)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the client was not told")
	}
	leaseEnds(t, g, "quick", began)
}

func TestServerTimeoutDoesNotBoundAMemberThatReads(t *testing.T) {
	member := &quickMember{}
	p := &passage{TB: t, volume: volume{rate: 4 << 20}, bolt: member}
	member.reader = func(conn net.Conn) net.Conn { return p.slow(conn, nil) }
	g := startBefore(t, member, pool.Options{Dial: smallDial}, func(f *Frontend) { f.Timeouts.Server = time.Second })
	w := openWire(t, g.address, bolt.V5_8)
	w.logOn("a", "b")
	w.expect("SUCCESS(fields t_first) RECORD SUCCESS(bookmark db t_last type)", run(w.v, "CREATE (n {p: $p})", m{"p": make([]byte, largeParam)}, nil), pull(w.v))
}

// ways are how clients leave.
var ways = map[string]func(conn net.Conn){
	"closes": func(conn net.Conn) { conn.Close() },
	"resets": func(conn net.Conn) {
		conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // shows in the result
		conn.Close()
	},
}

func TestAClientLeavesAnOpeningForAFrozenMember(t *testing.T) {
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			g, w, f := frozenGate(t, 0)
			f.freeze()
			w.send(run(w.v, "CREATE (n {p: $p})", m{"p": make([]byte, largeParam)}, nil), pull(w.v))
			waitFor(t, "the request is on its way", func() bool { return g.pools.Stats("quick").InFlight == 1 && unread(t, w.conn) == 0 })
			began := time.Now()
			leave(w.conn)
			leaseEnds(t, g, "quick", began)
		})
	}
}

// errStuck ends a writer of writeUntilStuck.
var errStuck = errors.New("the other side reads no more")

const smallPiece = 16 << 10 // a socket takes more than this even when the other side reads nothing

// stuckWriter writes in small pieces until the other side stops reading. What it wrote then lies in the other side's socket,
// so that the end of the connection can follow it at once.
type stuckWriter struct {
	t    *testing.T
	conn net.Conn
}

func (s stuckWriter) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = s.conn.Write(b[n:min(n+smallPiece, len(b))])
		n += k
		for end := time.Now().Add(200 * time.Millisecond); err == nil && unread(s.t, s.conn) > 0; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(end) {
				err = errStuck
			}
		}
	}
	return n, err
}

func writeUntilStuck(t *testing.T, conn net.Conn, write func(io.Writer) error) {
	t.Helper()
	if err := write(stuckWriter{t, conn}); !errors.Is(err, errStuck) {
		t.Fatalf("got %v; want the gate to stop reading", err)
	}
}

// unread is how many bytes of conn lie in the socket of its other side, which is the gate's, in this process.
func unread(t testing.TB, conn net.Conn) int {
	t.Helper()
	mine, other := conn.LocalAddr().(*net.TCPAddr).Port, conn.RemoteAddr().(*net.TCPAddr).Port
	for fd := range 1 << 12 {
		local, err := syscall.Getsockname(fd)
		if err != nil || portOf(local) != other {
			continue
		}
		if remote, err := syscall.Getpeername(fd); err != nil || portOf(remote) != mine {
			continue
		}
		var n int32
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
			t.Fatal(errno)
		}
		return int(n)
	}
	return 0
}

func portOf(a syscall.Sockaddr) int {
	if a, ok := a.(*syscall.SockaddrInet4); ok {
		return a.Port
	}
	return -1
}

// frozenHTTP starts a gate before a member that reads nothing behind the head of a request for /frozen in its query, and a
// client.
func frozenHTTP(t *testing.T, limit time.Duration) (g *gate, c *raw) {
	over := make(chan struct{})
	member := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		conn.(*net.TCPConn).SetReadBuffer(smallSocket) //nolint:errcheck // shows in the result
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if r.URL.RawQuery == "frozen" {
				<-over
				return
			}
			io.Copy(io.Discard, r.Body)    //nolint:errcheck // shows in the answer
			io.WriteString(conn, ok("{}")) //nolint:errcheck // as above
		}
	})
	g = startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Server = limit }, member)
	g.pools.Apply(pool.Options{HTTPIdle: time.Hour, Dial: smallDial})
	t.Cleanup(func() { close(over) })
	return g, g.raw()
}

var frozenPaths = map[string]string{"opening": "/db/neo4j/tx/commit?frozen", "commit body": "/db/neo4j/tx/s1-17/commit?frozen"}

func sendHTTP(w io.Writer, path string) error {
	if _, err := fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Length: %d\r\n\r\n", path, bodySize(largeParam)); err != nil {
		return err
	}
	return writeLarge(w, largeParam, false)
}

func TestServerTimeoutBoundsSendingHTTP(t *testing.T) {
	for name, path := range frozenPaths {
		t.Run(name, func(t *testing.T) {
			g, c := frozenHTTP(t, serverLimit)
			began := time.Now()
			go sendHTTP(c, path) //nolint:errcheck // ends with the connection
			if resp, body := c.answer("POST"); resp.StatusCode != 502 {
				t.Errorf("got %s %s; want 502", resp.Status, body)
			}
			leaseEnds(t, g, "s1", began)
		})
	}
}

func TestAClientLeavesHTTPToAFrozenMember(t *testing.T) {
	for way, leave := range ways {
		for name, path := range frozenPaths {
			t.Run(name+", the client "+way, func(t *testing.T) {
				t.Parallel()
				g, c := frozenHTTP(t, 0)
				if name == "opening" {
					if err := sendHTTP(c, path); err != nil {
						t.Fatal(err)
					}
					waitFor(t, "the request is on its way", func() bool { return g.pools.Stats("s1").InFlight == 1 && unread(t, c.Conn) == 0 })
				} else {
					writeUntilStuck(t, c.Conn, func(w io.Writer) error { return sendHTTP(w, path) })
				}
				began := time.Now()
				leave(c.Conn)
				leaseEnds(t, g, "s1", began)
			})
		}
	}
}
