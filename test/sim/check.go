package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/proxy"
)

// Violation is a rule that a run broke.
type Violation struct {
	Rule string // one of the names below
	Mark string // the attempt; "" when it is about none
	What string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Rule, v.Mark, v.What) }

// The rules, after those of the design.
const (
	ruleOthersAnswer = "a reply reaches only its client"                     // 1
	ruleTwice        = "nothing is executed twice"                           // 2
	ruleSelf         = "a text that commits by itself is never sent again"   // 2
	ruleNothingDone  = "what was said to have done nothing has done nothing" // 2, 3
	ruleDoubt        = "in doubt is what is in doubt"                        // 3
	ruleBroken       = "a connection breaks only when an answer was begun"   // 3
	ruleLost         = "an acknowledged write is not lost"                   // 4
	ruleAcknowledged = "what was acknowledged to the gate is to its client"  // 4
	ruleStale        = "a read sees what it must"                            // 5
	ruleClaimant     = "no write goes to a leader that was replaced"
	ruleVisible      = "an error is shown only where nothing else is allowed" // what clients are told
	ruleRecords      = "an answer is whole and comes once"
	ruleHung         = "every unit of work ends"
)

// checker holds one history to the rules.
type checker struct {
	*History
	found []Violation
	place map[string]position // of each mark in a log
	times map[string]int      // how often it is there
}

type position struct {
	db string
	tx int64
}

// Check returns every violation of a finished run, at most twenty.
func Check(h *History) []Violation {
	c := &checker{History: h, found: slices.Clone(h.faults), place: map[string]position{}, times: map[string]int{}}
	c.readLogs()
	for _, a := range h.attempts {
		c.attempt(a)
	}
	c.staleReads()
	return c.found[:min(len(c.found), 20)]
}

func (c *checker) violated(rule string, a *attempt, format string, args ...any) {
	c.found = append(c.found, Violation{rule, a.mark, fmt.Sprintf(format, args...) + "\n\t" + a.String()})
}

// readLogs notes where each mark is.
func (c *checker) readLogs() {
	for db, entries := range c.logs {
		for _, e := range entries {
			for _, mark := range e.Marks {
				text, _ := mark.(string)
				c.times[text]++
				c.place[text] = position{db: db, tx: e.Tx}
			}
		}
	}
	for mark, n := range c.times {
		if n > 1 {
			c.found = append(c.found, Violation{ruleTwice, attemptOf(mark), fmt.Sprintf("%s is in the log %d times", mark, n)})
		}
	}
}

// statementMarks are the marks that an attempt leaves when it is carried out.
func (a *attempt) statementMarks() (marks []string) {
	if !a.explicit && a.statements == 1 {
		return []string{a.mark}
	}
	for i := range a.statements {
		marks = append(marks, fmt.Sprintf("%s.%d", a.mark, i+1))
	}
	return marks
}

// committed tells how many of an attempt's marks are in the log.
func (c *checker) committed(a *attempt) (n int) {
	for _, mark := range a.statementMarks() {
		if c.times[mark] > 0 {
			n++
		}
	}
	return n
}

func (c *checker) attempt(a *attempt) {
	if a.end == 0 || a.outcome == hung {
		c.violated(ruleHung, a, "no end within %v; deliveries %v", afterwards, c.deliveries[a.mark])
		return
	}
	if a.writes {
		c.write(a)
	}
	if a.selfCommitting && len(c.executions[a.mark]) > 1 {
		c.violated(ruleSelf, a, "it ran %d times", len(c.executions[a.mark]))
	}
	if a.outcome == done && !a.interrupted && a.records != a.expected {
		c.violated(ruleRecords, a, "%d records came; %d were asked for", a.records, a.expected)
	}
	if a.outcome == failed || a.outcome == broken {
		c.visible(a)
	}
}

// write holds a write to what its client was told.
func (c *checker) write(a *attempt) {
	n, all := c.committed(a), len(a.statementMarks())
	switch {
	case n > 0 && n < all:
		c.violated(ruleLost, a, "%d of its %d statements are in the log", n, all)
	case a.outcome == done && !a.rolls && n == 0:
		c.violated(ruleLost, a, "it was acknowledged and is not in the log")
	case a.outcome == done && a.rolls && n > 0 && !a.interrupted:
		c.violated(ruleNothingDone, a, "it was rolled back and is in the log")
	case a.outcome == done && a.tx > 0 && !a.rolls && !a.interrupted && !a.selfCommitting && c.place[a.statementMarks()[0]].tx != a.tx:
		c.violated(ruleOthersAnswer, a, "its answer names transaction %d, and it is %d", a.tx, c.place[a.statementMarks()[0]].tx)
	case a.outcome == ignored && n > 0:
		c.violated(ruleNothingDone, a, "it was ignored and is in the log; deliveries %v", c.deliveries[a.mark])
	case a.outcome == failed && a.code != bolt.CodeCommitFailed && n > 0:
		c.violated(ruleNothingDone, a, "%s was told and it is in the log; deliveries %v", a.code, c.deliveries[a.mark])
	}
	if a.outcome == failed && !a.interrupted {
		for _, d := range c.deliveries[a.mark] {
			if d.answered == "SUCCESS" && !a.rolls {
				c.violated(ruleAcknowledged, a, "%s acknowledged it: %v", d.member, d)
			}
		}
	}
}

// ours tells whether the gate itself said it.
func (a *attempt) ours() bool { return strings.HasPrefix(a.text, "boltgate:") }

// visible holds an error to what the rules permit.
func (c *checker) visible(a *attempt) {
	if a.interrupted || a.left {
		return
	}
	tries := c.deliveries[a.mark]
	switch {
	case a.outcome == broken:
		if !a.partial && (a.explicit || a.records == 0) && (a.behind == nil || a.behind.outcome != broken) {
			c.violated(ruleBroken, a, "nothing of an answer had come; deliveries %v", tries)
		}
	case a.code == bolt.CodeCommitFailed && a.ours():
		left := func(d *delivery) bool { return d.decided || a.web && d.partly } // a server may commit by a body whose last bytes, which say nothing, are missing
		unsure := func(d *delivery) bool {                                       // the member does not know either, in a way that drivers would take for a reason to try again
			return strings.HasPrefix(d.answered, "Neo.TransientError.") || strings.HasPrefix(d.failed, "Neo.TransientError.")
		}
		mayWrite := func(d *delivery) bool { return a.writes || (!a.explicit || a.web) && d.plain } // a read that we send plain is not known to be one
		if !slices.ContainsFunc(tries, func(d *delivery) bool { return left(d) && (d.answered == "" && d.ended || unsure(d)) && mayWrite(d) }) {
			c.violated(ruleDoubt, a, "no member may have carried it out; deliveries %v", tries)
		}
	case a.code == bolt.CodeLeaderSwitch && a.ours():
		c.leaderSwitch(a, tries)
	case a.code == bolt.CodeNoThreads:
		if a.took() < queueTime {
			c.violated(ruleVisible, a, "it did not wait: %s", a.text)
		}
	case a.code == bolt.CodeNotALeader || a.code == bolt.CodeReadOnlyDatabase || a.code == bolt.CodeDatabaseUnavailable || a.ours():
		commits := func(d *delivery) bool { return a.explicit && !a.web && d.decided && d.answered == a.code } // passed on unchanged
		early := func(d *delivery) bool { return a.web && a.explicit && d.partly && d.failed == a.code }       // the answer came before all of its request had
		begun := a.web && a.records > 0 || slices.ContainsFunc(tries, early)                                   // such an answer goes on
		if !a.declared && !begun && !slices.ContainsFunc(tries, commits) {
			c.violated(ruleVisible, a, "%s; deliveries %v", a.text, tries)
		}
	case !slices.ContainsFunc(tries, func(d *delivery) bool { return d.failed == a.code }):
		c.violated(ruleVisible, a, "%s was not said by a member: %s; deliveries %v", a.code, a.text, tries)
	}
}

// leaderSwitch is permitted when the hold has passed, when a unit that was under way died, or when a part of a request left that must
// not be sent again.
func (c *checker) leaderSwitch(a *attempt, tries []*delivery) {
	if a.took() >= hold-checkTimeout || len(tries) >= maxTries || a.records > 0 || !a.explicit && a.answers > 0 {
		return
	}
	if a.web && a.explicit && a.answers > 0 { // its member is not there
		return
	}
	for _, d := range tries {
		switch {
		case a.explicit && d.opened && (d.ended || d.failed != ""):
			return
		case !a.explicit && a.writes && (d.partly || d.failed != ""):
			return
		}
	}
	c.violated(ruleVisible, a, "%s; deliveries %v", a.text, tries)
}

// staleReads holds each read to what its bookmark and the scope of causality say that it has to see.
func (c *checker) staleReads() {
	for _, r := range c.attempts {
		if r.applied < 0 || r.writes || r.outcome != done {
			continue
		}
		if r.applied < r.bookmark {
			c.violated(ruleStale, r, "its bookmark names transaction %d, and it saw %d", r.bookmark, r.applied)
		}
		if r.declared || r.explicit {
			continue
		}
		for _, w := range c.attempts {
			if w.end == 0 || w.end > r.begin || w.db != r.db || !c.inScope(w, r) || r.web && !w.writes && c.byTime() {
				continue
			}
			if must := c.shown(w); must > r.applied {
				c.violated(ruleStale, r, "transaction %d was shown to %s before, and it saw %d (scope %v)\n\t%v", must, w.mark, r.applied, c.plan.causality, w)
				break
			}
		}
	}
}

// inScope tells whether a read has to see what an earlier attempt did or saw.
func (c *checker) inScope(w, r *attempt) bool {
	switch c.plan.causality {
	case proxy.CausalityUser:
		return w.user == r.user && w.gate == r.gate
	case proxy.CausalitySession:
		return w.session == r.session
	case proxy.CausalityCluster:
		return w.gate == r.gate && !(r.web && c.plan.noBookmarks()) || c.calm(r) // without bookmarks over HTTP it asks who leads, as far as it knows
	}
	return false
}

// calm tells whether the gate of a read surely knew the leader: nothing was wrong when the read began, nor just before. Else it may ask one that was
// replaced, which does not know what went through another gate.
func (c *checker) calm(r *attempt) bool {
	const settled = 6 * time.Second // two checks and what they may take
	for _, f := range c.plan.faults {
		if began := c.start.Add(f.at); !r.to.Before(began) && r.from.Before(began.Add(f.lasts+settled)) {
			return false
		}
	}
	for _, at := range c.elections[r.db] {
		if !r.to.Before(at) && r.from.Before(at.Add(settled)) {
			return false
		}
	}
	return true
}

// byTime tells whether reads over HTTP see what their user wrote, and not what it saw: where no bookmark can say that, time stands for writes.
func (c *checker) byTime() bool {
	return c.plan.noBookmarks() && c.plan.causality != proxy.CausalityCluster
}

// shown is the transaction that an attempt's client knows to be there: of its bookmark, or of its write that is there although nobody
// could say so.
func (c *checker) shown(w *attempt) int64 {
	if w.web && !w.writes { // what an answer over HTTP showed is learned from short ones only
		return 0
	}
	if w.outcome == done && w.tx > 0 {
		return w.tx
	}
	if w.web && w.outcome == done && !w.rolls { // its answer names none before 5.0
		return c.place[w.statementMarks()[0]].tx
	}
	if w.writes && w.outcome == failed && w.code == bolt.CodeCommitFailed {
		if p, ok := c.place[w.statementMarks()[0]]; ok && c.entryTime(p).Before(c.givenUp(w)) {
			return p.tx
		}
	}
	return 0
}

// givenUp is when a gate saw an attempt's last connection end: what was still on its way to the member then may be committed later, and no read can
// be held to it. Without such an end it is when the client was told.
func (c *checker) givenUp(w *attempt) time.Time {
	tries := c.deliveries[w.mark]
	if n := len(tries); n > 0 && tries[n-1].ended {
		return tries[n-1].endedAt
	}
	return w.to
}

func (c *checker) entryTime(p position) time.Time {
	for _, e := range c.logs[p.db] {
		if e.Tx == p.tx {
			return e.At
		}
	}
	return time.Time{}
}
