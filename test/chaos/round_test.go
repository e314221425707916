package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns one round: the workers begin, a fault comes, it is mended, they end, and all is accounted for.

const (
	warmUp   = 3 * time.Second // of work before the fault
	coolDown = 3 * time.Second // of work after it was mended
	lateTime = 8 * time.Second // after a fault: another leads
	mendTime = 6 * time.Minute // for a fault to be over, and for the cluster to be whole again
)

// round is what came of one.
type round struct {
	account
	ha       bool          // of a HA cluster
	hit      string        // which member
	at       time.Time     // of the fault
	election time.Duration // the longest time without any member that said it leads
	control  time.Duration // the longest that a living member took to answer a read, asked directly
	direct   time.Duration // the longest time in which no member took a write, asked directly
	leader   time.Duration // the longest that the leader took to answer a write, asked directly; of causal leaders where it stayed
	unpushed []string      // writes that a HA master had acknowledged just before the fault, and nobody else has
	moves    int           // how often another member led than before, or the same was elected anew
	still    time.Duration // the machine's longest standstill
	took     time.Duration
	log      string // of the contender, from the fault until it was taken back
}

// prepare gives the lab what the workers' texts want.
func prepare(t *testing.T, c *labs.Cluster) {
	t.Helper()
	ctx := t.Context()
	driver := drive(t, "bolt://"+c.Leader().Bolt, c)
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	for _, property := range []string{"id", "run"} {
		if _, err := neo4j.ExecuteQuery(ctx, driver, "CREATE INDEX ON :Chaos("+property+")", nil, neo4j.EagerResultTransformer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := neo4j.ExecuteQuery(ctx, driver, "CALL db.awaitIndexes(60)", nil, neo4j.EagerResultTransformer); err != nil {
		t.Fatal(err)
	}
}

// run takes the cluster through a fault, with work by way of the contender; a round in which the machine stood still does not count;
// in CI it does, where stalls have time to spare and the run has not.
func run(t *testing.T, c *labs.Cluster, by *contender, f fault) round {
	t.Helper()
	for try := 1; ; try++ {
		r, err := once(t, c, by, f)
		if r.still > stoodStill && try < 5 && ciGrace() == 0 {
			t.Logf("void: the machine stood still for %.1f s (%v)", r.still.Seconds(), err)
			if err := mended(t, c); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		t.Log(r.String())
		return r
	}
}

// once is one try. How long nothing went is looked at from the fault until it is taken back; that nothing is lost, from the first operation to
// the last.
func once(t *testing.T, c *labs.Cluster, by *contender, f fault) (r round, err error) {
	t.Helper()
	begun := time.Now()
	name := fmt.Sprintf("%s %s %d", by.name, f.name, begun.UnixNano())
	to := by.target(t)
	defer to.close()
	work := startWorkload(to, name)
	control := startControl(t, c)
	watch := watchLeader(c)
	time.Sleep(warmUp)
	ctx, cancel := context.WithTimeout(t.Context(), mendTime)
	defer cancel()
	r.ha, r.at = c.Lab.Kind == labs.HAMode, time.Now()
	late := time.AfterFunc(lateTime, func() {
		if f.vain {
			work.begin(lateWorkers)
		}
	})
	work.eased.Store(f.starts)
	r.hit, err = f.bring(ctx, c, watch)
	late.Stop()
	until := time.Now()
	r.election = watch.longest()
	work.eased.Store(true)
	if err == nil {
		err = mended(t, c)
	}
	work.eased.Store(false)
	time.Sleep(coolDown)
	ops := work.end()
	r.moves = watch.end()
	control.end()
	r.control = control.longest(r.at, until, func(s sample) bool { return s.member != r.hit && s.member != atLeader })
	r.control = max(r.control, control.unserved(r.hit, r.at, until))
	r.direct = control.unwritten(r.at, until)
	r.still = control.still
	if !f.leader || r.ha && !f.silent && !f.vain { // else it is the one that was hit, or follows it at once; a HA master's pushes to slaves take 2 s at times
		r.leader = control.longest(r.at, until, func(s sample) bool { return s.member == atLeader })
	}
	if err != nil {
		return r, err
	}
	if by.log != nil {
		r.log = linesBetween(by.log(), r.at, until)
	}
	r.account = balance(ops, tally(t, c, "MATCH (n:Chaos {run: $run}) RETURN n.id AS id, count(*) AS n", name), r.at, until, by.inDoubt)
	if r.ha && f.leader {
		r.splitLost(ops)
	}
	r.took = time.Since(begun)
	return r, nil
}

// pushTime is how old a write may be that a HA master acknowledged and has given to no slave: it goes on when the slave that it pushes to does not answer.
const pushTime = 5 * time.Second

// splitLost takes from the lost writes those that the master itself lost: HA acknowledges what one member alone has.
func (r *round) splitLost(ops []op) {
	done := make(map[string]time.Time, len(ops))
	for _, o := range ops {
		if o.kind.writes() {
			done[o.id] = o.done
		}
	}
	own := func(id string) bool {
		return done[id].After(r.at.Add(-pushTime)) && done[id].Before(r.at.Add(time.Second))
	}
	for _, id := range r.lost {
		if own(id) {
			r.unpushed = append(r.unpushed, id)
		}
	}
	r.lost = slices.DeleteFunc(r.lost, own)
}

// mended starts what does not run, and waits until every member is there and one leads.
func mended(t *testing.T, c *labs.Cluster) error {
	ctx, cancel := context.WithTimeout(t.Context(), mendTime)
	defer cancel()
	for _, m := range c.Members {
		if !m.Running() {
			if err := m.Restart(); err != nil {
				return err
			}
		}
	}
	return c.AwaitReady(ctx)
}

// linesBetween are the lines of a gate's log, which is JSON, that are of the window.
func linesBetween(log string, from, to time.Time) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		var stamp struct{ Time time.Time }
		if json.Unmarshal([]byte(line), &stamp) == nil && stamp.Time.After(from) && stamp.Time.Before(to) {
			fmt.Fprintf(&b, "%6.2f s %s", stamp.Time.Sub(from).Seconds(), line)
		}
	}
	return b.String()
}
