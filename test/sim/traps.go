package sim

import (
	"math/rand/v2"
	"time"
)

// This file owns traps: what befalls a unit of work at a chosen request on its way to a member.

// trap sets, for one attempt in five, what befalls it at a request of one of the kinds in tags: a cut at a byte of the request, or of the next
// bytes of the answers, a crash, another leader.
func (w *world) trap(a *attempt, r *rand.Rand, tags []byte, answer int) {
	if r.IntN(100) >= 20 {
		return
	}
	t := &trap{tag: tags[r.IntN(len(tags))]}
	bytes, delay := r.IntN(answer), between(r, 0, 8*time.Millisecond)
	later := func(c *wire, do func()) {
		time.AfterFunc(delay, func() { w.history.note("%s is trapped at %s", a.mark, c.member); do() })
	}
	kinds := 6
	if w.plan.split {
		kinds = 4 // members live, and leaders change by partitions alone
	}
	kind := r.IntN(kinds)
	if w.plan.garbage && kind == 3 {
		kind = -1
	}
	switch kind {
	case -1:
		junk := rand.New(rand.NewPCG(uint64(bytes), uint64(delay)))
		t.spoil = func(c *wire, _, _ int) { c.bad.spoil(bytes, int(delay.Milliseconds())*80, junk) }
	case 0, 1:
		t.spoil = func(c *wire, at, size int) { c.cutRequest(at, size, bytes) }
	case 2, 3:
		t.spoil = func(c *wire, _, _ int) { c.cutAnswer(bytes) }
	case 4:
		t.spoil = func(c *wire, _, _ int) {
			later(c, func() {
				w.kill(c.member)
				time.AfterFunc(time.Second+100*delay, func() { w.restart(c.member) })
			})
		}
	default:
		t.spoil = func(c *wire, _, _ int) { later(c, func() { w.move(a.db, c.member) }) }
	}
	w.taps.set(a.mark, t)
}
