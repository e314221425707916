package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// link opens a connection from "c" to a listener at "s:1".
func connect(t *testing.T, n *Network) (near, far *Conn) {
	t.Helper()
	l, err := n.Listen("s:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a, err := n.DialFrom(t.Context(), "c", "s:1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a.(*Conn), b.(*Conn)
}

func TestBytesArriveInOrderAndEndWithEOF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t, &Network{Buffer: 7}) // far below what is sent, so that the writer must wait
		want := bytes.Repeat([]byte("0123456789"), 1000)
		go func() {
			near.Write(want)
			near.CloseWrite()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v; want %d, nil", len(got), err, len(want))
		}
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatalf("writing against the half-close: %v", err)
		}
		one := make([]byte, 1)
		if n, err := near.Read(one); n != 1 || err != nil {
			t.Fatalf("got %d, %v; want 1, nil", n, err)
		}
	})
}

func TestDeadlinesWakeWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t, &Network{Buffer: 4})
		start := time.Now()
		near.SetDeadline(start.Add(3 * time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: got %v; want a deadline error", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("read gave up after %v; want 3s", took)
		}
		near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := near.Write([]byte("123456"))
		var timeout net.Error
		if n != 4 || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("write: got %d, %v; want 4 and a timeout", n, err)
		}
		near.SetDeadline(time.Time{})
		got := make([]byte, 4)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "1234" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestCutAtAnExactByte(t *testing.T) {
	for _, cut := range []int64{1, 2, 10, 99} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			n.Link("c", "s:1").CutAt(cut, 0)
			near, far := connect(t, n)
			sent, err := near.Write(make([]byte, 100))
			if int64(sent) != cut || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("cut at %d: wrote %d, %v; want a reset there", cut, sent, err)
			}
			got, err := io.ReadAll(far)
			if int64(len(got)) != cut || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("cut at %d: read %d, %v; want a reset there", cut, len(got), err)
			}
			synctest.Wait()
			if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other direction: got %v; want a reset", err)
			}
		})
	}
}

// TestASilenceEndsForWhatWasCutMeanwhile: bytes that waited while their connection was cut or closed arrive when the link is no longer silent.
func TestASilenceEndsForWhatWasCutMeanwhile(t *testing.T) {
	for name, cutAt := range map[string]int64{"cut": 3, "closed": 0} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			n.Link("c", "s:1").CutAt(0, cutAt)
			near, far := connect(t, n)
			n.Link("c", "s:1").Silence(false, true)
			far.Write([]byte("abc")) //nolint:errcheck // shows in what is read
			if cutAt == 0 {
				far.Close()
			}
			got := make(chan string)
			go func() {
				b := make([]byte, 3)
				io.ReadFull(near, b) //nolint:errcheck // shows in b
				got <- string(b)
			}()
			synctest.Wait()
			n.Link("c", "s:1").Silence(false, false)
			synctest.Wait()
			select {
			case b := <-got:
				if b != "abc" {
					t.Errorf("%s: got %q", name, b)
				}
			default:
				t.Errorf("%s: what was on its way did not arrive", name)
				near.Close()
				<-got
			}
		})
	}
}

func TestALinkDelaysGoesSilentAndIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		near, far := connect(t, n)
		link := n.Link("c", "s:1")
		link.Delay(time.Second)
		start := time.Now()
		near.Write([]byte("a"))
		one := make([]byte, 1)
		far.Read(one)
		if took := time.Since(start); took != time.Second {
			t.Errorf("delayed by %v; want 1s", took)
		}
		link.Heal()
		link.Blackhole(true)
		near.Write([]byte("b"))
		far.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := far.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("silent link: got %v; want nothing to arrive", err)
		}
		far.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			link.Blackhole(false)
		}()
		if _, err := far.Read(one); err != nil || one[0] != 'b' {
			t.Errorf("after the silence: got %q, %v", one, err)
		}
		link.Cut()
		if _, err := near.Write(one); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the cut: got %v; want a reset", err)
		}
		if open := link.Conns(); open != 0 {
			t.Errorf("got %d open connections; want 0", open)
		}
	})
}

func TestDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		if _, err := n.Dial(t.Context(), "tcp", "s:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: got %v; want ECONNREFUSED", err)
		}
		l, err := n.Listen("s:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("s:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listening twice: got %v; want EADDRINUSE", err)
		}
		n.Link("192.0.2.1", "s:1").Blackhole(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "s:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silent link: got %v; want the context's end", err)
		}
		c, err := n.DialFrom(t.Context(), "other", "s:1")
		if err != nil {
			t.Fatalf("another link: %v", err)
		}
		l.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("not accepted when the listener closed: got %v; want a reset", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: got %v; want net.ErrClosed", err)
		}
		if l, err = n.Listen("s:1"); err != nil {
			t.Errorf("listening again: %v", err)
		}
		l.Close()
	})
}

func TestSameSeedSameCuts(t *testing.T) {
	a, b := New(7), New(7)
	for range 100 {
		if x, y := a.Random(1000), b.Random(1000); x != y {
			t.Fatalf("got %d and %d from one seed", x, y)
		}
	}
}
