package proxy

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// throttle slows log-ons from addresses that were refused: 100 ms after the first refusal, doubled each time up to
// 5 s, forgiven by a good log-on or a minute without a bad one. Addresses are told apart as rates tell them (addressKey); all
// unix sockets are one.
type throttle struct {
	counts *counters   // nil: nothing is counted
	busy   atomic.Bool // whether there are any: requests look at nothing else while there are none

	mu      sync.Mutex
	refused map[uint64]*list.Element // guarded by mu: of *refusals, by address
	order   list.List                // guarded by mu: the same, who was refused last first
}

type refusals struct {
	address uint64
	n       int
	last    time.Time // of the last refusal, or of the last turn that was taken
}

const (
	firstDelay    = 100 * time.Millisecond
	longestDelay  = 5 * time.Second
	longestTurn   = 2 * longestDelay
	forgivenAfter = time.Minute
	maxAddresses  = 10000 // of more the one that was refused longest ago is forgiven
)

func newThrottle() *throttle { return &throttle{refused: map[uint64]*list.Element{}} }

// wait holds a log-on from address for as long as it has earned.
func (t *throttle) wait(ctx context.Context, address string) error {
	d := t.delay(address)
	if d == 0 {
		return nil
	}
	t.count()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errClosed
	}
}

// count counts a log-on that waits.
func (t *throttle) count() {
	if t.counts != nil {
		t.counts.limit(limitedLogin)
	}
}

func (t *throttle) delay(address string) time.Duration {
	if !t.busy.Load() {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(address)
	if r == nil {
		return 0
	}
	return r.delay()
}

func (r *refusals) delay() time.Duration { return min(firstDelay<<min(r.n-1, 10), longestDelay) }

// of is what is held against address; nil when nothing is, any more. The caller holds mu.
func (t *throttle) of(address string) *refusals {
	e := t.refused[addressKey(address)]
	if e == nil {
		return nil
	}
	r := e.Value.(*refusals)
	if time.Since(r.last) > forgivenAfter {
		t.forgive(e)
		return nil
	}
	return r
}

// forgive forgets an address. The caller holds mu.
func (t *throttle) forgive(e *list.Element) {
	delete(t.refused, t.order.Remove(e).(*refusals).address)
	t.busy.Store(len(t.refused) > 0)
}

// errTooMany says that others from the same address keep failing, so that the turn of this log-on does not come.
var errTooMany = errors.New("proxy: too many failed log-ons from this address")

// turn is wait for passwords that the gate verifies itself, which costs a guesser nothing: each guess puts off whoever waits
// already, so that those made at once come one after the other. errTooMany after longestTurn.
func (t *throttle) turn(ctx context.Context, address string) error {
	slowed := false
	for begun := time.Now(); ; {
		left := t.claim(address)
		switch {
		case left <= 0:
			return nil
		case !slowed:
			slowed = true
			t.count()
		}
		switch {
		case time.Since(begun)+left > longestTurn:
			return errTooMany
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return errClosed
		}
	}
}

// claim takes the address's turn, if that has come; else it tells in how long to ask again.
func (t *throttle) claim(address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(address)
	if r == nil {
		return 0
	}
	left := r.delay() - time.Since(r.last)
	if left <= 0 {
		r.last = time.Now()
	}
	return left
}

func (t *throttle) bad(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy.Store(true)
	key := addressKey(address)
	e := t.refused[key]
	if e == nil {
		t.makeRoom()
		e = t.order.PushFront(&refusals{address: key})
		t.refused[key] = e
	}
	t.order.MoveToFront(e)
	r := e.Value.(*refusals)
	r.n++
	r.last = time.Now()
}

// makeRoom forgets who is forgiven anyway, and whoever was refused longest ago when the table is full. The caller holds mu.
func (t *throttle) makeRoom() {
	for e := t.order.Back(); e != nil; e = t.order.Back() {
		if len(t.refused) < maxAddresses && time.Since(e.Value.(*refusals).last) <= forgivenAfter {
			return
		}
		delete(t.refused, t.order.Remove(e).(*refusals).address)
	}
}

func (t *throttle) good(address string) {
	if !t.busy.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.refused[addressKey(address)]; e != nil {
		t.forgive(e)
	}
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
