// Package memnet is a network in memory for tests: connections with buffers, deadlines and half-close, on links that can
// be slow, cut, silent, or broken at an exact byte. It does no real I/O and waits only in ways that testing/synctest
// counts as blocked, so time inside a bubble passes at once. Make a Network inside the bubble that uses it.
//
// This file owns the network: listeners, dialling, and the links between names. stream.go owns one direction of a
// connection, conn.go its two ends.
package memnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

const (
	defaultBuffer = 64 << 10
	backlog       = 128
	firstPort     = 49152 // of the clients' side, as the IANA has it for ephemeral ports
)

// Network is a set of listeners and links. The zero Network is ready: no listener, links without faults.
type Network struct {
	Buffer int // bytes that a direction of a connection holds before its writer blocks; 0 means 64 KiB

	mu        sync.Mutex
	listeners map[string]*Listener
	links     map[[2]string]*Link
	random    *rand.Rand
	seed      int64
	port      int
}

// New returns a Network whose Random is seeded.
func New(seed int64) *Network {
	return &Network{seed: seed, random: rand.New(rand.NewPCG(uint64(seed), 0x6d656d6e6574))}
}

// Random returns a number in [0, n) from the network's seed, for choosing cut points; calls in the same order give the
// same numbers.
func (n *Network) Random(limit int64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.random == nil {
		n.random = rand.New(rand.NewPCG(0, 0))
	}
	return n.random.Int64N(limit)
}

// Listen opens a listener at address, such as "s1:7687". Port 0 picks a free one. It fails with EADDRINUSE while
// another listener has the address.
func (n *Network) Listen(address string) (*Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("memnet: listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		address = net.JoinHostPort(host, strconv.Itoa(n.nextPort()))
	}
	if _, taken := n.listeners[address]; taken {
		return nil, opError("listen", Addr(address), syscall.EADDRINUSE)
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*Listener)
	}
	l := &Listener{network: n, address: Addr(address), queue: make(chan *Conn, backlog), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// nextPort is called with mu held.
func (n *Network) nextPort() int {
	n.port++
	return firstPort + n.port%(1<<16-firstPort)
}

// Dial connects to address from the host 192.0.2.1; it has the shape of net.Dialer's DialContext. It fails with
// ECONNREFUSED when nobody listens there, and waits as long as ctx lets it where the link is silent.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	return n.DialFrom(ctx, "192.0.2.1", address)
}

// DialFrom is Dial from the named host, which chooses the link.
func (n *Network) DialFrom(ctx context.Context, from, address string) (net.Conn, error) {
	link := n.Link(from, address)
	if err := link.admit(ctx); err != nil {
		return nil, opError("dial", Addr(address), err)
	}
	n.mu.Lock()
	l := n.listeners[address]
	local := Addr(net.JoinHostPort(from, strconv.Itoa(n.nextPort())))
	n.mu.Unlock()
	if l == nil {
		return nil, opError("dial", Addr(address), syscall.ECONNREFUSED)
	}
	near, far := pair(local, Addr(address), link, n.buffer())
	select {
	case <-l.done:
	case l.queue <- far:
		return near, nil
	case <-ctx.Done():
		near.Abort()
		return nil, opError("dial", Addr(address), ctx.Err())
	}
	near.Abort()
	return nil, opError("dial", Addr(address), syscall.ECONNREFUSED)
}

func (n *Network) buffer() int {
	if n.Buffer > 0 {
		return n.Buffer
	}
	return defaultBuffer
}

// Link is the link from a host to a listener's address; faults set on it hold for connections that are open and for those
// to come. Links come into being when they are first named.
func (n *Network) Link(from, address string) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]string{from, address}
	l := n.links[key]
	if l == nil {
		if n.links == nil {
			n.links = make(map[[2]string]*Link)
		}
		l = &Link{changed: make(chan struct{}), conns: make(map[*Conn]int64), random: n.randomOf(from, address)}
		n.links[key] = l
	}
	return l
}

// Listener accepts the connections dialled to its address.
type Listener struct {
	network *Network
	address Addr
	queue   chan *Conn
	done    chan struct{}
	once    sync.Once
}

// Accept waits for the next connection; net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, opError("accept", l.address, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, opError("accept", l.address, net.ErrClosed)
	}
}

// Close frees the address and breaks connections that nobody accepted.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.address))
		l.network.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.queue:
				c.Abort()
			default:
				return
			}
		}
	})
	return nil
}

// Addr is the address given to Listen.
func (l *Listener) Addr() net.Addr { return l.address }

// Addr is a "host:port" in a Network.
type Addr string

// Network is "mem".
func (Addr) Network() string { return "mem" }

// String is the address.
func (a Addr) String() string { return string(a) }

func opError(op string, a net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "mem", Addr: a, Err: err}
}
