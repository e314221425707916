package pool

import (
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what is counted of units of work by member: how many, how long, and what went wrong. A unit is counted where
// its lease ends, under the lock that the pool has there anyway, so that it costs a few nanoseconds and shares no counter.

// Work is what a lease is lent for, as counters and operators see it.
type Work struct {
	Began    time.Time // when the member was had for it; zero: no unit of work, such as a log-on
	Read     bool
	Explicit bool   // a transaction that goes on between requests
	DB       string // "" is the default database
	Session  string // whose it is
}

// Bounds are the upper bounds of a Histogram's buckets; a last bucket takes what is above.
var Bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute,
}

// Histogram counts durations. Its zero value is empty.
type Histogram struct {
	Buckets [len(Bounds) + 1]uint64 // each without those below
	Sum     time.Duration
}

func (h *Histogram) note(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.Buckets[i]++
	h.Sum += d
}

// Count is how many durations there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Buckets {
		n += c
	}
	return n
}

// Add adds what another holds.
func (h *Histogram) Add(o *Histogram) {
	for i, c := range o.Buckets {
		h.Buckets[i] += c
	}
	h.Sum += o.Sum
}

// Sub takes away what an earlier state of the same held.
func (h *Histogram) Sub(o *Histogram) {
	for i, c := range o.Buckets {
		h.Buckets[i] -= c
	}
	h.Sum -= o.Sum
}

// Quantile is about how long the share q of all took at most; 0 when there are none. It is as exact as the buckets are fine.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank, below := q*float64(h.Count()), 0.0
	if rank == 0 {
		return 0
	}
	for i, c := range h.Buckets {
		if c == 0 || below+float64(c) < rank {
			below += float64(c)
			continue
		}
		if i == len(Bounds) {
			break
		}
		lower := time.Duration(0)
		if i > 0 {
			lower = Bounds[i-1]
		}
		return lower + time.Duration(float64(Bounds[i]-lower)*(rank-below)/float64(c))
	}
	return Bounds[len(Bounds)-1]
}

// The protocols of Counters.
const (
	Bolt = iota
	HTTPUnits
)

// Counters are what was counted at one member since its pool was made. They only grow.
type Counters struct {
	Writes   [2]Histogram      // by protocol, Bolt and HTTPUnits: from when the member was had to the unit's end
	Reads    [2]Histogram      // the same
	Broken   uint64            // units whose connection was given up with them: lost, or not to be used again
	Opened   uint64            // connections
	In, Out  uint64            // bytes of units of work that ended: requests to the member, and its answers
	Failures map[string]uint64 // what the member answered, by Neo4j's code, whether or not a client saw it
}

// maxFailures bounds how many codes are told apart; the rest counts as otherFailures.
const (
	maxFailures   = 50
	otherFailures = "other"
)

// Units is how many units of work there were.
func (c *Counters) Units() (n uint64) {
	for i := range c.Writes {
		n += c.Writes[i].Count() + c.Reads[i].Count()
	}
	return n
}

// Failed is how many failures there were.
func (c *Counters) Failed() (n uint64) {
	for _, v := range c.Failures {
		n += v
	}
	return n
}

// Begin says what the lease is for. The holder calls it before others see the lease, once for each unit of work.
func (l *Lease) Begin(w Work) { l.work = w }

// Work is what Begin said.
func (l *Lease) Work() Work { return l.work }

// Failed counts a failure that the member answered.
func (l *Lease) Failed(code string) {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counted.Failures == nil {
		p.counted.Failures = map[string]uint64{}
	}
	if _, known := p.counted.Failures[code]; !known && len(p.counted.Failures) >= maxFailures {
		code = otherFailures
	}
	p.counted.Failures[code]++
}

// count counts the unit of work that l was lent for, which is over. The caller holds mu.
func (p *memberPool) count(l *Lease, clean bool, now time.Time) {
	w := &l.work
	if w.Began.IsZero() {
		return
	}
	answers, requests := l.Link.Moved()
	p.counted.In += requests
	p.counted.Out += answers
	protocol := Bolt
	if l.id == HTTP {
		protocol = HTTPUnits
	}
	h := &p.counted.Writes[protocol]
	if w.Read {
		h = &p.counted.Reads[protocol]
	}
	h.note(now.Sub(w.Began))
	if !clean {
		p.counted.Broken++
	}
	w.Began = time.Time{}
}

// Counters of the member's pool; zero when nothing was ever asked of it.
func (s *Set) Counters(member string) Counters {
	p := s.find(member)
	if p == nil {
		return Counters{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counted
	c.Failures = maps.Clone(c.Failures)
	return c
}

// Slots is how many units of work a member takes at once.
func (s *Set) Slots(m *cluster.Member) int {
	if m.MaxInFlight > 0 {
		return m.MaxInFlight
	}
	return s.options.Load().MaxPerMember
}

// Codes are the codes of failures, in order.
func (c *Counters) Codes() []string { return slices.Sorted(maps.Keys(c.Failures)) }
