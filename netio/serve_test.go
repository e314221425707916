package netio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// answerer answers what it takes, and stops at a '.'.
type answerer struct {
	t      *testing.T
	link   *Link
	size   int // of its buffers
	buf    []byte
	waits  int // how often the link waited after a look that found nothing
	takes  int
	took   bytes.Buffer
	before func() // called in Take
}

func (e *answerer) Room() []byte {
	if e.buf == nil {
		e.buf = make([]byte, e.size)
	}
	return e.buf
}

func (e *answerer) Nothing() {
	e.buf = nil
	e.waits++
}

func (e *answerer) Take(n int) bool {
	e.takes++
	b := e.buf[:n]
	e.took.Write(b)
	if e.before != nil {
		e.before()
	}
	if _, err := e.link.TryWrite(b); err != nil {
		e.t.Errorf("write: %v", err)
	}
	on := !bytes.Contains(b, []byte("."))
	e.buf = nil
	return on
}

// TestServe: whatever is sent is taken once and in order: before the wait, during it, while the last was served, and in pieces
// that fill the buffer.
func TestServe(t *testing.T) {
	eachKind(t, func(t *testing.T, _ string, a, b net.Conn) {
		e := &answerer{t: t, link: New(a), size: 4}
		done := make(chan error, 1)
		go func() { done <- e.link.Serve(e) }()
		want := []byte("abcdefghijklmnopqrstuvwxyz")
		for i := range 200 {
			q := want[:1+i%len(want)]
			go b.Write(q) //nolint:errcheck // the answer shows it
			answer := make([]byte, len(q))
			b.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // it is set
			if _, err := io.ReadFull(b, answer); err != nil || !bytes.Equal(answer, q) {
				t.Fatalf("round %d: %q, %v instead of %q", i, answer, err, q)
			}
		}
		go b.Write([]byte("."))   //nolint:errcheck // the end shows it
		go io.Copy(io.Discard, b) //nolint:errcheck // as above
		if err := <-done; err != nil {
			t.Error(err)
		}
		if e.link.read.taker != nil {
			t.Error("the link keeps its taker")
		}
	})
}

// TestServeMissesNothing: bytes that come while the last ones are dealt with end the next wait, though nobody looks for them.
func TestServeMissesNothing(t *testing.T) {
	a, b := socketPair(t, "tcp", "127.0.0.1:0")
	defer a.Close()
	defer b.Close()
	e := &answerer{t: t, link: New(a), size: 64}
	e.before = func() {
		if e.takes == 1 {
			b.Write([]byte("second."))  //nolint:errcheck // shows below
			for e.link.Quiet() == nil { // until they are there
				time.Sleep(time.Millisecond)
			}
		}
	}
	b.Write([]byte("first")) //nolint:errcheck // shows below
	done := make(chan error, 1)
	go func() { done <- e.link.Serve(e) }()
	select {
	case err := <-done:
		if err != nil || e.took.String() != "firstsecond." {
			t.Errorf("%q, %v", e.took.String(), err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits, though bytes are there")
	}
	if e.waits != 0 {
		t.Errorf("%d looks found nothing", e.waits)
	}
}

// TestServeEnds: by the other side, by a deadline, by Close.
func TestServeEnds(t *testing.T) {
	ends := map[string]struct {
		end  func(a, b net.Conn)
		want error
	}{
		"the other side closes": {func(_, b net.Conn) { b.Close() }, io.EOF},
		"a deadline":            {func(a, _ net.Conn) { a.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded}, //nolint:errcheck // it is set
		"it is closed":          {func(a, _ net.Conn) { a.Close() }, net.ErrClosed},
	}
	for name, test := range ends {
		t.Run(name, func(t *testing.T) {
			a, b := socketPair(t, "tcp", "127.0.0.1:0")
			defer a.Close()
			defer b.Close()
			e := &answerer{t: t, link: New(a), size: 64}
			time.AfterFunc(10*time.Millisecond, func() { test.end(a, b) })
			if err := e.link.Serve(e); !errors.Is(err, test.want) {
				t.Errorf("%v instead of %v", err, test.want)
			}
			if e.buf != nil {
				t.Error("the buffer was not given back")
			}
		})
	}
}
