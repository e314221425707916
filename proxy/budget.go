package proxy

import (
	"errors"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns failover.retry_budget: second tries are a share of the work that a member gets, so that a member in trouble makes clients
// wait or fail, and never brings more load to the others than there was.

const (
	budgetWindow  = 10 * time.Second // over which the share is counted
	budgetReserve = 100              // tries in a window that are free, for members that get little work: as many as are in flight there by default
)

var errBudget = errors.New("proxy: failover.retry_budget is spent")

// retryBudget is what one member's failures may cost: tokens, of which each unit of work that the member gets adds a share of one, up to what
// about a window's work adds, and a second try takes one. It is touched by second tries alone; how much work there was it asks then.
type retryBudget struct {
	mu     sync.Mutex // guards all below
	tokens float64
	at     time.Time // when it was last looked at; zero: never
	lent   int64     // how many leases the member had had then
	mark   time.Time // when the present stretch began by which the rate is known, and
	marked int64     // lent then
	rate   float64   // leases in a window, as of the last stretch
}

// spend takes a token. lent is how many leases the member has had so far, share what each of them adds; with no share there are no tries.
func (b *retryBudget) spend(now time.Time, lent int64, share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now, lent, share)
	if share <= 0 || b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// fill adds what has come up since the last look. The caller holds mu.
func (b *retryBudget) fill(now time.Time, lent int64, share float64) {
	if b.at.IsZero() {
		b.tokens, b.rate = budgetReserve+share*float64(lent), float64(lent)
		b.mark, b.marked = now, lent
	} else {
		b.tokens += share*float64(lent-b.lent) + budgetReserve*windows(now.Sub(b.at))
	}
	if gone := windows(now.Sub(b.mark)); gone >= 1 {
		b.rate = float64(lent-b.marked) / gone
		b.mark, b.marked = now, lent
	}
	b.at, b.lent = now, lent
	b.tokens = min(b.tokens, budgetReserve+share*max(b.rate, float64(lent-b.marked)))
}

func windows(d time.Duration) float64 { return float64(d) / float64(budgetWindow) }

// mayRetry tells whether a failure of the member may cost one more try, takes that from its budget, and counts either way.
func (s *Server) mayRetry(m *cluster.Member, now time.Time, why resent) bool {
	b, ok := s.budgets.Load(m.Name)
	if !ok {
		b, _ = s.budgets.LoadOrStore(m.Name, new(retryBudget))
	}
	if !b.(*retryBudget).spend(now, s.pools.Lent(m.Name), s.options.Load().RetryBudget) {
		s.counts.turn(errBudget)
		return false
	}
	s.counts.again(why)
	return true
}
