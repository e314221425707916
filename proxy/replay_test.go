package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds failover.replay: what is played again, and what is refused.

// inReplay runs f with a gate that replays.
func inReplay(t *testing.T, o standin.Options, f func(t *testing.T, g *gate)) {
	t.Helper()
	o.Seed = 1
	inBubble(t, gateOptions{standin: o, server: Options{Replay: true}}, f)
}

// steady is a text whose answer is the same wherever it is asked: the stand-in's other answers say who gave them.
const steady = "RETURN 1 AS one"

func TestATransactionIsReplayedAtTheNextLeader(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			if v < bolt.V3 {
				continue
			}
			for name, next := range map[string]func() [][]byte{
				"before a query":            func() [][]byte { return [][]byte{write(v, "second", nil), pull(v)} },
				"before COMMIT":             func() [][]byte { return commitTx(v) },
				"before a query and COMMIT": func() [][]byte { return join([][]byte{write(v, "second", nil), pull(v)}, commitTx(v)) },
			} {
				t.Run(fmt.Sprintf("%s Bolt %v %s", r.server, v, name), func(t *testing.T) {
					inReplay(t, standin.Options{Generation: r.kind, ServerVersion: r.server}, func(t *testing.T, g *gate) {
						w := g.logged(v)
						w.ask(beginTx(v, nil)...)
						first := w.ask(run(v, "CREATE (n)", m{"mark": "first"}, nil), pull(v))
						if got := show(first); strings.Contains(got, "FAILURE") {
							t.Fatal(got)
						}
						synctest.Wait() // the session waits for its client: what its pump still passes on cannot be played again
						old := g.cluster.Leader("")
						g.kill(old)
						list := w.ask(next()...)
						if got := show(list); strings.Contains(got, "FAILURE") || strings.Contains(got, "CLOSED") {
							t.Fatalf("%s: %v", got, list[0].value)
						}
						if !strings.Contains(name, "COMMIT") {
							w.ask(commitTx(v)...)
						}
						want := "[first]"
						if name != "before COMMIT" {
							want = "[first second]"
						}
						if got := fmt.Sprint(g.marks()); got != want {
							t.Errorf("committed %s; want %s", got, want)
						}
						if c := g.server.Counts(); c.Replays["done"] != 1 || c.Resent["replayed"] != 1 {
							t.Errorf("counted %v, %v", c.Replays, c.Resent)
						}
						w.row(oneRow, nil, nil)
					})
				})
			}
		}
	}
}

// TestWhatIsNotReplayed: its client hears LeaderSwitch, as without failover.replay, and nothing is committed.
func TestWhatIsNotReplayed(t *testing.T) {
	v := bolt.V5_8
	long := m{"text": strings.Repeat("x", replayRequests)}
	for name, test := range map[string]struct {
		steps [][]byte // before the loss
		end   string
	}{
		"an answer that is another one elsewhere": {[][]byte{run(v, oneRow, nil, nil), pull(v)}, "differs"},
		"a random number":                         {[][]byte{run(v, "CREATE (n {x: rand()})", nil, nil), pull(v)}, "refused"},
		"the clock":                               {[][]byte{run(v, "CREATE (n {x: datetime()})", nil, nil), pull(v)}, "refused"},
		"a procedure":                             {[][]byte{run(v, "CALL db.labels()", nil, nil), pull(v)}, "refused"},
		"element ids":                             {[][]byte{run(v, "MATCH (n) WHERE elementId(n) = $x RETURN 1", nil, nil), pull(v)}, "refused"},
		"too many bytes":                          {[][]byte{run(v, "CREATE (n)", long, nil), pull(v)}, "refused"},
		"an answer of which a part was delivered": {[][]byte{run(v, "MATCH (n) RETURN n /*standin rows=100000 bytes=100*/", nil, nil), pull(v)}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			inReplay(t, standin.Options{}, func(t *testing.T, g *gate) {
				w := g.logged(v)
				w.ask(beginTx(v, nil)...)
				if strings.Contains(name, "part") {
					w.send(test.steps...)
					for range 10 {
						w.read()
					}
				} else {
					w.ask(test.steps...)
				}
				g.kill(g.cluster.Leader(""))
				if strings.Contains(name, "part") {
					a := w.read()
					for a.tag == bolt.TagRecord {
						a = w.read()
					}
					if a.code() != bolt.CodeLeaderSwitch && a.tag != 0 {
						t.Errorf("got %v %v", a, a.value)
					}
				} else if got := show(w.ask(run(v, steady, nil, nil), pull(v))); got != "FAILURE("+bolt.CodeLeaderSwitch+") IGNORED" {
					t.Errorf("got %s", got)
				}
				if c := g.server.Counts().Replays; c[test.end] != 1 || c["done"] != 0 {
					t.Errorf("counted %v; want one that %s", c, test.end)
				}
				if got := g.marks(); len(got) != 0 {
					t.Errorf("committed %v", got)
				}
			})
		})
	}
}

// TestAnswersAreReadAgainUpToALimit: longer ones end the replay, and their client hears of the limit.
func TestAnswersAreReadAgainUpToALimit(t *testing.T) {
	v := bolt.V5_8
	const size = 100_000
	for name, test := range map[string]struct {
		rows      int
		end, want string
	}{
		"just as long as may be": {replayAnswers/size - 1, "done", "SUCCESS("},
		"longer":                 {replayAnswers/size + 1, "differs", "FAILURE(" + bolt.CodeLeaderSwitch + ")"},
	} {
		t.Run(name, func(t *testing.T) {
			inReplay(t, standin.Options{}, func(t *testing.T, g *gate) {
				w := g.logged(v)
				w.ask(beginTx(v, nil)...)
				if n := records(w.ask(run(v, steady, m{"rows": test.rows, "bytes": size}, nil), pull(v))); n != test.rows {
					t.Fatalf("%d rows came; want %d", n, test.rows)
				}
				synctest.Wait()
				g.kill(g.cluster.Leader(""))
				list := w.ask(run(v, steady, nil, nil), pull(v))
				if got := show(list); !strings.HasPrefix(got, test.want) {
					t.Errorf("got %s %v; want %s", got, list[0].value, test.want)
				}
				if text := fmt.Sprint(list[0].value); strings.Contains(text, fmt.Sprintf("more than %d bytes", replayAnswers)) != (test.end == "differs") {
					t.Errorf("the client was told %s", text)
				}
				if c := g.server.Counts().Replays; c[test.end] != 1 {
					t.Errorf("counted %v; want one that %s", c, test.end)
				}
			})
		})
	}
}

// TestACommitThatWasSentIsNeverReplayed: it is in doubt, with failover.replay as without.
func TestACommitThatWasSentIsNeverReplayed(t *testing.T) {
	v := bolt.V5_8
	for _, at := range []string{"commit", "committed"} {
		inReplay(t, standin.Options{}, func(t *testing.T, g *gate) {
			w := g.logged(v)
			w.ask(beginTx(v, nil)...)
			w.ask(run(v, "CREATE (n)", m{"mark": "x", "close": at}, nil), pull(v))
			if got := show(w.ask(commitTx(v)...)); got != "FAILURE("+bolt.CodeCommitFailed+")" {
				t.Errorf("%s: %s", at, got)
			}
			if got, want := len(g.marks()), map[string]int{"commit": 0, "committed": 1}[at]; got != want {
				t.Errorf("%s: committed %d times; want %d", at, got, want)
			}
			if c := g.server.Counts(); c.Replays["done"] != 0 || c.InDoubt != 1 {
				t.Errorf("%s: counted %v", at, c)
			}
		})
	}
}

// TestAClientThatLeavesEndsAReplay, and one that sends RESET.
func TestAClientThatLeavesEndsAReplay(t *testing.T) {
	inReplay(t, standin.Options{}, func(t *testing.T, g *gate) {
		v := bolt.V5_8
		for _, reset := range []bool{true, false} {
			w := g.logged(v)
			w.ask(beginTx(v, nil)...)
			w.ask(run(v, "CREATE (n)", nil, nil), pull(v))
			old := g.cluster.Leader("")
			g.kill(old)
			w.send(run(v, steady, nil, nil), pull(v))
			time.Sleep(200 * time.Millisecond) // it waits for the next leader
			if got := g.server.Counts().Held; got != 1 {
				t.Errorf("%d are held", got)
			}
			if reset {
				w.send(bolt.Reset)
				if got := show(w.answers(3)); got != "IGNORED IGNORED SUCCESS()" {
					t.Errorf("RESET: %s", got)
				}
			} else {
				w.conn.Close()
			}
			time.Sleep(100 * time.Millisecond)
			if got := g.server.Counts(); got.Held != 0 || got.Replays["done"] != 0 {
				t.Errorf("reset %v: %+v", reset, got)
			}
			g.restart(old)
			g.await(func(v *cluster.View) bool { return v.Member(old).Up && v.Leader("") != nil })
		}
	})
}

// TestWithoutReplayThereIsNoJournal.
func TestWithoutReplayThereIsNoJournal(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w := g.logged(bolt.V5_8)
	w.ask(beginTx(w.v, nil)...)
	g.server.mu.Lock()
	defer g.server.mu.Unlock()
	for c := range g.server.clients {
		if s, ok := c.session.(*boltSession); ok && s.busy != nil && s.unit.journal != nil {
			t.Error("there is a journal")
		}
	}
}

// TestTheSumOfAnAnswer does not depend on how it is cut, on the order of metadata, or on what is another time each run; on all else it does.
func TestTheSumOfAnAnswer(t *testing.T) {
	record := func(values ...any) []byte { return bolt.AppendMessage(nil, bolt.TagRecord, values) }
	end := func(meta m) []byte { return message(bolt.TagSuccess, meta) }
	sum := func(chunkings int, records [][]byte, meta m) [sumSize]byte {
		var a answerSum
		b := slices.Concat(records...)
		random := rand.New(rand.NewPCG(uint64(chunkings), 1))
		for len(b) > 0 {
			n := min(len(b), 1+random.IntN(7))
			a.chunks(b[:n])
			b = b[n:]
		}
		payload, _ := bolt.Payload(end(meta), nil)
		return a.with(payload[2:])
	}
	base := [][]byte{record(int64(1), "a"), record(int64(2), "b")}
	want := sum(0, base, m{"type": "r", "t_last": int64(1)})
	for i := range 20 {
		if sum(i, base, m{"t_last": int64(i), "bookmark": "x", "type": "r"}) != want {
			t.Error("cut otherwise, or at another time, it is another sum")
		}
	}
	cut := [][]byte{bolt.AppendChunks(nil, bytes.Clone(base[0][2:len(base[0])-2])), base[1]}
	if sum(1, cut, m{"type": "r"}) != want {
		t.Error("in other chunks it is another sum")
	}
	for name, other := range map[string][sumSize]byte{
		"a value":   sum(0, [][]byte{record(int64(1), "a"), record(int64(2), "c")}, m{"type": "r"}),
		"the order": sum(0, [][]byte{base[1], base[0]}, m{"type": "r"}),
		"one less":  sum(0, base[:1], m{"type": "r"}),
		"its end":   sum(0, base, m{"type": "w"}),
		"more":      sum(0, base, m{"type": "r", "stats": m{"x": int64(1)}}),
	} {
		if other == want {
			t.Errorf("%s does not show in the sum", name)
		}
	}
}
