package proxy

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// resetCounter counts the RESETs that are sent on a connection in a write of their own.
type resetCounter struct {
	net.Conn
	n *atomic.Int64
}

func (c resetCounter) Write(b []byte) (int, error) {
	if bytes.Equal(b, bolt.Reset) {
		c.n.Add(1)
	}
	return c.Conn.Write(b)
}

func TestARefusedQuestionCostsOneRESET(t *testing.T) {
	var resets atomic.Int64
	g := startGate(t, gateOptions{standin: single, pool: pool.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return resetCounter{conn, &resets}, err
	}}})
	for _, tt := range []struct {
		name string
		v    bolt.Version
		ask  func(v bolt.Version) []byte
	}{
		{"ROUTE", bolt.V5_8, func(bolt.Version) []byte { return message(bolt.TagRoute, m{}, []any{}, m{"db": "nowhere"}) }},
		{"a procedure", bolt.V4_4, func(v bolt.Version) []byte {
			return run(v, "CALL dbms.routing.getRoutingTable($context, $database)", m{"context": m{}, "database": "nowhere"}, m{"db": "system"})
		}},
	} {
		w := g.logged(tt.v)
		before, dials := resets.Load(), g.dials.Load()
		for range 3 {
			w.expect("FAILURE("+bolt.CodeDatabaseNotFound+")", tt.ask(tt.v))
			w.expect("SUCCESS()", bolt.Reset)
		}
		if n := resets.Load() - before; n != 3 {
			t.Errorf("%s: %d RESETs for 3 refusals", tt.name, n)
		}
		w.row(oneRow, nil, nil)
		if n := g.dials.Load() - dials; n != 0 {
			t.Errorf("%s: its connection was not used again", tt.name)
		}
	}
}
