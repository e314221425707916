package proxy

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/boltgate/boltgate/bolt"
)

// overtaken is a member's connection on which RESET overtakes the second request of a pair: it does not reach the member, which
// ignores it, as servers do whose reader sees RESET before their worker has come so far.
type overtaken struct {
	net.Conn
	armed *atomic.Bool
	first []byte // the request that is let through alone
	seen  atomic.Bool
	gave  bool // Read's own
}

func (o *overtaken) Write(p []byte) (int, error) {
	switch {
	case !o.armed.Load():
	case bytes.HasPrefix(p, o.first):
		_, err := o.Conn.Write(o.first)
		return len(p), err
	case bytes.Equal(p, bolt.Reset):
		o.seen.Store(true)
	}
	return o.Conn.Write(p)
}

func (o *overtaken) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	if n > 0 && o.seen.Load() && !o.gave { // what comes behind RESET is its answer
		o.gave = true
		copy(p[len(bolt.Ignored):], p[:n])
		n += copy(p, bolt.Ignored)
	}
	return n, err
}

// What a judged read has of its RUN waits for the next answer, for the unit may still move. RESET between the two once kept all
// of it for ever.
func TestRESETBetweenRUNAndPULLLosesNoAnswer(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			armed := new(atomic.Bool)
			read := run(v, "MATCH (n) RETURN n", nil, m{"mode": "r"})
			o := gateOptions{standin: single}
			o.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return &overtaken{Conn: conn, armed: armed, first: read}, err
			}
			g := startGate(t, o)
			w := g.logged(v)
			w.row(oneRow, nil, m{"mode": "r"})
			armed.Store(true)
			var got []answer
			for range 20 { // on a busy machine RESET may be there before the RUN was sent: then all is ignored
				w.send(read, pull(v))
				w.send(bolt.Reset)
				if got = w.answers(3); got[0].tag != bolt.TagIgnored {
					break
				}
			}
			if got[0].tag != bolt.TagSuccess || got[1].tag != bolt.TagIgnored || got[2].tag != bolt.TagSuccess {
				t.Errorf("got %s, want what the member said: SUCCESS IGNORED SUCCESS", show(got))
			}
			armed.Store(false)
			w.row(oneRow, nil, nil)
		})
	}
}
