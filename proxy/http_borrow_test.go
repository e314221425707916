package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// TestAHeldHTTPRequestKeepsItsPlace: a new View is no reason to leave it, nor is a leader whose slots are taken; what is
// served counts no longer.
func TestAHeldHTTPRequestKeepsItsPlace(t *testing.T) {
	release := make(chan struct{})
	m := startScripted(t, "s1", answering(func(r *http.Request, body string) string {
		if r.Method == "GET" {
			<-release
		}
		return echo(r, body)
	}))
	m.Member.MaxInFlight = 1
	g := startRelay(t, func(o *Options, _ *Frontend) { o.Hold, o.MaxHeld = 20*time.Second, 1 }, m)
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free) // before the member's end, which waits for its answers
	led := g.current.View()
	leaderless := func() *cluster.View {
		s := *led.Members[0]
		s.Roles = map[string]cluster.Role{"": cluster.Follower}
		return &cluster.View{Generation: led.Generation, Members: []*cluster.Status{&s}}
	}
	leading := func() *cluster.View { return &cluster.View{Generation: led.Generation, Members: led.Members} } // a View is published once
	busy := g.raw()
	busy.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the only slot is taken", func() bool { return g.pools.Stats("s1").InFlight == 1 })
	g.current.Publish(leaderless())
	const body = `{"statements":[{"statement":"CREATE (n)"}]}`
	request := "POST /db/data/transaction/commit HTTP/1.1\r\nHost: a\r\nX-Write: 1\r\nContent-Length: " + lengthOf(body) + "\r\n\r\n" + body
	first, second := g.raw(), g.raw()
	first.send(request)
	waitFor(t, "the first is held", func() bool { return g.server.held.units.Load() == 1 })
	if n := g.server.held.bytes.Load(); n != int64(len(body)) {
		t.Errorf("%d bytes are held; want the body's %d", n, len(body))
	}
	for range 10 {
		g.current.Publish(leaderless())
	}
	g.current.Publish(leading())
	waitFor(t, "the first waits in the leader's line", func() bool { return g.pools.Stats("s1").Queued == 1 })
	g.current.Publish(leaderless())
	second.send(request)
	if resp, body := second.answer("POST"); resp.StatusCode != 503 || !strings.Contains(body, codeNoThreads) {
		t.Errorf("a second request was answered %d %s; want 503 %s", resp.StatusCode, body, codeNoThreads)
	}
	waitFor(t, "the first has left the line of who does not lead", func() bool { return g.pools.Stats("s1").Queued == 0 })
	g.current.Publish(leading())
	free()
	busy.want("GET", 200, "GET /busy ")
	first.want("POST", 200, "POST /db/data/transaction/commit "+body)
	if units, bytes := g.server.held.units.Load(), g.server.held.bytes.Load(); units != 0 || bytes != 0 {
		t.Errorf("%d units with %d bytes count as held when none is", units, bytes)
	}
}

func lengthOf(body string) string { return strconv.Itoa(len(body)) }
