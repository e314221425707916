package pool

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// This file owns connections that stay with one session between its units of work, for their credential is good for one
// log-on (kerberos, custom). A kept connection is open and counts in MaxPerMember, takes no slot of the member, and is lent
// to nobody else. Like others it is closed when it is older than MaxLifetime, and when work waits for a connection and all of
// MaxPerMember are taken: the one that lay idle longest goes. Its holder finds that out when it resumes.

// keepsFor is how long a kept connection is safe from those who wait: sessions that work do not take theirs from each other.
const keepsFor = 5 * time.Second

// ErrLost says that a kept connection is closed: by the member, because the member left the configuration or moved, or for its
// age or others' need.
var ErrLost = errors.New("pool: the connection that the session kept is closed")

// Keep ends a unit of work of a Bolt lease whose connection stays with its holder: every answer was read and the member is
// READY. The slot goes to the next in line. Then only Resume, TryResume and Release may be called.
func (l *Lease) Keep() {
	p := l.pool
	p.mu.Lock()
	l.Fresh, l.kept, l.idleSince = false, true, time.Now()
	lost := p.retired || !l.sameTarget(p.member.Load())
	p.count(l, true, l.idleSince)
	p.inFlight-- // the slot alone: the connection stays taken
	p.kept[l] = struct{}{}
	if lost {
		p.uncount(l)
	}
	p.grant()
	p.mu.Unlock()
	if lost {
		l.close()
	}
}

// TryResume begins another unit of work on a kept connection that was used within the last 30 s, when a slot is free and
// nobody waits. It does not wait.
func (l *Lease) TryResume() bool {
	p := l.pool
	p.mu.Lock()
	ok := p.free(HTTP) && len(p.line) == 0 && !l.lost && time.Since(l.idleSince) <= staleAfter
	if ok {
		p.take(HTTP)
		l.takeUp()
	}
	p.mu.Unlock()
	if ok && l.Link.Quiet() != nil {
		l.Keep() // Resume says what is wrong
		return false
	}
	return ok
}

// Resume is TryResume that waits in line for a slot until ctx ends, and for a connection that lay idle for longer to answer a
// RESET. Errors: context.Cause(ctx) and ErrFull, after which the connection is kept as before; ErrLost, after which Release is
// all that is left to do.
func (l *Lease) Resume(ctx context.Context) error {
	p := l.pool
	if err := p.waitForSlot(ctx, HTTP, Turn{bound: true}); errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	} else if err != nil {
		return err
	}
	p.mu.Lock()
	lost := l.lost
	if lost {
		p.handOn(HTTP)
	} else {
		l.takeUp()
	}
	p.mu.Unlock()
	if lost {
		return ErrLost
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.set.options.Load().ConnectTimeout, errConnectTimeout)
	defer cancel()
	if !l.answers(ctx) {
		return errors.Join(ErrLost, context.Cause(ctx))
	}
	return nil
}

// takeUp ends Keep: l has a slot again. The caller holds the pool's mu.
func (l *Lease) takeUp() {
	delete(l.pool.kept, l)
	l.kept, l.Member, l.Connecting = false, l.pool.member.Load(), 0
}

// letGo is Release of a kept connection: it has no slot to give back.
func (l *Lease) letGo() {
	p := l.pool
	p.mu.Lock()
	lost := l.lost
	if !lost {
		p.uncount(l)
		p.grant()
	}
	p.mu.Unlock()
	if !lost {
		l.close()
	}
}

// uncount takes a kept connection out of the books: it is about to be closed. The caller holds mu.
func (p *memberPool) uncount(l *Lease) {
	delete(p.kept, l)
	l.lost = true
	p.open--
	p.bolt--
}

// loseKept closes the kept connections that which names.
func (p *memberPool) loseKept(which func(*Lease) bool) {
	p.mu.Lock()
	var gone []*Lease
	for l := range p.kept {
		if which(l) {
			p.uncount(l)
			gone = append(gone, l)
		}
	}
	p.grant()
	p.mu.Unlock()
	for _, l := range gone {
		l.close()
	}
}

// sweepKept closes the kept connections that are too old, and as many more as work waits for, where that is what it lacks.
func (p *memberPool) sweepKept(now time.Time, o *Options) {
	p.loseKept(func(l *Lease) bool { return now.Sub(l.born) > o.MaxLifetime })
	p.mu.Lock()
	var gone []*Lease
	for range p.starved() {
		l := p.longestKept(now)
		if l == nil {
			break
		}
		p.uncount(l)
		gone = append(gone, l)
	}
	p.grant()
	p.mu.Unlock()
	for _, l := range gone {
		l.close()
	}
}

// starved is how much work has a slot but for a Bolt connection. The caller holds mu.
func (p *memberPool) starved() int {
	bolts := 0
	for _, w := range p.line {
		if w.id != HTTP {
			bolts++
		}
	}
	return min(bolts, p.slots()-p.inFlight)
}

// longestKept is the kept connection that lay idle longest, nil when all were used lately. The caller holds mu.
func (p *memberPool) longestKept(now time.Time) (longest *Lease) {
	for l := range p.kept {
		if now.Sub(l.idleSince) >= keepsFor && (longest == nil || l.idleSince.Before(longest.idleSince)) {
			longest = l
		}
	}
	return longest
}
