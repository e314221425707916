package main

// This file owns how clients' connections go from one process to the next: numbered, a bounded number at once, and each with the
// other process's word that it has it, which comes before it touches the connection. So it is known whose a client is even
// when a process dies in the middle: what it said before can still be received.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/boltgate/boltgate/handover"
	"github.com/boltgate/boltgate/proxy"
)

const (
	inFlight   = 64 // clients; the system counts descriptors under way against a limit
	numberSize = 8  // of the number in front of a client's state
	lastWords  = 10 * time.Second
)

var errServerEnded = errors.New("the server ends")

// heir is a successor.
type heir struct {
	*handover.Successor
	version string
	format  int             // of clients; 0: listening sockets alone
	sockets []handover.Copy // by which they can be taken back; none when probation is over
	since   time.Time       // when it took over
	gone    chan error      // its end, or that of the link: nil when it was asked to end
	stop    func()          // ends passing clients

	slots   chan struct{}
	closed  chan struct{} // when nothing more will be received
	mu      sync.Mutex
	last    uint64                // guarded by mu: number of a client
	waiting map[uint64]chan error // guarded by mu: for its word
}

func newHeir() *heir {
	return &heir{
		gone: make(chan error, 1), slots: make(chan struct{}, inFlight), closed: make(chan struct{}), waiting: map[uint64]chan error{},
		stop: func() {},
	}
}

// pass is a proxy.Pass.
func (h *heir) pass(ctx context.Context, state []byte, conn syscall.Conn) error {
	select {
	case h.slots <- struct{}{}:
	case <-h.closed:
		return proxy.ErrKept
	case <-ctx.Done():
		return proxy.ErrKept
	}
	defer func() { <-h.slots }()
	number, word := h.await()
	body := append(binary.BigEndian.AppendUint64(nil, number), state...)
	if err := h.Send(handover.Client, body, conn); err != nil {
		h.heard(number, nil)
		return fmt.Errorf("%w: %w", proxy.ErrKept, err)
	}
	select {
	case err := <-word:
		return err
	case <-ctx.Done():
		return errServerEnded
	case <-h.closed:
	}
	select { // what it said before it was gone
	case err := <-word:
		return err
	default:
		return proxy.ErrKept
	}
}

func (h *heir) await() (number uint64, word chan error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	word = make(chan error, 1)
	h.waiting[h.last] = word
	return h.last, word
}

// heard is the successor's word on a client.
func (h *heir) heard(number uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if word := h.waiting[number]; word != nil {
		word <- err
		delete(h.waiting, number)
	}
}

// follow receives what the successor says until it ends.
func (h *heir) follow() {
	left := false
	var p handover.Packet
	var err error
	for err == nil {
		if p, err = h.Receive(); err != nil {
			break
		}
		switch {
		case p.Kind == handover.Leaving:
			left = true
		case len(p.Body) < numberSize:
		case p.Kind == handover.Taken:
			h.heard(binary.BigEndian.Uint64(p.Body), nil)
		case p.Kind == handover.Refused:
			h.heard(binary.BigEndian.Uint64(p.Body), fmt.Errorf("%w: %s", proxy.ErrKept, p.Body[numberSize:]))
		}
		p.Drop()
	}
	if left {
		err = nil
	}
	close(h.closed)
	h.gone <- err
}

// remember tells the successor what this process knows that is not of one client.
func (h *heir) remember(server *proxy.Server, first bool) (err error) {
	if h.format == 0 {
		return nil
	}
	for piece := range server.Memory(first) {
		if err = h.Send(handover.Memory, piece, nil); err != nil && !errors.Is(err, handover.ErrTooLarge) {
			return err
		}
	}
	return nil
}

// farewell is the last that the successor hears.
func (h *heir) farewell(server *proxy.Server) {
	late := time.AfterFunc(lastWords, func() { h.Close() }) // it hangs
	defer late.Stop()
	if h.remember(server, false) == nil && h.format != 0 {
		h.Send(handover.Done, nil, nil) //nolint:errcheck // it has ended
	}
}

// follow receives what the process before this one passes, until it ends. Nothing else receives or sends by then.
func (b *inheritance) follow(server *proxy.Server) {
	defer close(b.ended)
	knowsAll := false
	for {
		p, err := b.Receive()
		if err == nil {
			err = b.take(server, p)
		}
		knowsAll = knowsAll || err == nil && p.Kind == handover.Done
		if err != nil {
			break
		}
	}
	b.Close()
	if !knowsAll {
		server.Unknown()
	}
	server.Share(false)
}

func (b *inheritance) take(server *proxy.Server, p handover.Packet) error {
	switch {
	case p.Kind == handover.Memory:
		return server.Recall(p.Body)
	case p.Kind == handover.Client && len(p.Body) >= numberSize && p.File != nil:
		return b.adopt(server, p)
	case p.Kind == handover.Done:
		return nil
	}
	return p.Expect(handover.Client)
}

// adopt takes a client over, or says why not.
func (b *inheritance) adopt(server *proxy.Server, p handover.Packet) error {
	number := append([]byte(nil), p.Body[:numberSize]...)
	conn, err := net.FileConn(p.File)
	p.Drop()
	if err != nil {
		return b.Send(handover.Refused, append(number, err.Error()...), nil)
	}
	serve, forget, err := server.Adopt(p.Body[numberSize:], conn)
	if err != nil {
		conn.Close()
		return b.Send(handover.Refused, append(number, err.Error()...), nil)
	}
	if err := b.Send(handover.Taken, number, nil); err != nil {
		forget()
		return err
	}
	serve()
	return nil
}
