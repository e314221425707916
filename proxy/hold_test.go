package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what waits for a leader to its order and its bounds.

// webWrite is a write over HTTP, as bytes.
func webWrite(mark string) string { return webText("CREATE (n) RETURN n", `"mark":"`+mark+`"`) }

// webText is a text with parameters over HTTP, as bytes.
func webText(text, params string) string {
	body := `{"statements":[{"statement":"` + text + `","parameters":{` + params + `}}]}`
	return "POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic bmVvNGo6c3RhbmRpbg==\r\nContent-Type: application/json\r\n" +
		"Content-Length: " + lengthOf(body) + "\r\n\r\n" + body
}

// plainConn is a connection to the gate in memory.
func (g *gate) plainConn() net.Conn {
	g.t.Helper()
	conn, err := g.network.Dial(context.Background(), "tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return conn
}

// leaderless kills the leader and waits until the gate knows.
func (g *gate) leaderless() (old string) {
	g.t.Helper()
	old = g.cluster.Leader("neo4j")
	g.kill(old)
	g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
	return old
}

func TestHeldWorkGoesOnInOrder(t *testing.T) {
	o := gateOptions{standin: standin.Options{Seed: 1}, pool: pool.Options{MaxPerMember: 1}, server: Options{Remember: time.Hour}}
	inBubble(t, o, func(t *testing.T, g *gate) {
		const each = 20
		var autos, begins []*wire
		var webs []net.Conn
		for range each {
			autos, begins, webs = append(autos, g.logged(bolt.V5_8)), append(begins, g.logged(bolt.V5_8)), append(webs, g.plainConn())
		}
		g.leaderless()
		var want []any
		next := func() (mark string) {
			time.Sleep(5 * time.Millisecond)
			mark = fmt.Sprintf("%02d", len(want))
			want = append(want, mark)
			return mark
		}
		for i := range each {
			autos[i].send(write(bolt.V5_8, next(), nil), pull(bolt.V5_8))
			begins[i].send(slices.Concat(beginTx(bolt.V5_8, nil), [][]byte{write(bolt.V5_8, next(), nil), pull(bolt.V5_8)}, commitTx(bolt.V5_8))...)
			if _, err := io.WriteString(webs[i], webWrite(next())); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Millisecond)
		if c := g.server.Counts(); c.Held != 3*each || c.HeldBytes == 0 {
			t.Errorf("%d units with %d bytes are held; want %d", c.Held, c.HeldBytes, 3*each)
		}
		for i := range each {
			if row, err := firstRow(autos[i].answers(2)); err != nil || row["mark"] != want[3*i] {
				t.Errorf("%v: %v %v", want[3*i], row, err)
			}
			if row, err := firstRow(begins[i].answers(4)); err != nil || row["mark"] != want[3*i+1] {
				t.Errorf("%v: %v %v", want[3*i+1], row, err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(webs[i]), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%v: %v %v", want[3*i+2], resp, err)
			}
		}
		if got := g.marks(); !slices.Equal(got, want) {
			t.Errorf("committed in the order %v", got)
		}
		if c := g.server.Counts(); c.Held != 0 || c.HeldBytes != 0 {
			t.Errorf("%d units with %d bytes count as held when none is", c.Held, c.HeldBytes)
		}
	})
}

// TestHeldLogOnsGoOnInOrder: log-ons stand in the line when no member at all is up, each between two writes; then the member takes them one after
// the other, and what it needs for one is how they are told apart.
func TestHeldLogOnsGoOnInOrder(t *testing.T) {
	o := gateOptions{standin: standin.Options{Seed: 1, Generation: cluster.Standalone}, pool: pool.Options{MaxPerMember: 1}, server: Options{AuthInFlight: 1}}
	inBubble(t, o, func(t *testing.T, g *gate) {
		const each = 20
		var writers, newcomers []*wire
		for range each {
			writers, newcomers = append(writers, g.logged(bolt.V5_8)), append(newcomers, g.open(bolt.V5_8))
			newcomers[len(newcomers)-1].ask(logonMessages(bolt.V5_8, "", "")[0])
		}
		g.kill("s1")
		g.await(func(v *cluster.View) bool { return !v.Members[0].Up })
		var want []any
		for i := range each {
			want = append(want, fmt.Sprintf("%02d", i))
			writers[i].send(write(bolt.V5_8, fmt.Sprintf("%02d", i), nil), pull(bolt.V5_8))
			time.Sleep(5 * time.Millisecond)
			newcomers[i].send(logonMessages(bolt.V5_8, standin.DefaultUser, standin.DefaultPassword)[1])
			time.Sleep(5 * time.Millisecond)
		}
		if c := g.server.Counts(); c.Held != 2*each {
			t.Errorf("%d are held; want %d", c.Held, 2*each)
		}
		g.network.Link("gate", "s1:7687").Delay(time.Millisecond)
		g.restart("s1")
		at := make([]time.Time, each)
		var reading sync.WaitGroup
		for i, w := range newcomers {
			reading.Go(func() {
				if a := w.read(); a.tag != bolt.TagSuccess {
					t.Errorf("log-on %d: %v %v", i, a, a.value)
				}
				at[i] = time.Now()
			})
		}
		reading.Wait()
		for i := range each - 1 {
			if !at[i].Before(at[i+1]) {
				t.Errorf("log-on %d was answered at %v, the one behind it at %v", i, at[i], at[i+1])
			}
		}
		for i, w := range writers {
			if row, err := firstRow(w.answers(2)); err != nil || row["mark"] != want[i] {
				t.Errorf("%v: %v %v", want[i], row, err)
			}
		}
		if got := g.marks(); !slices.Equal(got, want) {
			t.Errorf("committed in the order %v", got)
		}
	})
}

// TestTheLineLooksInOrder: whoever comes while others look comes after them, however long each takes.
func TestTheLineLooksInOrder(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			current := new(cluster.Current)
			s := &Server{current: current}
			o := Options{}.withDefaults()
			s.options.Store(&o)
			var served, at1, at2 []int
			ended := make(chan struct{})
			const n = 40
			for i := range n {
				busy, finds, passes := time.Duration(random.IntN(3))*time.Millisecond, random.IntN(4) > 0, random.IntN(5) == 0
				if finds {
					at1 = append(at1, i)
				} else {
					at2 = append(at2, i)
				}
				go func() {
					defer func() { ended <- struct{}{} }()
					var ticket uint64
					place := s.held.place(&ticket)
					defer place.leave()
					view := current.View()
					if !place.mayGo(view, true) || i < n/2 {
						if err := place.await(t.Context(), s, view, 1); err != nil {
							t.Error(err)
						}
					}
					for !finds { // looks once more than the others
						finds = true
						if err := place.await(t.Context(), s, current.View(), 1); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(busy)
					served = append(served, i) // only one looks at a time
					if passes {
						place.passed()
						time.Sleep(time.Second)
					}
				}()
				synctest.Wait()
				if i == n/2-1 {
					current.Publish(new(cluster.View))
				}
			}
			for range n {
				<-ended
			}
			s.conns.Wait()
			if want := append(at1, at2...); !slices.Equal(served, want) {
				t.Errorf("seed %d: served %v\n             want %v", seed, served, want)
			}
			if s.held.units.Load() != 0 || s.held.bytes.Load() != 0 || s.held.first != nil || s.held.last != nil {
				t.Errorf("seed %d: %d are left in line", seed, s.held.units.Load())
			}
		})
	}
}

func TestWhoLeavesFreesItsPlaceInTheLine(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{Hold: time.Minute}}, func(t *testing.T, g *gate) {
		w, h, l := g.logged(bolt.V5_8), g.plainConn(), g.open(bolt.V5_8)
		reset := g.logged(bolt.V5_8)
		l.ask(logonMessages(l.v, "", "")[0])
		g.kill("s1", "s2", "s3")
		g.await(func(v *cluster.View) bool {
			return !slices.ContainsFunc(v.Members, func(s *cluster.Status) bool { return s.Up })
		})
		held := func(what string, want int64) {
			t.Helper()
			time.Sleep(time.Second) // an HTTP client that left is noticed within half a second
			if got := g.server.Counts().Held; got != want {
				t.Errorf("%s: %d are held; want %d", what, got, want)
			}
		}
		w.send(auto(w.v, aWrite)...)
		held("a write", 1)
		if _, err := io.WriteString(h, webWrite("x")); err != nil {
			t.Fatal(err)
		}
		held("and one over HTTP", 2)
		l.send(logonMessages(l.v, standin.DefaultUser, standin.DefaultPassword)[1])
		held("and a log-on", 3)
		reset.send(auto(w.v, aWrite)...)
		held("and one more", 4)
		reset.send(bolt.Reset)
		held("RESET", 3)
		l.conn.Close()
		held("the one that logs on left", 2)
		h.Close()
		held("the HTTP client left", 1)
		w.conn.Close()
		held("all left", 0)
		if c := g.server.Counts(); c.HeldBytes != 0 {
			t.Errorf("%d bytes are held by nobody", c.HeldBytes)
		}
	})
}

func TestTheLineIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		o   Options
		why string
	}{
		"in units": {Options{MaxHeld: 3}, "max_held"},
		"in bytes": {Options{MaxHeldBytes: 700}, "max_held_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: test.o}, func(t *testing.T, g *gate) {
				var all []*wire
				for range 4 {
					all = append(all, g.logged(bolt.V5_8))
				}
				h, l := g.plainConn(), g.open(bolt.V5_8)
				l.ask(logonMessages(l.v, "", "")[0])
				g.leaderless()
				big := write(bolt.V5_8, "held", m{"text": strings.Repeat("x", 150)})
				for _, w := range all[:3] {
					w.send(big, pull(w.v))
					time.Sleep(time.Millisecond)
				}
				began := time.Now()
				list := all[3].ask(big, pull(bolt.V5_8))
				if got := show(list); got != "FAILURE("+bolt.CodeNoThreads+") IGNORED" || !strings.Contains(fmt.Sprint(list[0].value), "failover."+test.why+" ") {
					t.Errorf("the fourth: %s %v", got, list[0].value)
				}
				if _, err := io.WriteString(h, webWrite(strings.Repeat("x", 200))); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(h), nil)
				if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
					t.Fatalf("over HTTP: %v %v", resp, err)
				}
				if took := time.Since(began); took > 20*time.Millisecond {
					t.Errorf("who finds the line full was told so after %v; want at once", took)
				}
				if got := g.server.Counts().Refused[test.why]; got != 2 {
					t.Errorf("%d were counted as refused for %s; want 2", got, test.why)
				}
				for _, w := range all[:3] {
					if row, err := firstRow(w.answers(2)); err != nil || row["mark"] != "held" {
						t.Errorf("one that was held: %v %v", row, err)
					}
				}
			})
		})
	}
}

// TestHeldFullSaysSo: the error names its key, and is of the kind that clients are told of as too much work.
func TestHeldFullSaysSo(t *testing.T) {
	for _, err := range []error{errHeldUnits, errHeldBytes} {
		if !errors.Is(err, errHeldFull) || failureFor(err).Code != bolt.CodeNoThreads {
			t.Error(err)
		}
	}
}
