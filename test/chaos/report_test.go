package chaos

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the bars, and the table at the end of a run.

const (
	writeGrace  = time.Second             // that writes may stall beyond the time without a leader
	readStall   = 250 * time.Millisecond  // that reads without bookmarks may stall
	replaced    = 2500 * time.Millisecond // until a commit at a leader that is replaced, and does not answer, is in doubt
	driverWaits = 1200 * time.Millisecond // before it tries a transaction function again: 1 s, and up to a fifth more
	found       = 4 * time.Second         // check.interval + check.timeout x fall of the defaults: until a silent member is found
)

// hold holds a round through the gate to the bars.
func (r round) hold(t *testing.T, f fault) {
	t.Helper()
	for what, ids := range map[string][]string{"lost": r.lost, "twice": r.twice, "said not to be done, and done": r.lied} {
		if len(ids) > 0 {
			t.Errorf("%d writes %s: %.400q", len(ids), what, ids)
		}
	}
	if len(r.unpushed) > 0 {
		t.Logf("%d writes that the master had acknowledged within %v of the fault went with it: %.400q", len(r.unpushed), pushTime, r.unpushed)
	}
	if r.stale > 0 && len(r.unpushed) == 0 { // who was given such a write's bookmark cannot be given the write
		t.Errorf("%d reads with a bookmark did not see what was acknowledged before them", r.stale)
	}
	seen := r.visible()
	for _, o := range seen[:min(5, len(seen))] {
		t.Errorf("visible error of %s, of %d, after %.2f s: %v", o.worker, len(seen), o.done.Sub(o.begun).Seconds(), o.err)
	}
	for worker, n := range r.most {
		if most := max(f.losses(), r.moves); n > most {
			t.Errorf("%s has %d writes in doubt; want %d at most", worker, n, most)
		}
	}
	for k, limit := range f.limits(r) {
		if s := r.stall[k]; s.took > limit {
			say := t.Errorf
			if s.took < limit+ciGrace() {
				say = t.Logf
			}
			say("%s got nothing done for %.2f s, from %.2f s after the fault on; want %.2f s at most (no leader for %.2f s, no direct write for %.2f s, a member took %.2f s); it ended with one that began %.2f s after the fault and was tried %d times: %v",
				s.worker, s.took.Seconds(), s.from.Sub(r.at).Seconds(), limit.Seconds(), r.election.Seconds(), r.direct.Seconds(), r.control.Seconds(),
				s.last.begun.Sub(r.at).Seconds(), s.last.tries, s.last.failed)
		}
	}
	if t.Failed() {
		t.Logf("what the contender said meanwhile:\n%.20000s", r.log)
	}
}

// visible are the errors that no worker may see.
func (r round) visible() []op {
	return slices.DeleteFunc(slices.Clone(r.errors), func(o op) bool { return overHeld(o) || r.ha && passedOn(o) })
}

// overHeld tells whether the gate held an operation for as long as it may, and said so: an election of more than failover.hold shows, as it is
// meant to. That there was none so long is the stalls' bar. Who connects while no member is up is held before there is a protocol to say it in: with
// HA members that have no master the driver hears that it was not let in, and nothing of the operation was sent.
func overHeld(o op) bool {
	const hold = 20 * time.Second
	if o.done.Sub(o.begun) < hold {
		return false
	}
	if _, ok := errors.AsType[*neo4j.ConnectivityError](o.err); ok {
		return strings.Contains(o.err.Error(), "did not accept any of the requested Bolt versions")
	}
	failure, ok := errors.AsType[*neo4j.Neo4jError](o.err)
	return ok && failure.Code == bolt.CodeLeaderSwitch
}

// passedOn tells whether an operation heard a HA master's own word that it leads no more, which the gate passes on as it is (docs/failover.md, "In
// doubt"): no driver tries it again, and the master says it before it commits anything, so that such a write must not be there.
func passedOn(o op) bool {
	failure, ok := errors.AsType[*neo4j.Neo4jError](o.err)
	return ok && noLockSession(failure)
}

// beyond is how much longer an auto-commit writer got nothing done than no member said that it leads.
func (r round) beyond() time.Duration { return max(0, r.stall[write].took-r.election) }

// ciGrace is what stalls may be longer by in CI, whose machine nobody knows; what is lost, twice or in doubt is held to the same as everywhere.
func ciGrace() time.Duration {
	if os.Getenv("CI") == "" {
		return 0
	}
	return 15 * time.Second
}

// losses is how often the fault takes a leader away, or a member that writes go through. On a busy machine leaders go by themselves, too.
func (f fault) losses() int {
	if f.name == "restart-all" {
		return 3 // the leader may move with each member that ends
	}
	return 1
}

// limits are how long one worker of each kind may get nothing done. A leader that does not take a write yet, asked directly, is none. What
// a living member itself took for an answer counts twice: a read may have waited so long for the one before it. HA members say that they are not
// available, for reads too, as long as they have no master. A read whose bookmark no living member has waits for the next leader, as a write does.
func (f fault) limits(r round) map[kind]time.Duration {
	elected := max(r.election, r.direct)
	writes, reads := elected+writeGrace, readStall
	if f.silent { // what waits for a silent member waits until that is found
		writes, reads = max(elected, found)+writeGrace, found+readStall
	}
	writes, reads = writes+2*max(r.control, r.leader), reads+2*r.control
	limits := map[kind]time.Duration{write: writes, writeTx: writes, lateWrite: writes, read: reads, readBehind: max(writes, reads), readMarked: max(writes, reads)}
	limits[writeTx] += driverWaits
	limits[readBehind] += driverWaits
	if r.ha {
		limits[read] = limits[readBehind]
	}
	if f.vain {
		limits[write] += replaced
		limits[writeTx] += replaced
	}
	return limits
}

// String is one round in a line.
func (r round) String() string {
	return fmt.Sprintf("%s hit: %d writes, %d reads; %d errors, %d in doubt (%d of them done), %d lost, %d twice, %d stale; stalls: writes %.2f s, managed %.2f s, late writes %.2f s, reads %.2f s, causal %.2f s, bookmarked %.2f s; no leader for %.2f s (writes stalled %.2f s more), no direct write for %.2f s, a member took %.2f s, the leader %.2f s; took %.0f s",
		r.hit, r.writes, r.reads, len(r.errors), r.doubt, r.doubtDone, len(r.lost), len(r.twice), r.stale,
		r.stall[write].took.Seconds(), r.stall[writeTx].took.Seconds(), r.stall[lateWrite].took.Seconds(), r.stall[read].took.Seconds(), r.stall[readBehind].took.Seconds(), r.stall[readMarked].took.Seconds(),
		r.election.Seconds(), r.beyond().Seconds(), r.direct.Seconds(), r.control.Seconds(), r.leader.Seconds(), r.took.Seconds())
}

// table collects the rounds of a run.
type table struct {
	mu   sync.Mutex
	keys []string
	rows map[string][]round
}

var results = &table{rows: make(map[string][]round)}

func (b *table) add(lab, by, fault string, r round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := fmt.Sprintf("| %s | %s | %s |", lab, by, fault)
	if !slices.Contains(b.keys, key) {
		b.keys = append(b.keys, key)
	}
	b.rows[key] = append(b.rows[key], r)
}

// String is the table of docs/reliability.md; "" when there were no rounds. Stalls are the longest of all rounds.
func (b *table) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.keys) == 0 {
		return ""
	}
	var s strings.Builder
	s.WriteString("| cluster | by way of | fault | rounds | done | errors | in doubt | lost | twice | no leader | no direct write | a member took | write stall | beyond no leader | read stall | causal read stall | bookmarked read stall |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, key := range b.keys {
		var done, failed, doubt, lost, twice int
		var election, direct, control, writes, beyond, reads, causal, marked time.Duration
		for _, r := range b.rows[key] {
			done += r.writes + r.reads
			failed, doubt, lost, twice = failed+len(r.errors), doubt+r.doubt, lost+len(r.lost), twice+len(r.twice)
			election, direct, control = max(election, r.election), max(direct, r.direct), max(control, r.control, r.leader)
			reads, causal, marked = max(reads, r.stall[read].took), max(causal, r.stall[readBehind].took), max(marked, r.stall[readMarked].took)
			beyond = max(beyond, r.beyond())
			writes = max(writes, r.stall[write].took, r.stall[writeTx].took, r.stall[lateWrite].took)
		}
		fmt.Fprintf(&s, "%s %d | %d | %d | %d | %d | %d | %.2f s | %.2f s | %.2f s | %.2f s | %.2f s | %.2f s | %.2f s | %.2f s |\n", key, len(b.rows[key]), done, failed, doubt, lost, twice,
			election.Seconds(), direct.Seconds(), control.Seconds(), writes.Seconds(), beyond.Seconds(), reads.Seconds(), causal.Seconds(), marked.Seconds())
	}
	return s.String()
}

// TestWhatIsForgiven: a hold that was over, and a HA master's word that it leads no more; what stands behind them is not hidden.
func TestWhatIsForgiven(t *testing.T) {
	at := time.Unix(1000, 0)
	after := func(d time.Duration, code, message string) op {
		return op{begun: at, done: at.Add(d), err: &neo4j.Neo4jError{Code: code, Msg: message}}
	}
	held := after(20*time.Second, bolt.CodeLeaderSwitch, "")
	refused := func(d time.Duration) op { // a ConnectivityError's cause is the driver's own
		return op{begun: at, done: at.Add(d), err: fmt.Errorf("server did not accept any of the requested Bolt versions: %w", &neo4j.ConnectivityError{Inner: errHung})}
	}
	passed := after(0, bolt.CodeUnknown, "Failed to start a new lock session on master")
	for name, test := range map[string]struct {
		ha   bool
		op   op
		seen bool
	}{
		"an election longer than failover.hold":      {false, held, false},
		"LeaderSwitch before that":                   {false, after(19*time.Second, bolt.CodeLeaderSwitch, ""), true},
		"the word of a HA master that leads no more": {true, passed, false},
		"the same of anybody else":                   {false, passed, true},
		"another UnknownError of a HA master":        {true, after(0, bolt.CodeUnknown, "a null pointer"), true},
		"a handshake that was held as long":          {true, refused(20 * time.Second), false},
		"a handshake that was refused":               {true, refused(time.Second), true},
		"a broken connection":                        {true, op{err: &neo4j.ConnectivityError{}}, true},
	} {
		r := round{ha: test.ha, account: account{errors: []op{held, held, held, held, held, test.op}}}
		if got := len(r.visible()) > 0; got != test.seen {
			t.Errorf("%s: visible %v", name, got)
		}
	}
}

// TestTheTables: each row has a cell for each column, and a stall is told beside the time without a leader of its own round.
func TestTheTables(t *testing.T) {
	rounds := table{rows: make(map[string][]round)}
	for i := range 2 {
		late := time.Duration(i+1) * time.Second
		rounds.add("causal", "boltgate", "kill-leader", round{election: 3*time.Second - late, account: account{stall: map[kind]stall{write: {took: 3 * time.Second}, readMarked: {took: late}}}})
	}
	var deaths commitTable
	deaths.rows = make(map[string]*commitRow)
	deaths.keys, deaths.rows["| causal | meanwhile | Go |"] = []string{"| causal | meanwhile | Go |"}, &commitRow{}
	for _, text := range []string{rounds.String(), deaths.String()} {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		for _, line := range lines {
			if len(lines) != 3 || strings.Count(line, "|") != strings.Count(lines[0], "|") {
				t.Errorf("the table is no table:\n%s", text)
				break
			}
		}
	}
	if want := "2.00 s | 0.00 s | 0.00 s | 3.00 s | 2.00 s | 0.00 s | 0.00 s | 2.00 s |"; !strings.HasSuffix(strings.TrimSpace(rounds.String()), want) {
		t.Errorf("got\n%swant it to end with %s", rounds.String(), want)
	}
}
