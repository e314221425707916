package proxy

import (
	"net"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// slowReturn gives its caller time to fall behind the peer: a write ends a while after its bytes have arrived.
type slowReturn struct{ net.Listener }

func (l slowReturn) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slowReturnConn{c}, nil
}

type slowReturnConn struct{ net.Conn }

func (c slowReturnConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	time.Sleep(time.Millisecond)
	return n, err
}

// TestRequestsPassedOnWhileAnAnswerIsSentAreAnswered: a client that sends the next request of its transaction the moment it has the
// answer is quicker than the session that sent it, where a pump reads meanwhile: over TLS, WebSocket and in memory.
func TestRequestsPassedOnWhileAnAnswerIsSentAreAnswered(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 28}}, func(t *testing.T, g *gate) {
		listen := g.server.Listen
		g.server.Listen = func(network, address string) (net.Listener, error) {
			l, err := listen(network, address)
			return slowReturn{l}, err
		}
		other := *g.server.fronts["main"].settings.Load()
		front := other
		other.Name, other.Bind = "slow", []string{"gate:7688"}
		if err := g.server.Apply(*g.server.options.Load(), []*Frontend{&front, &other}); err != nil {
			t.Fatal(err)
		}
		g.address = "gate:7688"
		w := g.logged(bolt.V5_8)
		w.conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
		for range 5 {
			for _, m := range join(beginTx(w.v, nil), auto(w.v, oneRow), auto(w.v, oneRow), commitTx(w.v)) {
				w.send(m)
				for {
					a, err := w.tryRead()
					if err != nil || a.tag == bolt.TagFailure {
						t.Fatalf("got %v %v, %v", a, a.value, err)
					}
					if a.tag == bolt.TagSuccess {
						break
					}
				}
			}
		}
	})
}
