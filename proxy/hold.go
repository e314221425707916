package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the line of work that waits for a leader, or for any member at all (failover.hold): who stands in it, how much of it
// there may be, and that it goes on in the order in which it came.

// retryAfter is how long held work waits before members that could not be connected are tried again, when no new View came meanwhile.
const retryAfter = 250 * time.Millisecond

// holdLine is that line, one for all protocols. When a new View comes an usher lets those in line look at it, one after the other: the next
// one looks when the one before stands in its member's line, or found none. The zero value is empty.
type holdLine struct {
	units   atomic.Int64
	bytes   atomic.Int64
	tickets atomic.Uint64
	asked   atomic.Pointer[cluster.View] // the View that everyone in line has looked at; stored with mu held

	mu          sync.Mutex // guards all below
	first, last *heldPlace // by ticket
	rounds      uint64
	ushered     bool // an usher runs
}

// heldPlace is a unit of work's place in the line. It keeps it from its first wait until it leaves: a look at a new View is no reason to
// give it up, and a unit that a member refused comes back to it by its ticket. All fields but those that say otherwise are its holder's.
type heldPlace struct {
	line   *holdLine
	ticket uint64
	size   int64
	taken  bool          // it is in line
	full   bool          // it found no place there: if a member is there it goes on without one
	turned bool          // it has its turn
	turn   chan struct{} // one token: look at view
	view   *cluster.View // of the turn; written by the usher before it gives the turn
	looked chan struct{} // one token: the next one's turn

	prev, next *heldPlace // guarded by the line's mu
	waiting    bool       // guarded by the line's mu: for its turn
	round      uint64     // guarded by the line's mu: in which it had its last turn
}

// place is a place for one unit of work, not in line yet. Its ticket is the unit's, given when it first had to wait for something.
func (h *holdLine) place(ticket *uint64) heldPlace {
	if *ticket == 0 {
		*ticket = h.tickets.Add(1)
	}
	return heldPlace{line: h, ticket: *ticket}
}

// mayPass tells whether work that a member can be found for need not get in line: nobody is, or all who are have looked at this View.
func (h *holdLine) mayPass(view *cluster.View) bool {
	return h.units.Load() == 0 || h.asked.Load() == view
}

// mayGo tells whether a member may be asked now. Writes and log-ons do not pass those who wait, and have not looked at the View yet.
func (p *heldPlace) mayGo(view *cluster.View, inOrder bool) bool {
	return p.taken || p.full || !inOrder || p.line.mayPass(view)
}

// await is enter and wait.
func (p *heldPlace) await(ctx context.Context, s *Server, view *cluster.View, size int64) error {
	if err := p.enter(s, view, size); err != nil {
		p.full = true
		return err
	}
	return p.wait(ctx, view)
}

// enter gets in line with a unit of size bytes, once. view is the one that it has looked at. errHeldFull is wrapped when there are too many:
// the newest is the one that is told, and at once.
func (p *heldPlace) enter(s *Server, view *cluster.View, size int64) error {
	if p.taken {
		return nil
	}
	h, o := p.line, s.options.Load()
	units, bytes := h.units.Add(1), h.bytes.Add(size)
	if units > int64(o.MaxHeld) || bytes > o.MaxHeldBytes {
		h.units.Add(-1)
		h.bytes.Add(-size)
		if units > int64(o.MaxHeld) {
			return errHeldUnits
		}
		return errHeldBytes
	}
	p.size, p.taken = size, true
	p.turn, p.looked = make(chan struct{}, 1), make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.insert(p)
	if !h.ushered {
		h.ushered = true
		h.asked.Store(view)
		s.conns.Go(func() { h.usher(s.current) })
	}
	return nil
}

// insert puts p where its ticket belongs. The caller holds mu.
func (h *holdLine) insert(p *heldPlace) {
	after := h.last
	for after != nil && after.ticket > p.ticket {
		after = after.prev
	}
	p.prev, p.next = after, h.first
	if after != nil {
		p.next, after.next = after.next, p
	} else {
		h.first = p
	}
	if p.next != nil {
		p.next.prev = p
	} else {
		h.last = p
	}
}

// remove takes p out. The caller holds mu. p keeps next: an usher may stand there.
func (h *holdLine) remove(p *heldPlace) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		h.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		h.last = p.prev
	}
}

// wait waits for p's turn to look at a View; view is the last one that it looked at. The error is ctx's cause.
func (p *heldPlace) wait(ctx context.Context, view *cluster.View) error {
	p.passed()
	h := p.line
	h.mu.Lock()
	if replaced(view) && !replaced(h.asked.Load()) { // the others have looked at the next one while p came
		h.mu.Unlock()
		return nil
	}
	p.waiting = true
	h.mu.Unlock()
	select {
	case <-p.turn:
		p.turned = true
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	p.turned = !p.waiting // its turn came at the same moment: the next one is not kept waiting
	p.waiting = false
	h.mu.Unlock()
	p.passed()
	return context.Cause(ctx)
}

func replaced(v *cluster.View) bool {
	select {
	case <-v.Replaced():
		return true
	default:
		return false
	}
}

// look is the View to look at: in a turn that of everyone's turn. A newer one is for the next round, in which those are asked first who
// have had their turn in this one.
func (p *heldPlace) look(current *cluster.Current) *cluster.View {
	if p.turned {
		return p.view
	}
	return current.View()
}

// passed ends p's turn, if it has one: it stands in a member's line, or has found no member.
func (p *heldPlace) passed() {
	if p.turned {
		p.turned = false
		p.looked <- struct{}{}
	}
}

// leave frees the place, if there is one.
func (p *heldPlace) leave() {
	if !p.taken {
		return
	}
	p.taken = false
	p.passed()
	h := p.line
	h.mu.Lock()
	h.remove(p)
	h.mu.Unlock()
	h.units.Add(-1)
	h.bytes.Add(-p.size)
}

// usher gives turns, a round for each View and for each moment without one, until nobody is in line.
func (h *holdLine) usher(current *cluster.Current) {
	for view := h.asked.Load(); ; {
		again := time.NewTimer(retryAfter)
		select {
		case <-view.Replaced():
		case <-again.C:
		}
		again.Stop()
		view = current.View()
		if !h.round(view) {
			return
		}
	}
}

// round gives everyone who waits a turn, in order, those who come meanwhile included. It is false when nobody is left in line.
func (h *holdLine) round(view *cluster.View) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds++
	for p := h.due(h.first); p != nil; {
		p.waiting, p.round, p.view = false, h.rounds, view
		p.turn <- struct{}{}
		h.mu.Unlock()
		<-p.looked
		h.mu.Lock()
		if p = h.due(p.next); p == nil { // somebody may have got in line behind one who left
			p = h.due(h.first)
		}
	}
	h.asked.Store(view)
	h.ushered = h.first != nil
	return h.ushered
}

// due is the first from p on who waits and has had no turn in this round. The caller holds mu.
func (h *holdLine) due(p *heldPlace) *heldPlace {
	for p != nil && (!p.waiting || p.round == h.rounds) {
		p = p.next
	}
	return p
}
