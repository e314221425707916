package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// apart is a gate whose client has sent a read's RUN and was answered, by the member that is returned.
func apart(t *testing.T, g *gate, seen *ran, w *wire, mark string, params, extra m) (member string) {
	t.Helper()
	all := m{"mark": mark}
	for k, v := range params {
		all[k] = v
	}
	if a := w.ask(run(w.v, oneRow, all, extra))[0]; a.tag != bolt.TagSuccess {
		t.Fatalf("RUN: %v %v", a, a.value)
	}
	list := seen.of(mark)
	if len(list) != 1 {
		t.Fatalf("it ran at %v", list)
	}
	return list[0]
}

// TestAReadMovesBetweenRUNAndPULL: the client was told that its query runs; that its member is killed before it asks for records it never notices.
func TestAReadMovesBetweenRUNAndPULL(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			for name, extra := range map[string]m{"undeclared": nil, "declared": {"mode": "r"}, "with a timeout": {"mode": "r", "tx_timeout": 60000}} {
				if v < bolt.V3 && extra != nil {
					continue
				}
				t.Run(fmt.Sprintf("%s Bolt %v %s", r.server, v, name), func(t *testing.T) {
					var seen ran
					o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, OnQuery: seen.note}
					inBubble(t, gateOptions{standin: o, frontend: func(f *Frontend) { f.Causality = CausalityNone }}, func(t *testing.T, g *gate) {
						w := g.logged(v)
						first := apart(t, g, &seen, w, "killed", nil, extra)
						g.kill(first)
						list := w.ask(pull(v))
						if len(list) != 2 || list[0].tag != bolt.TagRecord || list[1].tag != bolt.TagSuccess {
							t.Fatalf("PULL: %s", show(list))
						}
						if got := seen.of("killed"); len(got) != 2 || got[1] == first {
							t.Errorf("it ran at %v", got)
						}
						second := apart(t, g, &seen, w, "both", nil, extra)
						g.kill(second) // of three one is left, which only reads
						if got := show(w.ask(pull(v))); got[:7] != "RECORD " {
							t.Errorf("PULL when another one was killed: %s", got)
						}
						w.row(oneRow, nil, extra)
					})
				})
			}
		}
	}
}

// TestNoMemberBetweenRUNAndPULL: when the search for another member ends, the client hears of it once.
func TestNoMemberBetweenRUNAndPULL(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		apart(t, g, &seen, w, "alone", nil, m{"mode": "r"})
		g.kill("s1", "s2", "s3")
		began := time.Now()
		w.expect("FAILURE("+bolt.CodeLeaderSwitch+")", pull(w.v))
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("it took %v; failover.hold is 20 s", took)
		}
		w.expect("IGNORED SUCCESS()", pull(w.v), bolt.Reset)
	})
}

// TestAResetBetweenRUNAndPULL ends the query, whatever became of its member; it is not sent again.
func TestAResetBetweenRUNAndPULL(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		g.kill(apart(t, g, &seen, w, "reset", nil, m{"mode": "r"}))
		w.expect("SUCCESS()", bolt.Reset)
		if got := seen.of("reset"); len(got) != 1 {
			t.Errorf("it ran at %v", got)
		}
		w.row(oneRow, nil, m{"mode": "r"})
	})
}

// TestAWriteDoesNotMoveBetweenRUNAndPULL.
func TestAWriteDoesNotMoveBetweenRUNAndPULL(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.ask(run(w.v, aWrite, m{"mark": "write"}, nil))
		g.kill(g.cluster.Leader(""))
		w.expect("FAILURE("+bolt.CodeCommitFailed+")", pull(w.v))
		if got := seen.of("write"); len(got) != 1 {
			t.Errorf("it ran at %v", got)
		}
	})
}

// says is a connection to a member whose answers to a query are others.
type says struct {
	net.Conn
	change func(answers []byte) []byte
}

func (c says) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("\x86fields")) {
		n = copy(p, c.change(p[:n]))
	}
	return n, err
}

// TestAnotherAnswerBetweenRUNAndPULL: what the next member says to the RUN is another thing than the client was told. It hears of that as the one answer
// to its PULL, and its session goes on.
func TestAnotherAnswerBetweenRUNAndPULL(t *testing.T) {
	const refused = "Neo.ClientError.Statement.SyntaxError"
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"other fields": {func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\x86member"), []byte("\x86number")) }, bolt.CodeLeaderSwitch},
		"a refusal": {func([]byte) []byte {
			return append(bolt.AppendFailure(nil, bolt.V5_6, refused, "no"), bolt.Ignored...)
		}, refused},
		"a refusal that another member may not have": {func([]byte) []byte {
			return append(bolt.AppendFailure(nil, bolt.V5_6, bolt.CodeDatabaseUnavailable, "no"), bolt.Ignored...)
		}, ""},
		"garbage": {func(b []byte) []byte {
			return append(bolt.AppendFailure(nil, bolt.V5_6, refused, "no"), b...)
		}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			var seen ran
			others, changed := false, 0
			o := gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}, pool: pool.Options{MaxLifetime: time.Nanosecond}}
			o.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := o.network.DialFrom(ctx, "gate", address)
				if !others || err != nil {
					return conn, err
				}
				return says{conn, func(b []byte) []byte {
					if changed++; changed > 1 {
						return b
					}
					return tt.change(b)
				}}, nil
			}
			synctest.Test(t, func(t *testing.T) {
				o.network = memnet.New(1)
				g := startGate(t, o)
				w := g.logged(bolt.V5_6)
				first := apart(t, g, &seen, w, "read", m{"rows": 3}, m{"mode": "r"})
				others = true
				g.kill(first)
				time.Sleep(1100 * time.Millisecond) // so that what is pooled is too old, and the pool has noticed
				got, want := show(w.ask(pull(w.v))), "FAILURE("+tt.want+")"
				if tt.want == "" {
					want = "RECORD SUCCESS(bookmark db statuses t_last type)"
				}
				if got != want || changed == 0 {
					t.Errorf("PULL: %s; want %s (%d answers were changed)", got, want, changed)
				}
				if tt.want != "" {
					w.expect("IGNORED SUCCESS()", pull(w.v), bolt.Reset)
				}
				w.row(oneRow, nil, m{"mode": "r"})
			})
		})
	}
}

// TestAReadAtTheLeaderIsNotInDoubt: a read that we judged, and that goes to the leader because our bookmark was refused, stays a read: lost with its
// leader, it is answered by another member.
func TestAReadAtTheLeaderIsNotInDoubt(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row(aWrite, nil, nil)
		leader := g.cluster.Leader("")
		g.onlyLogin().marks.raise(bolt.Position{DB: [16]byte{1, 2, 3}, Tx: 1}, bolt.BookmarkFabric, time.Now())
		g.server.databases.known.Store(nil) // so that all marks are added
		w.send(run(w.v, oneRow, m{"mark": "read", "delay": "2s"}, nil), pull(w.v))
		time.Sleep(time.Second)
		if got := seen.of("read"); len(got) == 0 || got[len(got)-1] != leader {
			t.Fatalf("it runs at %v; want the leader, %s", got, leader)
		}
		g.kill(leader)
		row, err := firstRow(w.answers(2))
		if err != nil || row["member"] == leader || row["mode"] != "r" {
			t.Errorf("got %v %v", row, err)
		}
		if n := g.server.Counts().InDoubt; n != 0 {
			t.Errorf("%d in doubt", n)
		}
	})
}
