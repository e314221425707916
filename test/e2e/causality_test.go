package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the proof of docs/causality.md on a real causal cluster: an application that declares nothing has its reads
// served off the leader, and still sees each of its own writes over another connection.

const (
	causalRounds = 10_000
	causalPairs  = 5 // of connections, all of one user
	seenText     = "MATCH (n:Seen {pair: $pair, round: $round}) RETURN count(n) AS n"
	writeText    = "CREATE (n:Seen {pair: $pair, round: $round})"
)

// causality counts, for each scope, the reads that missed the write before them and those that the leader served.
func causality(t *testing.T, c *labs.Cluster) {
	if err := indexSeen(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Run("user", func(t *testing.T) {
		r := readAfterWrite(t, c, "user")
		if r.missed > 0 {
			t.Errorf("%d of %d reads missed the write before them", r.missed, r.rounds)
		}
		if 100*r.atLeader > 5*r.reads {
			t.Errorf("%d of %d reads were served by the leader; want at most 5 %%", r.atLeader, r.reads)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		if r := readAfterWrite(t, c, "cluster"); r.missed > 0 {
			t.Errorf("%d of %d reads missed the write before them", r.missed, r.rounds)
		}
	})
	t.Run("none", func(t *testing.T) {
		if r := readAfterWrite(t, c, "none"); r.missed == 0 {
			t.Errorf("none of %d reads missed the write before it: this check cannot fail", r.rounds)
		}
	})
}

// indexSeen lets a read of one node cost the same whatever was written before it.
func indexSeen(ctx context.Context, c *labs.Cluster) error {
	client, err := dialBolt(ctx, c.Leader().Bolt, c)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, text := range []string{"CREATE INDEX ON :Seen(round)", "CALL db.awaitIndexes()"} {
		if _, err := client.Query(text, nil, map[string]any{}); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

func dialBolt(ctx context.Context, address string, c *labs.Cluster) (*bolt.Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := bolt.Handshake(conn, bolt.V3); err != nil {
		conn.Close()
		return nil, err
	}
	client := bolt.NewClient(conn, bolt.V3)
	return client, client.Logon(bolt.HelloOptions{Agent: "causality/1"}, bolt.Basic(c.User, c.Password))
}

// causalFigures are what a run found.
type causalFigures struct {
	rounds, missed  int64
	reads, atLeader int64
	took            time.Duration
	waits           []time.Duration // of the reads
}

// readAfterWrite runs the check through a gate with a scope.
func readAfterWrite(t *testing.T, c *labs.Cluster, scope string) (f causalFigures) {
	counters := map[string]*counter{}
	config := gateConfig(c, "causal", "routing: {undeclared: detect, causality: "+scope+"}\n")
	for _, m := range c.Members {
		counters[m.Name] = startCounter(t, m.Bolt)
		config = string(bytes.ReplaceAll([]byte(config), []byte(fmt.Sprintf("bolt: %q", m.Bolt)), []byte(fmt.Sprintf("bolt: %q", counters[m.Name].address))))
	}
	g := startGate(t, c, config)
	eventually(t, time.Minute, "a first write", func() error {
		client, err := dialBolt(t.Context(), g.Address, c)
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = client.Query(writeText, map[string]any{"pair": -1, "round": scope}, map[string]any{})
		return err
	})
	var pairs sync.WaitGroup
	var missed atomic.Int64
	waits := make([][]time.Duration, causalPairs)
	started := time.Now()
	for p := range causalPairs {
		pairs.Go(func() {
			n, spent, err := onePair(t.Context(), g.Address, c, scope, p)
			missed.Add(n)
			waits[p] = spent
			if err != nil {
				t.Errorf("pair %d: %v", p, err)
			}
		})
	}
	pairs.Wait()
	f = causalFigures{rounds: causalRounds, missed: missed.Load(), took: time.Since(started), waits: slices.Concat(waits...)}
	leader := c.Leader().Name
	for name, k := range counters {
		t.Logf("%s served %d reads", name, k.seen.Load())
		f.reads += k.seen.Load()
		if name == leader {
			f.atLeader = k.seen.Load()
		}
	}
	slices.Sort(f.waits)
	at := func(q int) time.Duration {
		return f.waits[min(len(f.waits)-1, len(f.waits)*q/1000)].Round(10 * time.Microsecond)
	}
	if len(f.waits) > 0 {
		t.Logf("causality: %s: %d rounds in %v; %d missed; %d of %d reads at the leader (%.1f %% off it); a read took %v at the median, %v p95, %v p99, %v p99.9", scope, f.rounds,
			f.took.Round(time.Millisecond), f.missed, f.atLeader, f.reads, 100-100*float64(f.atLeader)/float64(max(f.reads, 1)), at(500), at(950), at(990), at(999))
	}
	return f
}

// onePair writes over one connection and reads over the other, one after the other.
func onePair(ctx context.Context, address string, c *labs.Cluster, scope string, pair int) (missed int64, spent []time.Duration, err error) {
	writer, err := dialBolt(ctx, address, c)
	if err != nil {
		return 0, nil, err
	}
	defer writer.Close()
	reader, err := dialBolt(ctx, address, c)
	if err != nil {
		return 0, nil, err
	}
	defer reader.Close()
	for i := range causalRounds / causalPairs {
		params := map[string]any{"pair": pair, "round": fmt.Sprint(scope, " ", i)}
		if _, err := writer.Query(writeText, params, map[string]any{}); err != nil {
			return missed, spent, fmt.Errorf("write %d: %w", i, err)
		}
		began := time.Now()
		res, err := reader.Query(seenText, params, map[string]any{})
		if err != nil {
			return missed, spent, fmt.Errorf("read %d: %w", i, err)
		}
		spent = append(spent, time.Since(began))
		if res.Rows[0][0] != int64(1) {
			missed++
		}
	}
	return missed, spent, nil
}

// counter stands before a member's Bolt port and counts the reads of this check that pass.
type counter struct {
	address string
	seen    atomic.Int64
}

func startCounter(t *testing.T, member string) *counter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &counter{address: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go k.relay(conn, member)
		}
	}()
	return k
}

func (k *counter) relay(client net.Conn, member string) {
	defer client.Close()
	server, err := net.Dial("tcp", member)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(client, server) //nolint:errcheck // one end closes
		client.Close()
	}()
	io.Copy(server, io.TeeReader(client, &countWriter{k: k})) //nolint:errcheck // one end closes
}

// countWriter counts the text in a stream that is cut anywhere.
type countWriter struct {
	k    *counter
	tail []byte
}

func (w *countWriter) Write(b []byte) (int, error) {
	all := append(w.tail, b...)
	w.k.seen.Add(int64(bytes.Count(all, []byte(seenText))))
	keep := min(len(all), len(seenText)-1)
	w.tail = append([]byte(nil), all[len(all)-keep:]...)
	return len(b), nil
}
