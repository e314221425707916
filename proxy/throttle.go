package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// throttle slows log-ons from addresses that were refused: 100 ms after the first refusal, doubled each time up to
// 5 s, forgiven by a good log-on or a minute without a bad one.
type throttle struct {
	mu      sync.Mutex
	refused map[string]*refusals
}

type refusals struct {
	n    int
	last time.Time
}

const (
	firstDelay    = 100 * time.Millisecond
	longestDelay  = 5 * time.Second
	longestTurn   = 2 * longestDelay
	forgivenAfter = time.Minute
	maxAddresses  = 10000 // more refused addresses than this and the table starts anew
)

func newThrottle() *throttle { return &throttle{refused: map[string]*refusals{}} }

// wait holds a log-on from address for as long as it has earned.
func (t *throttle) wait(ctx context.Context, address string) error {
	d := t.delay(host(address))
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errClosed
	}
}

func (t *throttle) delay(host string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.refused[host]
	if r == nil {
		return 0
	}
	if time.Since(r.last) > forgivenAfter {
		delete(t.refused, host)
		return 0
	}
	return min(firstDelay<<min(r.n-1, 10), longestDelay)
}

// errTooMany says that others from the same address keep failing, so that the turn of this log-on does not come.
var errTooMany = errors.New("proxy: too many failed log-ons from this address")

// turn is wait for passwords that the gate verifies itself, which costs a guesser nothing: each guess puts off whoever waits
// already, so that those made at once come one after the other. errTooMany after longestTurn.
func (t *throttle) turn(ctx context.Context, address string) error {
	for begun := time.Now(); ; {
		left := t.claim(host(address))
		switch {
		case left <= 0:
			return nil
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
func (t *throttle) claim(host string) time.Duration {
	d := t.delay(host)
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.refused[host]
	if r == nil || d == 0 {
		return 0
	}
	left := d - time.Since(r.last)
	if left <= 0 {
		r.last = time.Now()
	}
	return left
}

func (t *throttle) bad(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.refused) >= maxAddresses {
		clear(t.refused)
	}
	h := host(address)
	r := t.refused[h]
	if r == nil {
		r = new(refusals)
		t.refused[h] = r
	}
	r.n++
	r.last = time.Now()
}

func (t *throttle) good(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.refused, host(address))
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
