package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/internal/line"
	"github.com/boltgate/boltgate/internal/mutant"
)

// staleAfter is how long a Bolt connection may lie idle and still be lent unasked; an older one answers a RESET first.
const staleAfter = 30 * time.Second

// memberPool is one member's connections, its slots and its line.
type memberPool struct {
	set    *Set
	member atomic.Pointer[cluster.Member] // changed under mu

	mu       sync.Mutex // guards all below; held for look-ups only, never over I/O
	now      time.Time  // as of the last sweep: near enough for limits of many seconds
	retired  bool
	open     int // Bolt connections, those being dialled included
	inFlight int // slots taken, of both protocols
	lent     int64
	bolt     int // Bolt connections in a slot, or kept by their session without one
	kept     map[*Lease]struct{}
	idle     map[unique.Handle[Key]]*Lease
	oldest   *Lease // of all idle, the one that came back first; doubly linked towards newest
	newest   *Lease
	idleN    int
	line     []*waiter // who waits for a slot, in order
	latency  latency
	counted  Counters
}

// waiter is somebody in line; granted is closed when a slot is theirs.
type waiter struct {
	granted  chan struct{}
	id       *Identity
	priority int
	bound    bool // to this member: another would not do
	ok       bool // guarded by the pool's mu
	moved    bool // guarded by the pool's mu: sent away by Disperse
	pushed   bool // guarded by the pool's mu: somebody of a higher priority took the line's last place
}

// Priority is how far in front it stands.
func (w *waiter) Priority() int { return w.priority }

func newMemberPool(s *Set, m *cluster.Member) *memberPool {
	p := &memberPool{set: s, now: time.Now(), idle: map[unique.Handle[Key]]*Lease{}, kept: map[*Lease]struct{}{}}
	p.member.Store(m)
	return p
}

// retarget points the pool at a member of the same name with another address: idle connections go.
func (p *memberPool) retarget(m *cluster.Member) {
	p.mu.Lock()
	old := p.member.Swap(m)
	moved := old.Bolt != m.Bolt || old.HTTP != m.HTTP
	p.grant() // it may take more at once now
	p.mu.Unlock()
	if moved {
		p.dropIdle(func(*Lease) bool { return true })
		p.loseKept(func(*Lease) bool { return true })
	}
}

func (p *memberPool) retire() {
	p.mu.Lock()
	p.retired = true
	line := p.line
	p.line = nil
	p.mu.Unlock()
	for _, w := range line {
		close(w.granted)
	}
	p.dropIdle(func(*Lease) bool { return true })
	p.loseKept(func(*Lease) bool { return true })
}

// slots is how many units of work the member takes at once.
func (p *memberPool) slots() int {
	if n := p.member.Load().MaxInFlight; n > 0 {
		return n
	}
	return p.set.options.Load().MaxPerMember
}

// tryTake is the quick way to a lease: a free slot, nobody in line, a fresh idle connection.
func (p *memberPool) tryTake(id *Identity) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.free(id) || len(p.line) > 0 || p.retired {
		return nil
	}
	l := p.idle[id.Key]
	if mutant.Is(mutant.OthersLogin) && l == nil && p.oldest != nil && p.oldest.id.shape == id.shape {
		l = p.oldest
	}
	if l == nil {
		return nil
	}
	if p.now.Sub(l.idleSince) > staleAfter || p.now.Sub(l.born) > p.set.options.Load().MaxLifetime {
		return nil
	}
	p.unlink(l)
	l.Member, l.Connecting = p.member.Load(), 0
	p.take(id)
	return l
}

// free tells whether a slot can be had for id: of the member's, and for Bolt also of the connections that it may have. The
// caller holds mu.
func (p *memberPool) free(id *Identity) bool {
	return p.inFlight < p.slots() && (id == HTTP || p.bolt < p.set.options.Load().MaxPerMember)
}

// take takes a slot for id. The caller holds mu.
func (p *memberPool) take(id *Identity) {
	p.inFlight++
	p.lent++
	if id != HTTP {
		p.bolt++
	}
}

// acquire waits for a slot, then finds or makes a connection.
func (p *memberPool) acquire(ctx context.Context, id *Identity, fresh bool, turn Turn) (*Lease, error) {
	if err := p.waitForSlot(ctx, id, turn); err != nil {
		return nil, err
	}
	began := time.Now()
	l, err := p.connect(ctx, id, fresh)
	if err != nil {
		p.freeSlot(id)
		return nil, err
	}
	l.Connecting = time.Since(began)
	return l, nil
}

func (p *memberPool) waitForSlot(ctx context.Context, id *Identity, turn Turn) error {
	inLine := turn.InLine
	if inLine == nil {
		inLine = func() {}
	}
	p.mu.Lock()
	switch {
	case p.retired:
		p.mu.Unlock()
		return ErrClosed
	case p.free(id) && len(p.line) == 0:
		p.take(id)
		p.mu.Unlock()
		inLine()
		return nil
	}
	w := &waiter{granted: make(chan struct{}), id: id, priority: turn.Priority, bound: turn.bound}
	if !p.stand(w) {
		p.mu.Unlock()
		return errLine
	}
	p.grant() // those before may wait for a Bolt connection, and this one not
	starves := len(p.kept) > 0 && !w.ok
	p.mu.Unlock()
	inLine()
	if starves {
		p.sweepKept(time.Now(), p.set.options.Load())
	}
	select {
	case <-w.granted:
	case <-ctx.Done():
		p.leaveLine(w)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.ok && ctx.Err() == nil:
		return nil
	case w.ok: // granted while leaving: pass it on
		p.handOn(id)
		return context.Cause(ctx)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case w.moved:
		return ErrMoved
	case w.pushed:
		return errLine
	}
	return ErrClosed
}

// stand puts w in line where its priority belongs; false: there is no room. The caller holds mu.
func (p *memberPool) stand(w *waiter) bool {
	with, pushed, hasPushed, ok := line.Stand(p.line, w, p.set.options.Load().MaxQueue)
	if hasPushed {
		pushed.pushed = true
		close(pushed.granted)
	}
	p.line = with
	return ok
}

// disperse sends away those in line who may go to another member.
func (p *memberPool) disperse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = slices.DeleteFunc(p.line, func(w *waiter) bool {
		if !w.bound {
			w.moved = true
			close(w.granted)
		}
		return !w.bound
	})
}

func (p *memberPool) leaveLine(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, have := range p.line {
		if have == w {
			p.line = append(p.line[:i], p.line[i+1:]...)
			return
		}
	}
}

func (p *memberPool) freeSlot(id *Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handOn(id)
}

// handOn gives a slot that id had to the first in line who can use it. The caller holds mu.
func (p *memberPool) handOn(id *Identity) {
	p.inFlight--
	if id != HTTP {
		p.bolt--
	}
	p.grant()
}

// grant gives the slots that are free to those in line, in order; HTTP passes those who wait for a Bolt connection. The
// caller holds mu.
func (p *memberPool) grant() {
	for i := 0; i < len(p.line) && p.inFlight < p.slots(); {
		w := p.line[i]
		switch {
		case !p.free(w.id):
			i++
			continue
		case i == 0:
			p.line = p.line[1:]
		default:
			p.line = slices.Delete(p.line, i, i+1)
		}
		p.take(w.id)
		w.ok = true
		close(w.granted)
	}
}

// link puts l where its idleSince belongs: at the newest end of the idle list and on top of its key's stack, but for one
// that was set aside. The caller holds mu.
func (p *memberPool) link(l *Lease) {
	after := p.newest
	for after != nil && after.idleSince.After(l.idleSince) {
		after = after.prev
	}
	l.prev, l.next = after, p.oldest
	if after != nil {
		l.next = after.next
		after.next = l
	} else {
		p.oldest = l
	}
	if l.next != nil {
		l.next.prev = l
	} else {
		p.newest = l
	}
	p.push(l)
	p.idleN++
	l.idle = true
}

func (p *memberPool) push(l *Lease) {
	top := p.idle[l.id.Key]
	if top == nil || !top.idleSince.After(l.idleSince) {
		l.under = top
		p.idle[l.id.Key] = l
		return
	}
	for top.under != nil && top.under.idleSince.After(l.idleSince) {
		top = top.under
	}
	l.under, top.under = top.under, l
}

// unlink takes l out of the idle list and its stack. The caller holds mu.
func (p *memberPool) unlink(l *Lease) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		p.oldest = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		p.newest = l.prev
	}
	if top := p.idle[l.id.Key]; top == l {
		if l.under == nil {
			delete(p.idle, l.id.Key)
		} else {
			p.idle[l.id.Key] = l.under
		}
	} else {
		for top.under != l {
			top = top.under
		}
		top.under = l.under
	}
	l.prev, l.next, l.under = nil, nil, nil
	p.idleN--
	l.idle = false
}

// giveBack ends a lease: a clean connection is idle again, since the time given, or not when it should not be lent any more.
func (p *memberPool) giveBack(l *Lease, clean bool, since time.Time) (kept bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(l, clean, since)
	kept = clean && !p.retired && !l.id.single && l.sameTarget(p.member.Load())
	if kept {
		l.idleSince = since
		p.link(l)
	} else if l.id != HTTP {
		p.open--
	}
	p.handOn(l.id)
	return kept
}

// dropIdle closes the idle connections that which names.
func (p *memberPool) dropIdle(which func(*Lease) bool) {
	p.mu.Lock()
	var gone []*Lease
	for l := p.oldest; l != nil; {
		next := l.next
		if which(l) {
			p.unlink(l)
			if l.id != HTTP {
				p.open--
			}
			gone = append(gone, l)
		}
		l = next
	}
	p.mu.Unlock()
	for _, l := range gone {
		l.close()
	}
}

// sweep closes what lay idle too long, is too old, or was closed from the other side.
func (p *memberPool) sweep(now time.Time) {
	o := p.set.options.Load()
	p.mu.Lock()
	p.now = now
	p.mu.Unlock()
	p.dropIdle(func(l *Lease) bool {
		limit := o.IdleTimeout
		if l.id == HTTP {
			limit = o.HTTPIdle
		}
		return now.Sub(l.idleSince) > limit || now.Sub(l.born) > o.MaxLifetime || l.Link.Raw() && l.Link.Quiet() != nil
	})
	p.sweepKept(now, o)
	p.lookAside()
}

// lookAside looks at the idle connections where that may take a moment (TLS), so not under mu: each is taken out of the
// list meanwhile, on a slot of its own, for the pool counts on every open connection being idle or in a slot. When all
// slots are taken it gives up: a connection is looked at again when it is lent.
func (p *memberPool) lookAside() {
	p.mu.Lock()
	var slow []*Lease
	for l := p.oldest; l != nil; l = l.next {
		if !l.Link.Raw() {
			slow = append(slow, l)
		}
	}
	p.mu.Unlock()
	for _, l := range slow {
		if p.setAside(l) {
			l.putBack(l.Link.Quiet() == nil)
		}
	}
}

// setAside takes l out of the idle list, if it is there still and a slot is free.
func (p *memberPool) setAside(l *Lease) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.idle || !p.free(l.id) {
		return false
	}
	p.unlink(l)
	p.take(l.id)
	return true
}

func (p *memberPool) load() cluster.Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cluster.Load{InFlight: p.inFlight + len(p.line), Latency: p.latency.of(p.now)}
}

func (p *memberPool) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Open: p.open, Idle: p.idleN, InFlight: p.inFlight, Queued: len(p.line)}
}
