package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the account of a round: what the workers were told, held against what the cluster has.

// account is what a round amounts to.
type account struct {
	writes, reads int      // done
	errors        []op     // that workers saw, other than in doubt, and reads that failed
	doubt         int      // writes of which nobody knows, by what the contender promises of those
	doubtDone     int      // of these, how many are there
	lost          []string // acknowledged, and not there
	twice         []string // there more than once
	lied          []string // failed as not done, and there
	stale         int      // reads with a bookmark that did not see what they had to
	most          map[string]int
	stall         map[kind]stall
}

// stall is the longest time in which one worker got nothing done.
type stall struct {
	worker string
	from   time.Time // when its last operation before was done
	took   time.Duration
	last   op // the operation whose end ended it; the zero op when none did
}

// balance holds ops to what is stored, by value how often; inDoubt is the contender's. Stalls are those between from and to.
func balance(ops []op, stored map[string]int, from, to time.Time, inDoubt func(error) bool) account {
	a := account{most: make(map[string]int), stall: make(map[kind]stall)}
	for _, o := range ops {
		if o.kind.writes() {
			a.wrote(o, stored[o.id], inDoubt)
		} else {
			a.read(o)
		}
	}
	a.stalls(ops, from, to)
	return a
}

func (a *account) wrote(o op, stored int, inDoubt func(error) bool) {
	if stored > 1 {
		a.twice = append(a.twice, o.id)
	}
	switch {
	case o.err == nil:
		a.writes++
		if stored == 0 {
			a.lost = append(a.lost, o.id)
		}
	case inDoubt(o.err):
		a.doubt++
		a.most[o.worker]++
		a.doubtDone += min(stored, 1)
	default:
		a.errors = append(a.errors, o)
		if stored > 0 {
			a.lied = append(a.lied, o.id)
		}
	}
}

func (a *account) read(o op) {
	if o.err != nil {
		a.errors = append(a.errors, o)
		return
	}
	a.reads++
	if o.stale {
		a.stale++
	}
}

// stalls finds, for each kind, the worker that went longest without a success, counting what is between from and to alone.
func (a *account) stalls(ops []op, from, to time.Time) {
	last := make(map[string]time.Time)
	note := func(worker string, k kind, now time.Time, o op) {
		was := last[worker]
		if was.Before(from) {
			was = from
		}
		if took := now.Sub(was); now.After(from) && was.Before(to) && took > a.stall[k].took {
			a.stall[k] = stall{worker, was, took, o}
		}
		last[worker] = now
	}
	kinds := make(map[string]kind)
	for _, o := range slices.SortedFunc(slices.Values(ops), func(a, b op) int { return a.done.Compare(b.done) }) {
		if _, ok := kinds[o.worker]; !ok {
			kinds[o.worker], last[o.worker] = o.kind, o.begun // one that begins late has not stalled before
		}
		if o.err == nil {
			note(o.worker, o.kind, o.done, o)
		}
	}
	for worker, k := range kinds {
		note(worker, k, to, op{})
	}
}

// toldInDoubt tells whether a write's failure says that nobody knows whether it was done, as the gate promises to say it: by this code alone. A
// connection that breaks is no such word, for no write of the workers has rows, a part of which could have been delivered.
func toldInDoubt(err error) bool {
	failure, ok := errors.AsType[*neo4j.Neo4jError](err)
	return ok && failure.Code == bolt.CodeCommitFailed
}

// assumedInDoubt tells whether a write's failure leaves open whether it was done where nobody promises anything: a driver whose connection broke
// has to assume it. A leader of too few members says ReplicationFailure at a commit, also when it may have been replicated.
func assumedInDoubt(err error) bool {
	if failure, ok := errors.AsType[*neo4j.Neo4jError](err); ok {
		return failure.Code == bolt.CodeCommitFailed || failure.Code == "Neo.TransientError.Cluster.ReplicationFailure" || noLockSession(failure)
	}
	return neo4j.IsConnectivityError(err)
}

// noLockSession tells whether a failure is what a HA master that was thawed says when it finds that another leads.
func noLockSession(failure *neo4j.Neo4jError) bool {
	return failure.Code == bolt.CodeUnknown && strings.Contains(failure.Msg, "lock session on master")
}

// tally asks the leader itself how often each value of a run is there.
func tally(t *testing.T, c *labs.Cluster, text, run string) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	leader := c.Leader()
	driver := drive(t, "bolt://"+leader.Bolt, c)
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	result, err := neo4j.ExecuteQuery(ctx, driver, text, map[string]any{"run": run}, neo4j.EagerResultTransformer)
	if err != nil {
		t.Fatalf("asking %s for what was written: %v", leader.Name, err)
	}
	found := make(map[string]int, len(result.Records))
	for _, row := range result.Records {
		id, _, _ := neo4j.GetRecordValue[string](row, "id")
		n, _, _ := neo4j.GetRecordValue[int64](row, "n")
		found[id] = int(n)
	}
	return found
}

func TestTheLedgerFindsWhatIsWrong(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	doubt := &neo4j.Neo4jError{Code: bolt.CodeCommitFailed}
	hinted := &neo4j.Neo4jError{Code: "Neo.TransientError.Cluster.ReplicationFailure"}
	refused := &neo4j.Neo4jError{Code: "Neo.TransientError.Transaction.LeaderSwitch"}
	ops := []op{
		{kind: write, worker: "w1", id: "kept", done: at(100)},
		{kind: lateWrite, worker: "w9", id: "late", begun: at(2900), done: at(3000)},
		{kind: write, worker: "w1", id: "lost", done: at(200)},
		{kind: write, worker: "w1", id: "twice", done: at(3000)},
		{kind: write, worker: "w1", id: "doubt there", done: at(110), err: doubt},
		{kind: writeTx, worker: "w3", id: "doubt gone", done: at(100), err: doubt},
		{kind: writeTx, worker: "w3", id: "not replicated", done: at(160), err: hinted},
		{kind: writeTx, worker: "w3", id: "lied", done: at(150), err: refused},
		{kind: read, worker: "r1", id: "kept", done: at(50)},
		{kind: read, worker: "r1", id: "kept", done: at(60), err: refused},
		{kind: read, worker: "r1", id: "kept", done: at(350)},
		{kind: readBehind, worker: "r2", id: "kept", done: at(300), stale: true},
		{kind: readMarked, worker: "r3", id: "kept", done: at(600), stale: true},
	}
	a := balance(ops, map[string]int{"kept": 1, "late": 1, "twice": 2, "doubt there": 1, "lied": 1}, at(0), at(3100), toldInDoubt)
	if a.writes != 4 || a.reads != 4 || a.doubt != 2 || a.doubtDone != 1 || a.stale != 2 || len(a.errors) != 3 {
		t.Errorf("got %+v", a)
	}
	for what, got := range map[string][]string{"lost": a.lost, "twice": a.twice, "lied": a.lied} {
		if !slices.Equal(got, []string{what}) {
			t.Errorf("%s: got %v", what, got)
		}
	}
	if got := a.stall[write]; got.took != 2800*time.Millisecond || got.worker != "w1" || !got.from.Equal(at(200)) {
		t.Errorf("the writes' stall is %+v; want 2.8 s of w1 from 200 ms on", got)
	}
	if got := a.stall[lateWrite]; got.took != 100*time.Millisecond {
		t.Errorf("the late writes' stall is %+v; want 0.1 s, from its begin on", got)
	}
	if got := a.stall[read]; got.took != 2750*time.Millisecond {
		t.Errorf("the reads' stall is %+v; want 2.75 s up to the end", got)
	}
	if got := a.stall[readMarked]; got.took != 2500*time.Millisecond {
		t.Errorf("the bookmarked reads' stall is %+v; want 2.5 s, counted apart", got)
	}
}

// TestTheGateIsHeldToItsWord: what a driver alone has to take for a write in doubt is an error that is seen, where the gate is in between.
func TestTheGateIsHeldToItsWord(t *testing.T) {
	failed := func(code, message string) error { return &neo4j.Neo4jError{Code: code, Msg: message} }
	for what, test := range map[string]struct {
		err            error
		gate, anything bool
	}{
		"the gate's word":                       {failed(bolt.CodeCommitFailed, ""), true, true},
		"the same, of a driver that wrapped it": {fmt.Errorf("at its commit: %w", failed(bolt.CodeCommitFailed, "")), true, true},
		"a broken connection":                   {&neo4j.ConnectivityError{}, false, true},
		"a member's own doubt":                  {failed("Neo.TransientError.Cluster.ReplicationFailure", ""), false, true},
		"a HA master's that leads no more":      {failed(bolt.CodeUnknown, "Failed to start a new lock session on master (…)"), false, true},
		"any other error of a member's":         {failed(bolt.CodeUnknown, "a null pointer"), false, false},
		"what says that nothing was done":       {failed(bolt.CodeLeaderSwitch, ""), false, false},
		"an operation that hangs":               {errHung, false, false},
	} {
		if got := toldInDoubt(test.err); got != test.gate {
			t.Errorf("through the gate, in doubt by %s: %v", what, got)
		}
		if got := assumedInDoubt(test.err); got != test.anything {
			t.Errorf("through anything else, in doubt by %s: %v", what, got)
		}
	}
}

func TestWhatAMasterLosesIsNotTheGates(t *testing.T) {
	at := time.Unix(1000, 0)
	ops := []op{
		{kind: write, id: "old", done: at.Add(-pushTime - time.Second)},
		{kind: write, id: "new", done: at.Add(-time.Second)},
		{kind: write, id: "after", done: at.Add(2 * time.Second)},
		{kind: read, id: "old", done: at.Add(-time.Second)},
		{kind: readBehind, id: "after", done: at},
	}
	r := round{at: at, account: account{lost: []string{"old", "new", "after"}}}
	r.splitLost(ops)
	if !slices.Equal(r.lost, []string{"old", "after"}) || !slices.Equal(r.unpushed, []string{"new"}) {
		t.Errorf("lost %v, by the master %v", r.lost, r.unpushed)
	}
}
