//go:build linux

package handover

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// linked is both ends of a link.
func linked(t *testing.T) (here, there *Link) {
	t.Helper()
	here, file, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if there, err = newLink(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func receive(t *testing.T, l *Link, k Kind) Packet {
	t.Helper()
	p, err := l.Await(k)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAConnectionArrivesAndIsTheSameOne(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	old, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	here, there := linked(t)
	if err := here.Send(Client, []byte("state"), old.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	p := receive(t, there, Client)
	if !bytes.Equal(p.Body, []byte("state")) || p.File == nil {
		t.Fatalf("got %q, file %v", p.Body, p.File)
	}
	passed, err := net.FileConn(p.File)
	p.Drop()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	old.Close() // the other copy keeps the connection open
	if _, err := passed.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhatWasSentIsReceivedAfterTheSenderIsGone(t *testing.T) {
	here, there := linked(t)
	for range 3 {
		if err := here.Send(Taken, []byte("12345678"), nil); err != nil {
			t.Fatal(err)
		}
	}
	here.Close()
	for range 3 {
		receive(t, there, Taken)
	}
	if _, err := there.Receive(); err != io.EOF {
		t.Errorf("got %v; want io.EOF", err)
	}
	if err := there.Send(Taken, nil, nil); err == nil {
		t.Error("a packet to nobody was sent")
	}
}

func TestPacketsAreBounded(t *testing.T) {
	here, there := linked(t)
	if err := here.Send(Client, make([]byte, maxBody+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v; want ErrTooLarge", err)
	}
	go func() { here.Send(Client, bytes.Repeat([]byte{7}, maxBody), nil) }() //nolint:errcheck // shows below
	if p := receive(t, there, Client); len(p.Body) != maxBody {
		t.Errorf("got %d bytes of %d", len(p.Body), maxBody)
	}
	two, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if err := here.write([]byte("c"), syscall.UnixRights(int(two.Fd()), int(two.Fd()))); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Receive(); !errors.Is(err, ErrFormat) {
		t.Errorf("two files: %v; want ErrFormat", err)
	}
}

func TestOnlyWhoStartedAProcessMayHandOverToIt(t *testing.T) {
	_, file, err := pair() // by this process, which is not its own parent
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{strconv.Itoa(fd): "not the one that started this", "x": "no file descriptor", "0": "no file descriptor"} {
		t.Setenv(Environment, text)
		if l, err := Predecessor(); l != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s=%s: %v; want an error with %q", Environment, text, err, want)
		}
		if _, set := os.LookupEnv(Environment); set {
			t.Error("the variable is still there, for what this process starts")
		}
	}
	if l, err := Predecessor(); l != nil || err != nil {
		t.Errorf("without the variable: %v, %v; want nothing", l, err)
	}
}
