package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/boltgate/boltgate/bolt"
)

// Relay is the least that a proxy in Go can do, to judge the data path by: fixed buffers, and no pools, routing or errors. It is no part of the gate.
type Relay struct {
	Listen string // address
	To     string // the one server
	HTTP   bool   // one request, one answer of one read each; else Bolt's messages are counted
	Two    bool   // two goroutines a client, which copy without looking, in place of one that knows whose turn it is
}

// Serve relays until ctx ends. ready is called with the address when clients can connect.
func (r *Relay) Serve(ctx context.Context, ready func(address string)) error {
	l, err := net.Listen("tcp", r.Listen)
	if err != nil {
		return fmt.Errorf("bench: relay: %w", err)
	}
	var g group
	defer context.AfterFunc(ctx, func() {
		l.Close()
		g.close()
	})()
	ready(l.Addr().String())
	g.serve(l, func(c net.Conn) {
		server, err := net.Dial("tcp", r.To)
		if err != nil {
			return
		}
		defer server.Close()
		defer context.AfterFunc(ctx, func() { server.Close() })()
		switch {
		case r.Two:
			r.both(c, server)
		case r.HTTP:
			r.alternate(c, server)
		default:
			r.relayBolt(c, server)
		}
	})
	g.Wait()
	return ctx.Err()
}

// both copies in two goroutines until one side ends.
func (r *Relay) both(client, server net.Conn) {
	var back sync.WaitGroup
	back.Go(func() {
		r.copy(server, client)
		client.Close()
	})
	r.copy(client, server)
	server.Close()
	back.Wait()
}

func (r *Relay) copy(from, to net.Conn) {
	buf := make([]byte, 4096)
	for forward(from, to, buf) == nil {
	}
}

// alternate carries a read of the client to the server and a read of the server back.
func (r *Relay) alternate(client, server net.Conn) {
	buf := make([]byte, 4096)
	for {
		if errors.Join(forward(client, server, buf), forward(server, client, buf)) != nil {
			return
		}
	}
}

func forward(from, to net.Conn, buf []byte) error {
	n, err := from.Read(buf)
	if n > 0 {
		_, err = to.Write(buf[:n])
	}
	return err
}

// relayBolt carries requests to the server, counts them, and carries back answers until each has its last.
func (r *Relay) relayBolt(client, server net.Conn) {
	buf := make([]byte, 4096)
	handshake := buf[:20]
	if n, err := client.Read(handshake); err != nil || n < len(handshake) {
		return
	}
	if _, err := server.Write(handshake); err != nil || forward(server, client, buf) != nil {
		return
	}
	for {
		owed, err := carry(client, server, buf, func(owed int) bool { return owed > 0 })
		if err != nil {
			return
		}
		if _, err := carry(server, client, buf, func(seen int) bool { return seen >= owed }); err != nil {
			return
		}
	}
}

// carry copies whole messages (RECORDs are not counted) until enough says so of their number and no message is half-way.
func carry(from, to net.Conn, buf []byte, enough func(int) bool) (int, error) {
	var c counter
	for kept := 0; !enough(c.count) || c.walk.Midway(); {
		n, err := from.Read(buf[kept:])
		if n == 0 {
			return 0, err
		}
		n += kept
		whole, err := c.see(buf[:n])
		if err != nil {
			return 0, err
		}
		if _, err := to.Write(buf[:whole]); err != nil {
			return 0, err
		}
		kept = copy(buf, buf[whole:n])
	}
	return c.count, nil
}

// counter counts the messages of a stream that are not RECORDs.
type counter struct {
	walk   bolt.Walk
	record bool // the message under way is one
	count  int
}

// see goes through b and returns how much of it can be passed on; the rest is the beginning of a header.
func (c *counter) see(b []byte) (int, error) {
	at := 0
	for at < len(b) {
		if !c.walk.Midway() {
			tag, _, ok, err := bolt.PeekTag(b[at:])
			if !ok {
				return at, err
			}
			c.record = tag == bolt.TagRecord
		}
		n, done := c.walk.Next(b[at:])
		at += n
		if !done {
			break
		}
		if !c.record {
			c.count++
		}
	}
	return at, nil
}

// ServeRelays runs a relay for each protocol until ctx ends; ready is called once with both addresses.
func ServeRelays(ctx context.Context, boltRelay, httpRelay *Relay, ready func(Addresses) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	boltAt, httpAt := make(chan string, 1), make(chan string, 1)
	var all sync.WaitGroup
	all.Go(func() { cancel(boltRelay.Serve(ctx, func(a string) { boltAt <- a })) })
	all.Go(func() { cancel(httpRelay.Serve(ctx, func(a string) { httpAt <- a })) })
	defer all.Wait()
	var a Addresses
	for _, wait := range []struct {
		from chan string
		to   *string
	}{{boltAt, &a.Bolt}, {httpAt, &a.HTTP}} {
		select {
		case *wait.to = <-wait.from:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := ready(a); err != nil {
		cancel(err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
