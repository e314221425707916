package sim

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// This file owns garbage: members whose bytes become random ones, or end, anywhere in a handshake, a log-on, an answer.

// spoiled is what becomes of the bytes that come over one connection.
type spoiled struct {
	mu   sync.Mutex
	set  bool
	left int    // good bytes before it begins
	rest []byte // what comes then; behind it the connection ends
}

// spoil has so many good bytes come yet, then n random ones, and then the end. Only the first call counts.
func (s *spoiled) spoil(good, n int, r *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set {
		return
	}
	s.set, s.left, s.rest = true, good, make([]byte, n)
	for i := range s.rest {
		s.rest[i] = byte(r.Uint32())
	}
}

// read is Read of in. bad tells that what it returns is garbage, or its end.
func (s *spoiled) read(in io.Reader, b []byte) (n int, bad bool, err error) {
	s.mu.Lock()
	if s.set && s.left <= 0 && len(b) > 0 {
		defer s.mu.Unlock()
		n = copy(b, s.rest)
		s.rest = s.rest[n:]
		if n == 0 {
			err = io.EOF
		}
		return n, true, err
	}
	if s.set {
		b = b[:min(len(b), s.left)]
	}
	s.mu.Unlock()
	n, err = in.Read(b)
	s.mu.Lock()
	s.left -= n
	s.mu.Unlock()
	return n, false, err
}

// babblers are the members of which every new connection turns to garbage.
type babblers struct {
	mu     sync.Mutex
	random *rand.Rand
	names  map[string]int // how many faults make it one
}

func (l *babblers) add(member string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]int{}
	}
	l.names[member] += n
}

// meet spoils a new connection to member, when that is one of them: in the handshake, in the log-on, or in an answer.
func (l *babblers) meet(member string, s *spoiled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names[member] <= 0 {
		return
	}
	s.spoil(l.random.IntN([]int{5, 300, 1500}[l.random.IntN(3)]), l.random.IntN(600), l.random)
}

// checkConn is a connection of the checks.
type checkConn struct {
	net.Conn
	bad spoiled
}

// Read reads what the member sent, or garbage.
func (c *checkConn) Read(b []byte) (int, error) {
	n, _, err := c.bad.read(c.Conn, b)
	return n, err
}
