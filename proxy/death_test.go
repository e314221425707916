package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// This file breaks a member's connection at every byte of a unit of work, in both directions, and holds what the client is
// told against what the members committed.

// once breaks the next connection to a member at an exact byte, and only that.
type once struct {
	network *memnet.Network
	mu      sync.Mutex
	up      int64 // bytes towards the member; 0 none
	down    int64
	broke   *breaking
}

// breaking notes that a connection broke.
type breaking struct {
	net.Conn
	done atomic.Bool
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	return n, b.note(err)
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	return n, b.note(err)
}

func (b *breaking) note(err error) error {
	if err != nil && !isTimeout(err) && !errors.Is(err, net.ErrClosed) {
		b.done.Store(true)
	}
	return err
}

func (o *once) dial(ctx context.Context, _, address string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	link := o.network.Link("gate", address)
	link.CutAt(o.up, o.down)
	conn, err := o.network.DialFrom(ctx, "gate", address)
	link.CutAt(0, 0)
	if o.up+o.down == 0 || err != nil {
		return conn, err
	}
	o.up, o.down = 0, 0
	o.broke = &breaking{Conn: conn}
	return o.broke, nil
}

// deaths are units of work with what they commit under their mark when all goes well.
var deaths = []struct {
	name    string
	commits int
	steps   func(v bolt.Version, mark string) [][][]byte
}{
	{"read", 0, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, someRows, m{"mark": mark}, nil), pull(v)}}
	}},
	{"declared read", 0, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, someRows, m{"mark": mark}, m{"mode": "r"}), pull(v)}}
	}},
	{"RUN and PULL apart of a read", 0, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, someRows, m{"mark": mark}, nil)}, {pull(v)}}
	}},
	{"RUN and DISCARD apart of a declared read", 0, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, someRows, m{"mark": mark}, m{"mode": "r"})}, {discard(v)}}
	}},
	{"misjudged write", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, misjudged, m{"mark": mark}, nil), pull(v)}}
	}},
	{"auto-commit write", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{write(v, mark, nil), pull(v)}}
	}},
	{"batch that commits by itself", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{run(v, selfCommitting[0], m{"mark": mark}, nil), pull(v)}}
	}},
	{"auto-commit write, RUN and PULL apart", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{{write(v, mark, nil)}, {pull(v)}}
	}},
	{"transaction", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{beginTx(v, nil), {write(v, mark, nil), pull(v)}, commitTx(v)}
	}},
	{"pipelined transaction", 1, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{join(beginTx(v, nil), [][]byte{write(v, mark, nil), pull(v)}, commitTx(v))}
	}},
	{"rolled back", 0, func(v bolt.Version, mark string) [][][]byte {
		return [][][]byte{beginTx(v, nil), {write(v, mark, nil), pull(v)}, rollbackTx(v)}
	}},
}

// lateLoss is LeaderSwitch after records were delivered.
const lateLoss = bolt.CodeLeaderSwitch + " after records"

func TestAMemberThatDiesAtAnyByte(t *testing.T) {
	step := 3 // every third byte; BOLTGATE_LONG=1 tries each
	if long() {
		step = 1
	} else if testing.Short() || raceDetector {
		step = 11
	}
	for _, r := range releases {
		for _, v := range cutVersions[r.server] {
			for _, d := range deaths {
				t.Run(fmt.Sprintf("Bolt %v %s", v, d.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						network := memnet.New(1)
						o := &once{network: network}
						g := startGate(t, gateOptions{
							standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}, network: network, health: slowChecks,
							pool: pool.Options{MaxLifetime: time.Nanosecond, Dial: o.dial}, server: Options{Remember: time.Hour},
						})
						g.server.fronts["main"].settings.Load().Causality = CausalityNone
						w := g.logged(v)
						w.row(oneRow, nil, nil)
						for _, up := range []bool{true, false} {
							outcomes := map[string]int{}
							end, broken := 0, 0
							for at := int64(1); end < 3; at++ {
								if at%int64(step) != 0 {
									continue
								}
								said, broke := g.die(t, v, d.steps, d.commits, o, at, up)
								outcomes[said]++
								if broke {
									broken++
								} else { // the unit of work was over before that many bytes
									end++
								}
								if strings.HasSuffix(d.name, "read") && said != "success" && said != "broken" && said != lateLoss {
									t.Errorf("cut at byte %d (towards the member: %v): a read could go elsewhere; its client was told %s", at, up, said)
								}
							}
							if broken == 0 {
								t.Error("no connection broke: the test has tried nothing")
							}
							t.Logf("towards the member: %v, outcomes %v", up, outcomes)
						}
					})
				})
			}
		}
	}
}

// die plays the steps with a connection that breaks after that many bytes, and judges what the client was told.
func (g *gate) die(t *testing.T, v bolt.Version, steps func(bolt.Version, string) [][][]byte, commits int, o *once, at int64, up bool) (said string, broke bool) {
	t.Helper()
	mark := fmt.Sprint(up, at)
	w := g.logged(v)
	defer w.conn.Close()
	time.Sleep(1100 * time.Millisecond) // so that what is pooled is too old, and the pool has noticed
	o.mu.Lock()
	o.broke = nil
	if up {
		o.up = at
	} else {
		o.down = at
	}
	o.mu.Unlock()
	said = "success"
	shown := ""
loop:
	for _, step := range steps(v, mark) {
		list := w.ask(step...)
		shown += show(list) + " "
		for _, a := range list {
			switch {
			case a.tag == 0:
				said = "broken"
				break loop
			case a.tag == bolt.TagFailure:
				said = a.code()
				break loop
			}
		}
	}
	count := 0
	for _, m := range g.marks() {
		if m == mark {
			count++
		}
	}
	good := false
	switch said {
	case "success":
		good = count == commits
	case bolt.CodeLeaderSwitch:
		good = count == 0
	case bolt.CodeCommitFailed, "broken":
		good = count <= commits
	}
	if !good {
		t.Errorf("cut at byte %d (towards the member: %v): the client was told %s (%s), and %d were committed", at, up, said, shown, count)
	}
	if said == bolt.CodeLeaderSwitch && strings.Contains(shown, "RECORD") {
		said = lateLoss
	}
	o.mu.Lock()
	o.up, o.down = 0, 0
	o.mu.Unlock()
	if said != "broken" {
		if said != "success" {
			w.ask(bolt.Reset)
		}
		w.row(oneRow, nil, nil)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return said, o.broke != nil && o.broke.done.Load()
}

// TestAReplayAtAnyByte: with failover.replay a transaction whose connection breaks anywhere before its COMMIT goes on, and nothing is committed
// twice.
func TestAReplayAtAnyByte(t *testing.T) {
	step := int64(3)
	if long() {
		step = 1
	} else if testing.Short() || raceDetector {
		step = 11
	}
	for _, v := range []bolt.Version{bolt.V3, bolt.V4_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := memnet.New(1)
				o := &once{network: network}
				g := startGate(t, gateOptions{
					standin: standin.Options{Generation: cluster.Causal, ServerVersion: map[bolt.Version]string{bolt.V3: "3.5.35", bolt.V4_4: "4.4.48", bolt.V5_8: "5.26.30"}[v], Seed: 1},
					network: network, health: slowChecks, pool: pool.Options{MaxLifetime: time.Nanosecond, Dial: o.dial},
					server: Options{Remember: time.Hour, Replay: true, RetryBudget: 100},
				})
				steps := func(v bolt.Version, mark string) [][][]byte {
					return [][][]byte{beginTx(v, nil), {run(v, "CREATE (n)", m{"mark": mark}, nil), pull(v)}, {run(v, "MATCH (n) RETURN 1", m{"rows": 0}, nil), pull(v)}, commitTx(v)}
				}
				for _, up := range []bool{true, false} {
					outcomes := map[string]int{}
					for at, end := step, 0; end < 3; at += step {
						said, broke := g.die(t, v, steps, 1, o, at, up)
						outcomes[said]++
						if !broke {
							end++
						}
					}
					t.Logf("towards the member: %v, outcomes %v", up, outcomes)
				}
				if c := g.server.Counts(); c.Replays["done"] < 10 {
					t.Errorf("%v: too few for a test of replays", c.Replays)
				}
			})
		})
	}
}

// refuses is a connection that breaks as a COMMIT is written, of which nothing leaves.
type refuses struct{ net.Conn }

func (r refuses) Write(p []byte) (int, error) {
	if bytes.HasSuffix(p, commitTx(bolt.V5_8)[0]) {
		r.Close()
		return 0, io.ErrClosedPipe
	}
	return r.Conn.Write(p)
}

// TestACOMMITThatAPumpCouldNotSendIsNotInDoubt: the client sent it while the member was at work on what came before.
func TestACOMMITThatAPumpCouldNotSendIsNotInDoubt(t *testing.T) {
	o := gateOptions{standin: standin.Options{Seed: 1}}
	o.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := o.network.DialFrom(ctx, "gate", address)
		return refuses{conn}, err
	}
	synctest.Test(t, func(t *testing.T) {
		o.network = memnet.New(1)
		g := startGate(t, o)
		w := g.logged(bolt.V5_8)
		w.ask(beginTx(w.v, nil)...)
		w.send(run(w.v, aWrite, m{"mark": "gone", "delay": "1s"}, nil), pull(w.v))
		time.Sleep(100 * time.Millisecond)
		w.send(commitTx(w.v)...)
		if got := show(w.answers(3)); got != "FAILURE("+bolt.CodeLeaderSwitch+") IGNORED IGNORED" {
			t.Errorf("told %s", got)
		}
		if n := g.server.Counts().InDoubt; n != 0 || len(g.marks()) != 0 {
			t.Errorf("%d in doubt; committed: %v", n, g.marks())
		}
	})
}
