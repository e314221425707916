package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the death of a leader while COMMITs are in flight: transaction functions of every driver that has a doubt program write one
// value after the other through the gate; when the COMMIT of a certain one of each is on its way the leader is killed.

const (
	commitsEach = 12              // writes of each driver
	commitsDie  = 5               // the one whose COMMIT is in flight when the leader dies
	commitsTime = 3 * time.Minute // for one round
)

// committers installs the drivers that speak a Bolt version of the lab's servers; those that the machine cannot run are skipped, loudly.
func committers(t *testing.T) (all []drivers.Program) {
	t.Helper()
	for _, d := range drivers.Doubters() {
		if !d.Shares([]string{"1", "2", "3"}) {
			continue
		}
		if err := d.Available(); err != nil {
			t.Run("install "+d.Name, func(t *testing.T) { labs.Require(t, "driver "+d.Name, err) })
			continue
		}
		p, err := d.Install(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("no driver can be run here")
	}
	return all
}

// commits takes a lab through n rounds of each moment.
func commits(t *testing.T, c *labs.Cluster, n int) {
	programs := committers(t)
	relays := make(map[string]*relay)
	for _, m := range c.Members {
		relays[m.Name] = startRelay(t, m.Name, m.Bolt)
	}
	g := gates.Start(t, configuration(c, func(m *labs.Member) string { return relays[m.Name].address }))
	awaitGate(t, c, g)
	for _, when := range []moment{beforeIt, meanwhile, behindIt} {
		for i := range n {
			t.Run(fmt.Sprintf("%s/%d", when, i+1), func(t *testing.T) {
				r := commitRound{when: when, run: fmt.Sprintf("chaos commit %d", time.Now().UnixNano()), programs: programs}
				r.play(t, c, g.Address, relays)
				r.hold(t)
				inFlight.add(c.Lab.Name, &r)
			})
		}
	}
}

// commitRound is one death.
type commitRound struct {
	when     moment
	run      string
	programs []drivers.Program
	told     [][]drivers.Outcome // by program
	refused  map[string]bool     // whose COMMIT the member refused, while its answer was held: another led by then
	stored   map[string]int
}

func (r *commitRound) mark(p drivers.Program) string { return r.run + " " + p.Driver.Name }

func (r *commitRound) dying(p drivers.Program) string {
	return fmt.Sprintf("%s/%d", r.mark(p), commitsDie)
}

func (r *commitRound) play(t *testing.T, c *labs.Cluster, gate string, relays map[string]*relay) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commitsTime)
	defer cancel()
	var marks []string
	for _, p := range r.programs {
		marks = append(marks, r.dying(p))
	}
	trap := newTrap(r.when, marks)
	for _, relay := range relays {
		relay.trap.Store(trap)
		defer relay.trap.Store(nil)
	}
	errs := make([]error, len(r.programs))
	r.told = make([][]drivers.Outcome, len(r.programs))
	var wait sync.WaitGroup
	for i, p := range r.programs {
		wait.Go(func() {
			to := drivers.Target{URI: p.Driver.Routing + "://" + gate, User: c.User, Password: c.Password, Mark: r.mark(p), Timeout: commitsTime}
			r.told[i], errs[i] = p.Writes(ctx, to, "managed", "none", commitsEach)
		})
	}
	killed := r.killAt(ctx, c, trap, len(marks))
	close(trap.dead)
	wait.Wait()
	if err := errors.Join(append(errs, killed, mended(t, c))...); err != nil {
		t.Fatal(err)
	}
	r.stored = r.ask(t, c)
}

// killAt waits until every COMMIT is in flight and kills the member to which they are; more than one only where the leader moved meanwhile.
func (r *commitRound) killAt(ctx context.Context, c *labs.Cluster, trap *trap, count int) error {
	hit := make(map[string]bool)
	r.refused = make(map[string]bool)
	for n := range count {
		select {
		case caught := <-trap.caught:
			hit[caught.member], r.refused[caught.mark] = true, caught.refused
		case <-ctx.Done():
			return fmt.Errorf("%d of %d COMMITs came: %w", n, count, context.Cause(ctx))
		}
	}
	close(trap.spring)
	if trap.when == meanwhile {
		pauseFor(ctx, rand.N(5*time.Millisecond))
	}
	for _, m := range c.Members {
		if hit[m.Name] {
			if err := m.Kill(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask counts what is stored of the round.
func (r *commitRound) ask(t *testing.T, c *labs.Cluster) map[string]int {
	t.Helper()
	return tally(t, c, "MATCH (n:Doubt) WHERE n.mark STARTS WITH $run RETURN n.mark AS id, count(*) AS n", r.run)
}

// hold checks that each driver heard what is true, and left it at that.
func (r *commitRound) hold(t *testing.T) {
	t.Helper()
	for i, p := range r.programs {
		acked, doubt := 0, 0
		for _, o := range r.told[i] {
			n := r.stored[o.Mark]
			switch {
			case n > 1:
				t.Errorf("twice: %s is stored %d times", o.Mark, n)
			case o.Error == "" && n == 0:
				t.Errorf("lost: %s was acknowledged", o.Mark)
			case o.Error != "" && o.Error != bolt.CodeCommitFailed:
				t.Errorf("visible error: %s: %s, stored %d times", o.Mark, o.Error, n)
			case o.Mark == r.dying(p):
				r.holdDying(t, o, n)
			}
			switch o.Error {
			case "":
				acked++
			case bolt.CodeCommitFailed:
				doubt++
			}
		}
		t.Logf("%s, the leader killed %s: %d acknowledged, %d in doubt", p.Driver.Name, r.when, acked, doubt)
	}
}

// holdDying is about the write whose COMMIT was in flight.
func (r *commitRound) holdDying(t *testing.T, o drivers.Outcome, stored int) {
	t.Helper()
	want := map[moment][]int{beforeIt: {0}, meanwhile: {0, 1}, behindIt: {1}}[r.when]
	if !slices.Contains(want, stored) && !r.refused[o.Mark] {
		t.Errorf("%s, whose leader died %s, is stored %d times", o.Mark, r.when, stored)
	}
	if o.Attempts != 1 || o.Error == "" && r.when != meanwhile {
		t.Errorf("%s, whose leader died %s, was asked for %d times and ended with %q; want once and %s", o.Mark, r.when, o.Attempts, o.Error, bolt.CodeCommitFailed)
	}
}

// inFlight collects the rounds for the table at the end.
var inFlight commitTable

type commitTable struct {
	mu   sync.Mutex
	keys []string
	rows map[string]*commitRow
}

type commitRow struct{ rounds, acked, errors, doubt, done, retried, lost, twice int }

func (b *commitTable) add(lab string, r *commitRound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rows == nil {
		b.rows = make(map[string]*commitRow)
	}
	for i, p := range r.programs {
		key := fmt.Sprintf("| %s | %s | %s |", lab, r.when, p.Driver.Name)
		row := b.rows[key]
		if row == nil {
			row = &commitRow{}
			b.rows[key], b.keys = row, append(b.keys, key)
		}
		row.rounds++
		for _, o := range r.told[i] {
			row.count(o, r.stored[o.Mark])
		}
	}
}

func (row *commitRow) count(o drivers.Outcome, stored int) {
	row.retried += max(0, o.Attempts-1)
	row.twice += max(0, stored-1)
	switch {
	case o.Error == bolt.CodeCommitFailed:
		row.doubt++
		row.done += min(stored, 1)
	case o.Error != "":
		row.errors++
	case stored == 0:
		row.lost++
		fallthrough
	default:
		row.acked++
	}
}

// String is the table of docs/reliability.md; "" when there were no rounds.
func (b *commitTable) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.keys) == 0 {
		return ""
	}
	var s strings.Builder
	s.WriteString("| cluster | killed while COMMIT is in flight, | driver | rounds | acknowledged | errors | in doubt | of these done | tried again by the driver | lost | twice |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, key := range b.keys {
		r := b.rows[key]
		fmt.Fprintf(&s, "%s %d | %d | %d | %d | %d | %d | %d | %d |\n", key, r.rounds, r.acked, r.errors, r.doubt, r.done, r.retried, r.lost, r.twice)
	}
	return s.String()
}
