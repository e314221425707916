package chaos

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns partitions: a leader that the other members do not hear, and one that nobody hears. See network_linux_test.go for the network.

// cutTime is how long a partition lasts.
const cutTime = 15 * time.Second

// partitions are the faults that take a network of its own.
func partitions(w *network) []fault {
	cutLeader := func(sides ...string) func(context.Context, *labs.Cluster, *leaderWatch) (string, error) {
		return func(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (string, error) {
			return partition(ctx, c, watch, w, sides)
		}
	}
	return []fault{
		{name: "cut-off-leader", leader: true, vain: true, bring: cutLeader(back)},
		{name: "isolate-leader", leader: true, silent: true, bring: cutLeader(front, back)},
	}
}

// partition cuts the leader off, heals that after a while, and waits until one leads.
func partition(ctx context.Context, c *labs.Cluster, watch *leaderWatch, w *network, sides []string) (string, error) {
	m, err := c.AwaitLeader(ctx)
	if err != nil {
		return "", err
	}
	watch.fault()
	if err := w.cut(m, sides...); err != nil {
		return m.Name, errors.Join(err, w.heal(m, sides...))
	}
	pauseFor(ctx, cutTime)
	if err := w.heal(m, sides...); err != nil {
		return m.Name, err
	}
	_, err = c.AwaitLeader(ctx)
	pauseFor(ctx, settle)
	return m.Name, err
}

// TestPartitions holds the gate to the bars where members do not hear each other.
func TestPartitions(t *testing.T) {
	rounds(t, "")
	all := []labs.Lab{labs.Causal, labs.HA}
	for _, lab := range all {
		labs.Require(t, "lab "+lab.Name, lab.Available())
		if err := lab.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !enterNetwork(t) {
		return
	}
	for _, lab := range all {
		t.Run(lab.Name, func(t *testing.T) {
			n := rounds(t, "partitions/"+lab.Name)
			w := layNetwork(t, lab.Cores+lab.Replicas)
			c := labs.Start(t, lab, w.hosts...)
			c.WaitReady()
			prepare(t, c)
			gate := throughGate(t, c)
			for _, f := range partitions(w) {
				t.Run(f.name, func(t *testing.T) {
					for i := range n {
						t.Run(strconv.Itoa(i+1), func(t *testing.T) { oneRound(t, c, gate, f) })
					}
				})
			}
		})
	}
}
