package netio

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/memnet"
)

// kinds are the connections that links are made of; each gives both ends.
func kinds(t *testing.T) map[string]func(testing.TB) (near, far net.Conn) {
	config := tlsConfig(t)
	return map[string]func(testing.TB) (near, far net.Conn){
		"tcp":    func(t testing.TB) (near, far net.Conn) { return socketPair(t, "tcp", "127.0.0.1:0") },
		"unix":   func(t testing.TB) (near, far net.Conn) { return socketPair(t, "unix", filepath.Join(t.TempDir(), "s")) },
		"pipe":   func(t testing.TB) (near, far net.Conn) { return net.Pipe() },
		"memnet": func(t testing.TB) (near, far net.Conn) { return memnet.Pipe() },
		"tls": func(t testing.TB) (near, far net.Conn) {
			a, b := socketPair(t, "tcp", "127.0.0.1:0")
			return tlsPair(t, a, b, config)
		},
		"tls in memory": func(t testing.TB) (near, far net.Conn) {
			a, b := memnet.Pipe()
			return tlsPair(t, a, b, config)
		},
	}
}

func eachKind(t *testing.T, f func(t *testing.T, kind string, near, far net.Conn)) {
	for kind, dial := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			near, far := dial(t)
			defer near.Close()
			defer far.Close()
			f(t, kind, near, far)
		})
	}
}

func socketPair(t testing.TB, network, address string) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// tlsPair has exchanged a byte each way, so that session tickets are out of the way.
func tlsPair(t testing.TB, a, b net.Conn, config *tls.Config) (near, far net.Conn) {
	t.Helper()
	client := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	server := tls.Server(b, config)
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(server, server, 1)
		done <- err
	}()
	one := []byte{1}
	_, werr := client.Write(one)
	_, rerr := io.ReadFull(client, one)
	if err := errors.Join(werr, rerr, <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// counter lends one buffer and counts.
type counter struct {
	buf       [64]byte
	gets, out atomic.Int64
}

func (c *counter) get() []byte  { c.gets.Add(1); c.out.Add(1); return c.buf[:] }
func (c *counter) put(p []byte) { c.out.Add(-1) }

// waitUntil polls cond, which must come true within half a minute.
func waitUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestRawIsForPlainSockets(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		if got, want := New(near).Raw(), kind == "tcp" || kind == "unix"; got != want {
			t.Errorf("got %v; want %v", got, want)
		}
	})
}

func TestReadLent(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		var c counter
		type result struct {
			got string
			err error
		}
		results := make(chan result)
		read := func() {
			buf, n, err := l.ReadLent(c.get, c.put)
			if buf != nil {
				defer c.put(buf)
			}
			results <- result{string(buf[:n]), err}
		}
		go read()
		waitUntil(t, "the reader borrows a buffer", func() bool { return c.gets.Load() > 0 })
		if l.Raw() {
			waitUntil(t, "the waiting reader gives its buffer back", func() bool { return c.out.Load() == 0 })
		}
		far.Write([]byte("hello")) //nolint:errcheck // shows in the read
		if r := <-results; r.err != nil || r.got != "hello" {
			t.Fatalf("got %q, %v; want hello", r.got, r.err)
		}
		near.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) //nolint:errcheck // shows in the read
		go read()
		if r := <-results; !errors.Is(r.err, os.ErrDeadlineExceeded) {
			t.Fatalf("after the deadline: %v; want os.ErrDeadlineExceeded", r.err)
		}
		near.SetReadDeadline(time.Time{}) //nolint:errcheck // shows in the read
		go read()
		far.Close()
		if r := <-results; r.err != io.EOF {
			t.Fatalf("after the peer's close: %v; want io.EOF", r.err)
		}
		if c.out.Load() != 0 {
			t.Errorf("%d buffers were not given back", c.out.Load())
		}
	})
}

func TestReadLentEndsWithTheConnection(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		var c counter
		done := make(chan error)
		go func() { _, _, err := New(near).ReadLent(c.get, c.put); done <- err }()
		waitUntil(t, "the reader waits", func() bool { return c.gets.Load() > 0 })
		near.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v; want that the connection is closed", err)
		}
		if c.out.Load() != 0 {
			t.Errorf("%d buffers were not given back", c.out.Load())
		}
	})
}

func TestResetIsAnErrorWithAPlace(t *testing.T) {
	near, far := socketPair(t, "tcp", "127.0.0.1:0")
	far.(*net.TCPConn).SetLinger(0) //nolint:errcheck // shows below
	far.Close()
	var c counter
	_, _, err := New(near).ReadLent(c.get, c.put)
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || c.out.Load() != 0 {
		t.Errorf("got %v, %d buffers out; want ECONNRESET in a *net.OpError", err, c.out.Load())
	}
}

// echo answers each request of size bytes with the same bytes, at once.
func echo(conn net.Conn, size int) {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return
		}
		if _, err := conn.Write(buf); err != nil {
			return
		}
	}
}

func TestAnAnswerThatComesAtOnceIsNotMissed(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 10_000
	}
	for _, network := range []string{"tcp", "unix"} {
		near, far := socketPair(t, network, map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")}[network])
		go echo(far, 4)
		l := New(near)
		near.SetReadDeadline(time.Now().Add(2 * time.Minute)) //nolint:errcheck // shows in Exchange
		var p [16]byte
		for i := range rounds / 2 {
			request := [4]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}
			n, _, err := l.Exchange(request[:], p[:], true)
			for n < len(request) && err == nil { // an answer may come in pieces
				var more int
				more, err = l.Read(p[n:])
				n += more
			}
			if err != nil || !bytes.Equal(p[:n], request[:]) {
				t.Fatalf("%s, round %d: got %x, %v", network, i, p[:n], err)
			}
		}
	}
}

func TestExchangeWithAStaleConnection(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		far.Close()
		if l.socket != nil {
			waitUntil(t, "the close arrives", func() bool { return l.peek() != nil })
		}
		n, unsent, err := l.Exchange([]byte("request"), make([]byte, 16), true)
		if err == nil || n != 0 {
			t.Fatalf("got %d bytes, %v; want an error", n, err)
		}
		if !unsent && kind != "tls in memory" { // there a look needs a wait
			t.Errorf("unsent is false (%v); nothing could be sent", err)
		}
	})
}

func TestExchangeSendsNothingOverWaitingBytes(t *testing.T) {
	for _, kind := range []string{"tcp", "unix", "tls"} {
		near, far := kinds(t)[kind](t)
		l := New(near)
		far.Write([]byte("stray")) //nolint:errcheck // shows below
		waitUntil(t, "the stray bytes arrive", func() bool { return l.peek() != nil })
		if _, unsent, err := l.Exchange([]byte("request"), make([]byte, 16), true); !unsent || !errors.Is(err, ErrDirty) {
			t.Errorf("%s: got unsent %v, %v; want true, ErrDirty", kind, unsent, err)
		}
		near.Close()
		far.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows in the read
		if n, err := far.Read(make([]byte, 16)); n != 0 {
			t.Errorf("%s: %d bytes of the request were sent (%v)", kind, n, err)
		}
	}
}

// Without a look a stale connection shows after the request left, and never hangs: not even when the poller was told of
// its end before.
func TestExchangeWithoutALook(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		near, far := kinds(t)[network](t)
		l := New(near)
		go io.Copy(far, far) //nolint:errcheck // ends with the connection
		var p [16]byte
		if n, unsent, err := l.Exchange([]byte("request"), p[:], false); string(p[:n]) != "request" || unsent || err != nil {
			t.Errorf("%s: got %q, %v, %v", network, p[:n], unsent, err)
		}
		far.Close()
		waitUntil(t, "the end arrives", func() bool { return l.peek() != nil })
		near.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows in the exchange
		if n, _, err := l.Exchange([]byte("request"), p[:], false); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v; want the end", network, n, err)
		}
	}
}

func TestExchangeOfMoreThanASocketHolds(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		request := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
		sum := make(chan bool)
		go func() {
			got := make([]byte, len(request))
			_, err := io.ReadFull(far, got)
			far.Write([]byte("ok")) //nolint:errcheck // shows in Exchange
			sum <- err == nil && bytes.Equal(got, request)
		}()
		p := make([]byte, 16)
		n, unsent, err := New(near).Exchange(request, p, true)
		if err != nil || unsent || string(p[:max(n, 1)]) != "ok"[:max(n, 1)] {
			t.Errorf("got %q, unsent %v, %v; want ok", p[:n], unsent, err)
		}
		if !<-sum {
			t.Error("the request did not arrive whole")
		}
	})
}

func TestReadGoesOnAfterTheDeadline(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		go func() {
			buf := make([]byte, 7)
			io.ReadFull(far, buf) //nolint:errcheck // shows below
		}()
		near.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // shows in Exchange
		p := make([]byte, 16)
		if _, unsent, err := l.Exchange([]byte("request"), p, true); unsent || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got unsent %v, %v; want a sent request and os.ErrDeadlineExceeded", unsent, err)
		}
		near.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows in Read
		go far.Write([]byte("late"))                           //nolint:errcheck // shows in Read
		if n, err := l.Read(p); err != nil || string(p[:n]) != "late"[:n] {
			t.Errorf("got %q, %v; want late", p[:n], err)
		}
	})
}

func TestADeadlineThatHasPassedStillSends(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		got := make(chan string)
		go func() {
			buf := make([]byte, 7)
			n, _ := io.ReadFull(far, buf)
			got <- string(buf[:n])
		}()
		near.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // shows in Exchange
		if n, unsent, err := l.Exchange([]byte("request"), make([]byte, 16), true); n != 0 || unsent || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %d, unsent %v, %v; want a sent request and os.ErrDeadlineExceeded", n, unsent, err)
		}
		far.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows below
		if g := <-got; g != "request" {
			t.Errorf("the peer got %q; want request", g)
		}
	})
}

func TestTryWriteTakesWhatFits(t *testing.T) {
	for _, kind := range []string{"tcp", "unix"} {
		near, far := kinds(t)[kind](t)
		l := New(near)
		big := make([]byte, 32<<20)
		n, err := l.TryWrite(big)
		if err != nil || n == 0 || n == len(big) {
			t.Fatalf("%s: took %d of %d bytes: %v; want a part", kind, n, len(big), err)
		}
		sent := n
		for n > 0 {
			if n, err = l.TryWrite(big); err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		if _, err := io.CopyN(io.Discard, far, int64(sent)); err != nil {
			t.Errorf("%s: what TryWrite took did not arrive: %v", kind, err)
		}
		far.Close()
		waitUntil(t, "a write meets the closed peer", func() bool { _, err := l.TryWrite([]byte{1}); return err != nil })
		near.Close()
		if _, err := l.TryWrite([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: after Close: %v; want net.ErrClosed", kind, err)
		}
	}
}

func TestQuiet(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		for range 3 {
			if err := l.Quiet(); err != nil {
				t.Fatalf("open and silent: %v; want nil", err)
			}
		}
		go func() { far.Write([]byte("hello")) }() //nolint:errcheck // shows below
		p := make([]byte, 2)
		if _, err := io.ReadFull(near, p); err != nil {
			t.Fatalf("reading after a look: %v", err)
		}
		waitUntil(t, "the rest is seen", func() bool { return l.Quiet() != nil })
	})
}

func TestQuietSeesWaitingBytes(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		go func() { far.Write([]byte("stray")) }() //nolint:errcheck // shows below
		var err error
		waitUntil(t, "the bytes arrive", func() bool { err = l.Quiet(); return err != nil })
		if err != ErrDirty {
			t.Errorf("got %v; want ErrDirty", err)
		}
		if l.Raw() {
			if n, err := near.Read(make([]byte, 16)); n != 5 {
				t.Errorf("a look left %d bytes of 5: %v", n, err)
			}
		}
	})
}

func TestQuietSeesTheEnd(t *testing.T) {
	eachKind(t, func(t *testing.T, kind string, near, far net.Conn) {
		l := New(near)
		far.Close()
		var err error
		waitUntil(t, "the close arrives", func() bool { err = l.Quiet(); return err != nil })
		if err != io.EOF {
			t.Errorf("the peer closed: got %v; want io.EOF", err)
		}
		near.Close()
		if err := l.Quiet(); err == nil {
			t.Error("closed on this side: got nil; want an error")
		}
	})
}

func TestQuietSeesAReset(t *testing.T) {
	near, far := socketPair(t, "tcp", "127.0.0.1:0")
	far.(*net.TCPConn).SetLinger(0) //nolint:errcheck // shows below
	far.Close()
	var err error
	waitUntil(t, "the reset arrives", func() bool { err = New(near).Quiet(); return err != nil })
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want ECONNRESET", err)
	}
}

func TestQuietSeesWhatTLSHasReadAlready(t *testing.T) {
	near, far := kinds(t)["tls"](t)
	l := New(near)
	far.Write([]byte("one")) //nolint:errcheck // shows below
	far.Write([]byte("two")) //nolint:errcheck // shows below
	waitUntil(t, "both records arrive", func() bool { return l.peek() != nil })
	if _, err := io.ReadFull(near, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := l.Quiet(); err != ErrDirty {
		t.Errorf("got %v; want ErrDirty", err)
	}
}

func TestQuietTakesASessionTicketForSilence(t *testing.T) {
	a, b := socketPair(t, "tcp", "127.0.0.1:0")
	client := tls.Client(a, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	server := tls.Server(b, tlsConfig(t))
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	l := New(client)
	waitUntil(t, "the ticket arrives", func() bool { return l.peek() != nil })
	if err := l.Quiet(); err != nil {
		t.Errorf("with nothing but a session ticket waiting: %v; want nil", err)
	}
}

func TestPlainSocketsAllocateNothing(t *testing.T) {
	for _, kind := range []string{"tcp", "unix"} {
		near, far := kinds(t)[kind](t)
		l := New(near)
		var c counter
		get, put := c.get, c.put
		request, p := []byte("request"), make([]byte, 16)
		check := func(what string, f func()) {
			t.Helper()
			if n := testing.AllocsPerRun(200, f); n != 0 {
				t.Errorf("%s: %s allocates %v times; want 0", kind, what, n)
			}
		}
		check("Quiet", func() {
			if err := l.Quiet(); err != nil {
				t.Fatal(err)
			}
		})
		check("TryWrite", func() { l.TryWrite(request) }) //nolint:errcheck // read below
		if _, err := io.CopyN(io.Discard, far, 201*int64(len(request))); err != nil {
			t.Fatal(err)
		}
		go echo(far, len(request))
		check("Exchange", func() {
			if n, _, err := l.Exchange(request, p, true); n != len(request) {
				t.Fatal(n, err)
			}
		})
		check("ReadLent", func() {
			if n, err := l.TryWrite(request); n != len(request) {
				t.Fatal(n, err)
			}
			buf, n, err := l.ReadLent(get, put)
			if n != len(request) {
				t.Fatal(n, err)
			}
			put(buf)
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	near, far := socketPair(b, "tcp", "127.0.0.1:0")
	go echo(far, 16)
	l := New(near)
	request, p := make([]byte, 16), make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := l.Exchange(request, p, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuiet(b *testing.B) {
	near, _ := socketPair(b, "tcp", "127.0.0.1:0")
	l := New(near)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Quiet(); err != nil {
			b.Fatal(err)
		}
	}
}

// LimitRead leaves a deadline that fits where it is, and moves every other one.
func TestLimitRead(t *testing.T) {
	near, _ := socketPair(t, "tcp", "127.0.0.1:0")
	l := New(near)
	const least, most = 20 * time.Millisecond, 60 * time.Millisecond
	waits := func(what string, from, to time.Duration) {
		t.Helper()
		start := time.Now()
		l.LimitRead(start, least, most)
		_, err := l.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took < from || took > to {
			t.Errorf("%s: got %v after %v; want a timeout after %v to %v", what, err, took, from, to)
		}
	}
	const slack = 5 * time.Second // of a busy machine
	waits("the first", most, most+slack)
	waits("the one before has passed", most, most+slack)
	now := time.Now()
	l.LimitRead(now, least, most)
	set := l.soon.Load()
	l.LimitRead(now.Add(most-least), least, most)
	if l.soon.Load() != set {
		t.Error("a deadline that fits was moved")
	}
	time.Sleep(most - least/2)
	waits("the one before comes too soon", most, most+slack)
	l.LimitRead(time.Now(), least, most)
	l.SetReadDeadline(time.Time{})
	waits("the one before was taken away", most, most+slack)
	l.LimitRead(time.Now(), least, most)
	l.SetDeadline(time.Now().Add(time.Hour))
	waits("the one before was replaced", most, most+slack)
}
