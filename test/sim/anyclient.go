package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// This file owns what Bolt and HTTP clients have in common: who they are, what they draw, and one connection, which they open anew when they lost it.

// anyClient is that part of one.
type anyClient struct {
	w      *world
	id     int
	random *rand.Rand
	count  int // attempts and connections so far

	conn      net.Conn // nil without a connection
	gate      *gate    // to which it is
	user      string
	session   string
	bookmarks map[string]bookmark // the newest that it was told, by database; kept over connections, as drivers do
}

type bookmark struct {
	text string
	tx   int64
}

// newAnyClient begins one whose draws are its own by stream.
func newAnyClient(w *world, id int, stream uint64) anyClient {
	return anyClient{w: w, id: id, random: rand.New(rand.NewPCG(uint64(w.plan.seed), uint64(id)<<8|stream)), bookmarks: map[string]bookmark{}}
}

// live works until the plan's time is over.
func (c *anyClient) live(connect func() bool, step func()) {
	c.pause(0, 500*time.Millisecond)
	for time.Now().Before(c.w.ends) {
		if c.conn == nil && !connect() {
			c.pause(50*time.Millisecond, 300*time.Millisecond)
			continue
		}
		step()
		c.pause(0, 400*time.Millisecond)
	}
}

func (c *anyClient) chance(percent int) bool { return c.random.IntN(100) < percent }

func (c *anyClient) pause(least, most time.Duration) { time.Sleep(between(c.random, least, most)) }

// dial opens a connection to a gate. When that fails it is wrong: no rule gives a reason.
func (c *anyClient) dial() bool {
	w := c.w
	host := fmt.Sprint("client", c.id)
	c.gate = w.anyGate(c.random)
	w.network.Link(host, c.gate.address()).Weather(w.plan.weather)
	conn, err := w.network.DialFrom(context.Background(), host, c.gate.address())
	if err != nil {
		w.history.wrong(ruleVisible, "", "client %d cannot connect: %v", c.id, err)
		return false
	}
	conn.SetDeadline(w.ends.Add(afterwards)) //nolint:errcheck // shows in use
	c.count++
	c.conn, c.session = conn, fmt.Sprintf("c%d-%d", c.id, c.count)
	return true
}

// becomeAnybody draws whom the connection is for.
func (c *anyClient) becomeAnybody() { c.user = c.w.plan.users[c.random.IntN(len(c.w.plan.users))] }

func (c *anyClient) leave() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
