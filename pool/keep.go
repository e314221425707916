package pool

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// This file owns connections that stay with one session between its units of work, for their credential is good for one
// log-on (kerberos, custom). A kept connection is open and counts in MaxPerMember, takes no slot of the member, and is lent
// to nobody else.

// ErrLost says that a kept connection is closed: by the member, or because the member left the configuration or moved.
var ErrLost = errors.New("pool: the connection that the session kept is closed")

// Keep ends a unit of work of a Bolt lease whose connection stays with its holder: every answer was read and the member is
// READY. The slot goes to the next in line. Then only Resume, TryResume and Release may be called.
func (l *Lease) Keep() {
	p := l.pool
	p.mu.Lock()
	l.Fresh, l.kept, l.idleSince = false, true, time.Now()
	lost := p.retired || !l.sameTarget(p.member.Load())
	if l.lost = lost; !lost {
		p.kept[l] = struct{}{}
	}
	p.handOn(HTTP) // the slot alone: the connection stays taken
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
	if err := p.waitForSlot(ctx, HTTP); errors.Is(err, ErrClosed) {
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
	l.kept, l.Member = false, l.pool.member.Load()
}

// letGo is Release of a kept connection: it has no slot to give back.
func (l *Lease) letGo() {
	p := l.pool
	p.mu.Lock()
	delete(p.kept, l)
	lost := l.lost
	p.open--
	p.bolt--
	p.grant()
	p.mu.Unlock()
	if !lost {
		l.close()
	}
}

// loseKept closes all kept connections: they lead nowhere any more.
func (p *memberPool) loseKept() {
	p.mu.Lock()
	gone := make([]*Lease, 0, len(p.kept))
	for l := range p.kept {
		l.lost = true
		gone = append(gone, l)
	}
	clear(p.kept)
	p.mu.Unlock()
	for _, l := range gone {
		l.close()
	}
}
