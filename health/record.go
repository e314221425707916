package health

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the record of checks: what operators are shown of them. Nothing decides by it, and it is not in the View: it changes with every
// check, and a View that did would wake everything that waits for another one.

// Result is what came of a check.
type Result uint8

// Results.
const (
	NotChecked  Result = iota
	Passed             // the member answered, and was understood
	Connected          // method tcp: its port takes connections
	Unreachable        // no connection
	TimedOut           // no answer within Timeout
	Wrong              // an answer by which it does not serve, or that was not understood
)

// String is the result as the API names it.
func (r Result) String() string {
	return [...]string{"not checked", "passed", "connected", "unreachable", "timed out", "wrong"}[r]
}

// Checks is what the checks of one member came to, since it was listed at its addresses. The zero value: there was none.
type Checks struct {
	At     time.Time     // when the newest one ended
	Took   time.Duration // the newest one
	Result Result        // of the newest one
	Failed uint64        // those that failed while the member was up
	Falls  uint64        // how often it went down
	Down   time.Duration // how long it has been down, but for the time before it was up first; in maint nobody looks
}

// record has the Checks of all members. Its methods may be called from any goroutine.
type record struct {
	mu sync.Mutex
	of map[string]Checks // guarded by mu
}

// Checks is what the member's checks came to; the zero value for one that is not known.
func (m *Monitor) Checks(member string) Checks {
	m.record.mu.Lock()
	defer m.record.mu.Unlock()
	return m.record.of[member]
}

// note adds an answer of a member that was up, or not, before it, and is, or is not, after it.
func (r *record) note(a *answer, method string, was, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, now := r.of[a.member], time.Now()
	if !was && c.Falls > 0 && c.Result != NotChecked {
		c.Down += now.Sub(c.At)
	}
	if was && a.err != nil {
		c.Failed++
	}
	if was && !is {
		c.Falls++
	}
	c.At, c.Took, c.Result = now, now.Sub(a.started), resultOf(a.err, method)
	if r.of == nil {
		r.of = make(map[string]Checks)
	}
	r.of[a.member] = c
}

// rest says that nobody looks after the member for now.
func (r *record) rest(member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.of[member]; ok {
		c.Result = NotChecked
		r.of[member] = c
	}
}

// forget drops a member that is at another address than it was.
func (r *record) forget(member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, member)
}

// keep drops all members but these.
func (r *record) keep(members []*cluster.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.of, func(name string, _ Checks) bool {
		return !slices.ContainsFunc(members, func(m *cluster.Member) bool { return m.Name == name })
	})
}

func resultOf(err error, method string) Result {
	dial, _ := errors.AsType[*net.OpError](err)
	switch {
	case err == nil && method == MethodTCP:
		return Connected
	case err == nil:
		return Passed
	case isTimeout(err):
		return TimedOut
	case dial != nil && dial.Op == "dial":
		return Unreachable
	}
	return Wrong
}
