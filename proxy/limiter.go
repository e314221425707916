package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/boltgate/boltgate/pool"
)

var errLogOns = fmt.Errorf("%w: failover.max_held log-ons wait for auth.max_in_flight", pool.ErrFull)

// limiter lets a number of holders in at once, the others in order, and its limit may change meanwhile.
type limiter struct {
	mu    sync.Mutex
	limit int             // guarded by mu
	room  int             // guarded by mu: how many may wait; 0 any number
	held  int             // guarded by mu; more than limit only after it was lowered
	line  []chan struct{} // guarded by mu: who waits; closed when let in
}

// enter waits until there is room or ctx ends, whose cause it then returns. Who entered has to leave. inLine is called when the
// place in line is taken, or none was needed. When the line is full the error is at once errLogOns.
func (l *limiter) enter(ctx context.Context, inLine func()) error {
	l.mu.Lock()
	if l.held < l.limit && len(l.line) == 0 {
		l.held++
		l.mu.Unlock()
		inLine()
		return nil
	}
	if l.room > 0 && len(l.line) >= l.room {
		l.mu.Unlock()
		inLine()
		return errLogOns
	}
	in := make(chan struct{})
	l.line = append(l.line, in)
	l.mu.Unlock()
	inLine()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.line, in); i >= 0 {
		l.line = slices.Delete(l.line, i, i+1)
	} else { // let in at the same moment: the next one is
		l.held--
		l.admit()
	}
	return context.Cause(ctx)
}

func (l *limiter) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
	l.admit()
}

// bound changes how many may wait; who waits stays.
func (l *limiter) bound(room int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room = room
}

// resize changes the limit. Holders stay; those in line come in where there is room now.
func (l *limiter) resize(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	l.admit()
}

// admit lets in those for whom there is room. The caller holds mu.
func (l *limiter) admit() {
	for l.held < l.limit && len(l.line) > 0 {
		close(l.line[0])
		l.line = slices.Delete(l.line, 0, 1)
		l.held++
	}
}
