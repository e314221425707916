package handover

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestCommonFormat(t *testing.T) {
	for _, c := range []struct {
		what string
		a, b Formats
		want int
	}{
		{"the same", Formats{1, 1}, Formats{1, 1}, 1},
		{"the newest that both know", Formats{1, 3}, Formats{2, 5}, 3},
		{"the other is too new", Formats{1, 1}, Formats{2, 3}, 0},
		{"the other is too old", Formats{4, 5}, Formats{1, 3}, 0},
		{"the other says nothing", Formats{1, 1}, Formats{}, 0},
	} {
		if got, back := c.a.Common(c.b), c.b.Common(c.a); got != c.want || back != c.want {
			t.Errorf("%s: got %d, and %d from the other side; want %d", c.what, got, back, c.want)
		}
	}
}

func TestAnotherProtocolIsRefused(t *testing.T) {
	if _, err := ReadGreeting([]byte(`{"protocol":2,"version":"9.9"}`)); err == nil || !strings.Contains(err.Error(), "9.9") {
		t.Errorf("got %v; want an error that names the version", err)
	}
	if _, err := ReadGreeting([]byte("GET /")); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v; want ErrFormat", err)
	}
	if g, err := ReadGreeting([]byte(`{"protocol":1,"formats":{"first":1,"last":2},"new":true}`)); err != nil || g.Formats.Last != 2 {
		t.Errorf("got %+v, %v; want what can be understood", g, err)
	}
}

func TestAHeldSocketAcceptsAfterRelease(t *testing.T) {
	var s Listeners
	s.Hold()
	l, err := s.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn.Close()
		}
		accepted <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	select {
	case err := <-accepted:
		t.Fatalf("accepted before Release: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.Release()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

func TestAHeldSocketCanBeClosed(t *testing.T) {
	var s Listeners
	s.Hold()
	l, err := s.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v; want net.ErrClosed", err)
	}
}

func TestAGivenSocketIsUsedByWhateverNameItHas(t *testing.T) {
	var from Listeners
	l, err := from.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := from.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	copies, err := from.Copies()
	if err != nil {
		t.Fatal(err)
	}
	from.Keep(true)
	l.Close()
	unix.Close()
	var to Listeners
	for _, c := range copies {
		a := c.Address
		if a.Network == "tcp" {
			a = Address{"systemd", "boltgate.socket"} // it is found by where it listens
		}
		if err := to.Give(a, c.File); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []net.Addr{l.Addr(), unix.Addr()} {
		k, err := to.Listen(want.Network(), want.String())
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		defer k.Close()
		conn, err := net.Dial(want.Network(), want.String())
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		conn.Close()
	}
	if unused := to.CloseIdle(); len(unused) > 0 {
		t.Errorf("unused: %v; want none", unused)
	}
}
