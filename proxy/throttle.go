package proxy

import (
	"context"
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
