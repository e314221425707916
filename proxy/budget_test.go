package proxy

import (
	"testing"
	"time"
)

// spendAll tries n times within a moment and returns how many tries there were.
func spendAll(b *retryBudget, now time.Time, lent int64, share float64, n int) (got int) {
	for range n {
		if b.spend(now, lent, share) {
			got++
		}
	}
	return got
}

func TestTheRetryBudget(t *testing.T) {
	start := time.Unix(1e9, 0)
	for _, test := range []struct {
		name  string
		share float64
		lent  func(second int) int64 // leases that the member has had by then
		tries func(second int) int
		least int // second tries in a minute
		most  int
	}{
		{"a member without much work fails a few: they are free", 0.2, func(s int) int64 { return int64(s) }, func(s int) int { return 5 }, 300, 300},
		{"every unit of work fails", 0.2, func(s int) int64 { return int64(1000 * s) }, func(int) int { return 1000 }, 12_000, 13_000},
		{"they fail eight times over", 0.2, func(s int) int64 { return int64(1000 * s) }, func(int) int { return 8000 }, 12_000, 13_000},
		{"half may be tried again", 0.5, func(s int) int64 { return int64(1000 * s) }, func(int) int { return 1000 }, 30_000, 31_500},
		{"none may", 0, func(s int) int64 { return int64(1000 * s) }, func(int) int { return 1 }, 0, 0},
		{"one loss after a quiet minute: what is in flight goes elsewhere", 0.2, func(int) int64 { return 0 }, func(s int) int { return map[int]int{59: 100}[s] }, 100, 100},
		{"one loss after a busy minute: up to what a window's work adds", 0.2, func(s int) int64 { return int64(1000 * s) },
			func(s int) int { return map[int]int{1: 1, 59: 100_000}[s] }, 2000, 2200},
		{"a long good time is not saved up", 0.2, func(s int) int64 { return min(int64(1000*s), 30_000) },
			func(s int) int { return map[int]int{29: 1, 30: 1, 45: 1, 59: 100_000}[s] }, 100, 800},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b retryBudget
			got := 0
			for second := range 60 {
				got += spendAll(&b, start.Add(time.Duration(second)*time.Second), test.lent(second), test.share, test.tries(second))
			}
			if got < test.least || got > test.most {
				t.Errorf("%d second tries in a minute; want %d to %d", got, test.least, test.most)
			}
		})
	}
}
