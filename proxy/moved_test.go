package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// writer is a client with one write to send; served tells which member answered it.
type writer struct {
	name   string
	send   func(mark string)
	served func() string
}

func (g *gate) writersOf() []writer {
	w, web := g.logged(bolt.V5_8), g.plainConn()
	return []writer{
		{"bolt", func(mark string) { w.send(write(w.v, mark, nil), pull(w.v)) }, func() string {
			row, err := firstRow(w.answers(2))
			if err != nil {
				return err.Error()
			}
			return row["member"].(string)
		}},
		{"http", func(mark string) { io.WriteString(web, webWrite(mark)) }, func() string { return memberOf(web) }}, //nolint:errcheck // shows in the answer
	}
}

// memberOf reads an answer of tx/commit, and which member it is of.
func memberOf(conn net.Conn) string {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	text, _ := io.ReadAll(resp.Body) //nolint:errcheck // shows in the text
	for _, name := range []string{"s1", "s2", "s3"} {
		if strings.Contains(string(text), `"`+name+`"`) {
			return name
		}
	}
	return string(text)
}

// anotherLeads has another member lead, and waits until the gate knows.
func (g *gate) anotherLeads() (now string) {
	g.t.Helper()
	was := g.cluster.Leader("")
	for _, m := range g.cluster.Members() {
		if m.Name != was && now == "" && g.cluster.Elect("", m.Name) == nil {
			now = m.Name
		}
	}
	g.await(func(v *cluster.View) bool { l := v.Leader(""); return l != nil && l.Name == now })
	return now
}

// TestAWriteLeavesTheLineOfAReplacedLeader: what waits for its turn at a leader goes to the one that leads now, as soon as that is known, and
// not to the old one when its turn there comes.
func TestAWriteLeavesTheLineOfAReplacedLeader(t *testing.T) {
	for i, protocol := range []string{"bolt", "http"} {
		t.Run(protocol, func(t *testing.T) {
			o := gateOptions{standin: standin.Options{Seed: 1}, pool: pool.Options{MaxPerMember: 1}, server: Options{Remember: time.Hour}}
			inBubble(t, o, func(t *testing.T, g *gate) {
				busy := g.logged(bolt.V5_8)
				busy.ask(join(beginTx(busy.v, nil), [][]byte{write(busy.v, "in it", nil), pull(busy.v)})...) // has the leader's only slot
				c := g.writersOf()[i]
				c.send("waits")
				time.Sleep(50 * time.Millisecond)
				if waits := g.pools.Stats(g.cluster.Leader("neo4j")).Queued; waits != 1 {
					t.Fatalf("%d units of work wait for the leader; want the write", waits)
				}
				leads := g.anotherLeads()
				known := time.Now()
				if got := c.served(); got != leads {
					t.Errorf("answered by %s; want %s, which leads", got, leads)
				}
				if took := time.Since(known); took > 100*time.Millisecond {
					t.Errorf("it took %v from when the leader was known", took)
				}
			})
		})
	}
}

// TestAWriteIsNotConnectedToAReplacedLeader: the same for what waits for a connection to be made.
func TestAWriteIsNotConnectedToAReplacedLeader(t *testing.T) {
	for i, protocol := range []string{"bolt", "http"} {
		t.Run(protocol, func(t *testing.T) {
			o := gateOptions{standin: standin.Options{Seed: 1}, server: Options{Remember: time.Hour}}
			inBubble(t, o, func(t *testing.T, g *gate) {
				c := g.writersOf()[i]
				old := g.cluster.Leader("neo4j")
				g.network.Link("gate", old+map[string]string{"bolt": ":7687", "http": ":7474"}[protocol]).Delay(time.Second)
				c.send("connects")
				time.Sleep(50 * time.Millisecond)
				leads := g.anotherLeads()
				known := time.Now()
				if got := c.served(); got != leads {
					t.Errorf("answered by %s; want %s, which leads", got, leads)
				}
				if took := time.Since(known); took > 100*time.Millisecond {
					t.Errorf("it took %v from when the leader was known", took)
				}
				for _, m := range g.current.View().Members {
					if !m.Up {
						t.Errorf("%s counts as down: %s", m.Name, m.LastError)
					}
				}
			})
		})
	}
}
