package querystats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// This file owns what is counted of a shape, and the quantiles that follow from it.

const (
	stripes = 4    // that a busy shape's counts are spread over, so that cores do not wait for each other's
	busy    = 1024 // runs from which on a shape is busy
	buckets = 48   // two for each doubling, from 16 µs to more than two minutes
	halveAt = 1 << 31
)

// counts are one shape's. The zero value is ready.
type counts struct {
	base stripe
	more [stripes - 1]atomic.Pointer[stripe] // made once the shape is busy
}

// stripe is a share of the counts.
type stripe struct {
	calls, failed, rows, nanos, longest atomic.Uint64
	took                                [buckets]atomic.Uint32
}

// add counts n runs that took the same time each, and gave rows together.
func (c *counts) add(key uintptr, took time.Duration, n uint32, rows uint64, failed bool) {
	s := c.stripe(key)
	s.calls.Add(uint64(n))
	s.nanos.Add(uint64(max(took, 0)) * uint64(n))
	if rows > 0 {
		s.rows.Add(rows)
	}
	if failed {
		s.failed.Add(uint64(n))
	}
	if s.took[bucketOf(took)].Add(n) >= halveAt {
		s.halve()
	}
	for {
		have := s.longest.Load()
		if took <= time.Duration(have) || s.longest.CompareAndSwap(have, uint64(took)) {
			return
		}
	}
}

// stripe is where the caller with this key counts.
func (c *counts) stripe(key uintptr) *stripe {
	if c.base.calls.Load() < busy {
		return &c.base
	}
	i := key >> 8 % stripes // sessions lie at least so far apart
	if i == 0 {
		return &c.base
	}
	p := &c.more[i-1]
	if s := p.Load(); s != nil {
		return s
	}
	p.CompareAndSwap(nil, new(stripe))
	return p.Load()
}

// halve keeps the buckets from running over: what is older counts for less then.
func (s *stripe) halve() {
	for i := range s.took {
		s.took[i].Store(s.took[i].Load() / 2)
	}
}

// unit is half of what the first bucket takes.
const unit = 8 * time.Microsecond

// bucketOf is the bucket of a duration: the first whose upper bound is not below it.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 1)-1) / uint64(unit)
	if n < 2 {
		return 0
	}
	e := bits.Len64(n)
	half := int(n >> (e - 2) & 1)
	return min(1+2*(e-2)+half, buckets-1)
}

// boundOf is the upper bound of a bucket.
func boundOf(i int) time.Duration {
	if i == 0 {
		return 2 * unit
	}
	lower := unit << ((i-1)/2 + 1)
	if i%2 == 1 {
		return lower + lower/2
	}
	return 2 * lower
}

// sum is all that was counted of a shape.
type sum struct {
	calls, failed, rows uint64
	nanos, longest      uint64
	took                [buckets]uint64
}

func (c *counts) sum() (all sum) {
	all.add(&c.base)
	for i := range c.more {
		if s := c.more[i].Load(); s != nil {
			all.add(s)
		}
	}
	return all
}

func (a *sum) add(s *stripe) {
	a.calls += s.calls.Load()
	a.failed += s.failed.Load()
	a.rows += s.rows.Load()
	a.nanos += s.nanos.Load()
	a.longest = max(a.longest, s.longest.Load())
	for i := range s.took {
		a.took[i] += uint64(s.took[i].Load())
	}
}

// quantile is about how long the share q of all runs took at most; 0 when there are none.
func (a *sum) quantile(q float64) time.Duration {
	count := uint64(0)
	for _, n := range a.took {
		count += n
	}
	rank, below := q*float64(count), 0.0
	for i, n := range a.took {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		lower := time.Duration(0)
		if i > 0 {
			lower = boundOf(i - 1)
		}
		at := lower + time.Duration(float64(boundOf(i)-lower)*(rank-below)/float64(n))
		return min(at, time.Duration(a.longest))
	}
	return 0
}
