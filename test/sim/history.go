package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/standin"
)

// outcome is how a unit of work ended for its client.
type outcome uint8

const (
	hung    outcome = iota // no end came in time
	done                   // all of it was answered with SUCCESS
	failed                 // FAILURE
	ignored                // IGNORED, for a RESET or for what failed before it
	broken                 // the connection ended
	left                   // the client went away itself
)

func (o outcome) String() string {
	return [...]string{"hung", "done", "failed", "ignored", "broken", "left"}[o]
}

// attempt is one unit of work, tried once.
type attempt struct {
	mark     string // that nobody else has; statements of a transaction add ".1", ".2", …
	session  string
	gate     *gate // that it went through; of a transaction over HTTP the last
	user, db string

	web               bool // over HTTP
	writes, explicit  bool
	rolls             bool // ends with ROLLBACK
	selfCommitting    bool
	declared          bool          // mode "r"
	bookmark          int64         // the transaction that its bookmark names; 0 none
	rows              int           // that each statement should return
	statements        int           // that it has
	interrupted, left bool          // the client sent RESET, or went away, in its middle
	expected          int           // records that its statements return, all in all
	asBookmark        string        // what it sends
	behind            *attempt      // that it was pipelined behind; nil
	patience          time.Duration // what a member takes for it, and its client does not wait

	begin, end int // places in the history; end 0: never
	from, to   time.Time
	outcome    outcome
	code, text string // of its FAILURE
	answers    int    // SUCCESSes that it got
	records    int
	partial    bool  // the connection broke inside a message
	applied    int64 // the oldest state that its rows show; -1 no row
	tx         int64 // the transaction that the bookmark of its answer names; 0 none
}

func (a *attempt) String() string {
	kind := "auto-commit read"
	switch {
	case a.selfCommitting:
		kind = "batch"
	case a.explicit && a.writes:
		kind = "transaction"
	case a.explicit:
		kind = "reading transaction"
	case a.writes:
		kind = "auto-commit write"
	}
	if a.declared {
		kind += " (declared)"
	}
	if a.web {
		kind += " over HTTP"
	}
	return fmt.Sprintf("%s: %s of %s on %s: %v %s after %v, %d answers, %d records", a.mark, kind, a.user, a.db, a.outcome, a.code, a.to.Sub(a.from), a.answers, a.records)
}

// took is how long the attempt lasted.
func (a *attempt) took() time.Duration { return a.to.Sub(a.from) }

// delivery is one try of a unit of work at a member, as a tap saw it.
type delivery struct {
	member   string
	plain    bool   // it was not sent as a read, so that the member would let it write
	opened   bool   // its first request left to the end
	partly   bool   // a part of a request left, and not its end
	decided  bool   // the request that decides left to the end: COMMIT, or the RUN of an auto-commit query
	answered string // to that request, read to its end: SUCCESS, IGNORED, or a code; "" no answer
	failed   string // the first FAILURE that was read: its code
	records  int
	ended    bool // the connection ended under it
	endedAt  time.Time
	garbled  bool // what came in place of its answer was garbage
}

func (d *delivery) String() string {
	return fmt.Sprintf("at %s opened=%v partly=%v decided=%v answered=%q failed=%q records=%d ended=%v", d.member, d.opened, d.partly, d.decided, d.answered, d.failed, d.records, d.ended)
}

// breakOff notes that the connection ended.
func (d *delivery) breakOff() { d.ended, d.endedAt = true, time.Now() }

// execution is one statement that a member ran.
type execution struct {
	member string
	at     time.Time
}

// History is what happened in one run.
type History struct {
	plan  *plan
	start time.Time

	mu         sync.Mutex
	places     int
	attempts   []*attempt
	deliveries map[string][]*delivery // by an attempt's mark
	executions map[string][]execution // by a statement's mark
	logs       map[string][]standin.Entry
	leaders    map[string]standin.Election // by database: the newest
	elections  map[string][]time.Time      // by database
	faults     []Violation                 // found while it ran
	notes      []string
}

// foundOut is how long the gate may take, in a split world, to find out who leads: three checks. The old leader claims for longer.
const foundOut = 3 * splitCheckEvery

func newHistory(p *plan) *History {
	return &History{plan: p, start: time.Now(), deliveries: map[string][]*delivery{}, executions: map[string][]execution{}, logs: map[string][]standin.Entry{}, leaders: map[string]standin.Election{}, elections: map[string][]time.Time{}}
}

// attemptOf is the mark of the attempt that a statement's mark, or a batch's, belongs to.
func attemptOf(mark string) string {
	if i := strings.IndexAny(mark, ".#"); i >= 0 {
		return mark[:i]
	}
	return mark
}

// begin is called before an attempt's first byte is sent.
func (h *History) begin(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places++
	a.begin, a.from, a.applied = h.places, time.Now(), -1
	h.attempts = append(h.attempts, a)
}

// finish is called when its client knows all that it will know.
func (h *History) finish(a *attempt, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.end != 0 {
		return
	}
	h.places++
	a.end, a.to, a.outcome = h.places, time.Now(), o
	h.noteLocked("%v", a)
}

// ran notes a statement at a member: standin's OnQuery.
func (h *History) ran(q standin.Query) {
	mark, ok := q.Mark.(string)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.executions[mark] = append(h.executions[mark], execution{member: q.Runs, at: time.Now()})
	h.noteLocked("%s runs at %s", mark, q.Runs)
	if e := h.leaders[q.DB]; h.plan.split && attemptOf(mark) == mark && q.Mode == "w" && !strings.HasPrefix(q.Text, "MATCH") && e.Leader != q.Member && time.Since(e.At) > foundOut {
		h.wrongLocked(ruleClaimant, attemptOf(mark), "%s came to %s %v after %s was elected", mark, q.Member, time.Since(e.At), e.Leader)
	}
}

// deliver notes that a unit of work is being sent to a member.
func (h *History) deliver(mark string, d *delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliveries[mark] = append(h.deliveries[mark], d)
	h.noteLocked("%s goes to %s", mark, d.member)
}

// garbled tells whether a member's answer to the attempt became garbage, part of which may have reached the client.
func (h *History) garbled(mark string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.deliveries[mark] {
		if d.garbled {
			return true
		}
	}
	return false
}

// note keeps a line for who reads what happened.
func (h *History) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(format, args...)
}

func (h *History) noteLocked(format string, args ...any) {
	h.notes = append(h.notes, fmt.Sprintf("%10.6f ", time.Since(h.start).Seconds())+fmt.Sprintf(format, args...))
}

// wrong notes a violation that was found while it happened.
func (h *History) wrong(rule, mark, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrongLocked(rule, mark, format, args...)
}

func (h *History) wrongLocked(rule, mark, format string, args ...any) {
	v := Violation{rule, mark, fmt.Sprintf(format, args...)}
	h.faults = append(h.faults, v)
	h.noteLocked("WRONG: %v", v)
}

// elected notes a change of leader: standin's OnElection.
func (h *History) elected(e standin.Election) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked("%s leads %s, term %d", e.Leader, e.DB, e.Term)
	h.leaders[e.DB] = e
	h.elections[e.DB] = append(h.elections[e.DB], e.At)
}

// take keeps what the members' logs hold.
func (h *History) take(c *standin.Cluster, databases []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, db := range databases {
		h.logs[db] = c.Log(db)
	}
}

// About is what happened to one attempt, and every fault and election.
func (h *History) About(mark string) string {
	var b strings.Builder
	for _, line := range h.notes {
		if strings.Contains(line, "fault") || strings.Contains(line, "leads") || strings.Contains(line+" ", " "+mark+" ") || strings.Contains(line, " "+mark+":") || strings.Contains(line, " "+mark+".") {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

// Trace is all that happened, a line each.
func (h *History) Trace() string { return strings.Join(h.notes, "\n") }
