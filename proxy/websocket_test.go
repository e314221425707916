package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// wsClient is a browser's side of a WebSocket as net.Conn: masked binary frames of at most size bytes.
type wsClient struct {
	net.Conn
	br   *bufio.Reader
	size int
	left []byte
}

func (c *wsClient) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i += c.size {
		piece := bytes.Clone(p[i:min(i+c.size, len(p))])
		if err := ws.WriteFrame(c.Conn, ws.MaskFrameInPlace(ws.NewBinaryFrame(piece))); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (c *wsClient) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		f, err := readFrame(c.br)
		if err != nil {
			return 0, err
		}
		switch f.Header.OpCode {
		case ws.OpBinary, ws.OpContinuation:
			c.left = f.Payload
		case ws.OpClose:
			return 0, io.EOF
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// readFrame reads a frame that is short enough to be the gate's.
func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > sentFrame {
		return f, fmt.Errorf("a frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func dialWebSocket(t *testing.T, address string, size int) *wsClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return upgrade(t, conn, address, size)
}

// upgrade makes a connection to address a WebSocket.
func upgrade(t *testing.T, conn net.Conn, address string, size int) *wsClient {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // shows in use
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://%s\r\n\r\n", address, address)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "ICX+Yqv66kxgM0FcWaLWlFLwTAI=" {
		t.Fatalf("upgrade: got %v, %v", resp, err)
	}
	return &wsClient{Conn: conn, br: br, size: size}
}

func TestBoltOverWebSocket(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	leader := g.cluster.Leader("neo4j")
	for _, size := range []int{1, 3, 64 << 10} {
		conn := dialWebSocket(t, g.address, size)
		if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
			t.Fatal(err)
		}
		c := bolt.NewClient(conn, bolt.V5_4)
		if err := c.Logon(bolt.HelloOptions{Agent: "test/1"}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
			t.Fatal(err)
		}
		if row := query(t, c, "CREATE (n) RETURN n", nil, nil); row["member"] != leader {
			t.Fatalf("frames of %d bytes: got %v; want the leader %s", size, row, leader)
		}
		ws.WriteFrame(conn.Conn, ws.MaskFrameInPlace(ws.NewCloseFrame(nil))) //nolint:errcheck // the read tells
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after a close frame: got %v; want a close frame back", err)
		}
	}
}

func TestAPlainGETIsNoWebSocket(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	if a := g.web("GET", "/", ""); a.status != 200 {
		t.Errorf("got %v", a)
	}
	for _, c := range []struct{ name, header, value string }{
		{"an old version", "Sec-WebSocket-Version", "8"},
		{"a short key", "Sec-WebSocket-Key", "AAAA"},
	} {
		h := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
		h = append(h, c.header, c.value)
		if a := g.web("GET", "/", "", h...); a.status != 400 {
			t.Errorf("%s: got %v; want 400", c.name, a)
		}
	}
}

func frames(fs ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range fs {
		f.Payload = bytes.Clone(f.Payload)
		if err := ws.WriteFrame(&b, ws.MaskFrameInPlace(f)); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func TestWebSocketReadsAcrossAnyCutAndAnyDeadline(t *testing.T) {
	a, b, c := bytes.Repeat([]byte("ab"), 40), bytes.Repeat([]byte("c"), 300), []byte("def")
	all := frames(
		ws.NewFrame(ws.OpBinary, false, a), ws.NewPingFrame([]byte("are you there")), ws.NewFrame(ws.OpContinuation, false, nil),
		ws.NewFrame(ws.OpContinuation, true, b), ws.NewPongFrame(nil), ws.NewBinaryFrame(c), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")),
	)
	want := string(a) + string(b) + string(c)
	for cut := range len(all) {
		near, far := memnet.Pipe()
		s := newWebSocket(far, bytes.Clone(all[:cut/2]))
		near.Write(all[cut/2 : cut]) //nolint:errcheck // never fails
		var got []byte
		buf := make([]byte, 7)
		far.SetReadDeadline(time.Now().Add(100 * time.Microsecond)) //nolint:errcheck // never fails
		for {
			n, err := s.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				far.SetReadDeadline(time.Time{}) //nolint:errcheck // never fails
				near.Write(all[cut:])            //nolint:errcheck // never fails
				cut = len(all)
				continue
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		if string(got) != want {
			t.Fatalf("got %q; want %q", got, want)
		}
		near.Close()
	}
}

func TestWebSocketRefusesWhatItMust(t *testing.T) {
	unmasked, _ := ws.CompileFrame(ws.NewBinaryFrame([]byte("x")))
	long := ws.NewBinaryFrame(nil)
	var huge bytes.Buffer
	long.Header.Length, long.Header.Masked = maxFrame+1, true
	ws.WriteHeader(&huge, long.Header) //nolint:errcheck // a buffer
	rsv := ws.NewBinaryFrame([]byte("x"))
	rsv.Header.Rsv = 4
	for _, c := range []struct {
		name string
		in   []byte
		code ws.StatusCode
	}{
		{"no mask", unmasked, 1002},
		{"reserved bits", frames(rsv), 1002},
		{"text", frames(ws.NewTextFrame([]byte("x"))), 1003},
		{"a frame too large", huge.Bytes(), 1009},
		{"a long ping", frames(ws.NewPingFrame(make([]byte, 126))), 1002},
		{"a continuation of nothing", frames(ws.NewFrame(ws.OpContinuation, true, []byte("x"))), 1002},
		{"a message inside another", frames(ws.NewFrame(ws.OpBinary, false, nil), ws.NewBinaryFrame(nil)), 1002},
		{"a reserved opcode", frames(ws.NewFrame(3, true, nil)), 1002},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := memnet.Pipe()
			s := newWebSocket(far, c.in)
			if n, err := s.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
				t.Fatalf("got %d, %v; want an error", n, err)
			}
			f, err := readFrame(near)
			if code, _ := ws.ParseCloseFrameData(f.Payload); err != nil || f.Header.OpCode != ws.OpClose || code != c.code {
				t.Errorf("got frame %v %v %v; want close %d", f.Header, f.Payload, err, c.code)
			}
			if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a write after the close frame: got %v", err)
			}
		})
	}
}

func TestWebSocketWriteGoesOnAfterADeadline(t *testing.T) {
	synctest.Test(t, writeGoesOnAfterADeadline)
}

func writeGoesOnAfterADeadline(t *testing.T) {
	near, far := memnet.Pipe()
	s := newWebSocket(far, nil)
	data := make([]byte, 300<<10)
	rand.Read(data) //nolint:errcheck // never fails
	got := make(chan []byte)
	far.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)) //nolint:errcheck // never fails
	sent, err := s.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || sent == 0 || sent == len(data) {
		t.Fatalf("a write that nobody reads: got %d, %v; want a deadline in the middle", sent, err)
	}
	s.sendControl(ws.NewPongFrame([]byte("late")), false) //nolint:errcheck // waits for the frame's end
	far.SetWriteDeadline(time.Time{})                     //nolint:errcheck // never fails
	go func() {
		var all []byte
		pongs := 0
		for len(all) < len(data) || pongs == 0 {
			f, err := readFrame(near)
			if err != nil {
				t.Error(err)
				break
			}
			if f.Header.OpCode == ws.OpPong {
				pongs++
				continue
			}
			all = append(all, f.Payload...)
		}
		got <- all
	}()
	if n, err := s.Write(data[sent:]); err != nil || n != len(data)-sent {
		t.Fatalf("the rest: got %d, %v", n, err)
	}
	if !bytes.Equal(<-got, data) {
		t.Error("the payload was changed by a deadline")
	}
}
