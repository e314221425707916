package admin

import (
	"sync"
	"time"

	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
)

// This file owns rates and latencies of the last moments: differences of counters that are read every two seconds, while
// somebody looks.

const (
	sampleEvery = 2 * time.Second
	keptSamples = 31              // a minute of them
	rateOver    = 3               // samples: rates are of the last six seconds
	unwatched   = 2 * time.Minute // after which nobody looks any more
)

// sample is what the counters said at one moment.
type sample struct {
	at      time.Time
	members map[string]pool.Counters
	fronts  map[string]proxy.FrontendStats
}

// sampler keeps the samples of the last minute. Its zero value is ready, but for read.
type sampler struct {
	read func() sample

	mu      sync.Mutex
	kept    []sample      // guarded by mu: the newest last
	watched time.Time     // guarded by mu: when somebody looked last
	timer   *time.Timer   // guarded by mu: takes the next sample; nil while nobody looks
	taken   chan struct{} // guarded by mu: closed with the next sample
}

// look says that somebody looks: samples are taken for a while.
func (s *sampler) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = time.Now()
	if s.timer == nil {
		s.kept = nil
		s.take()
		s.timer = time.AfterFunc(sampleEvery, s.tick)
	}
}

// next is closed when another sample was taken.
func (s *sampler) next() <-chan struct{} {
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = make(chan struct{})
	}
	return s.taken
}

func (s *sampler) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.watched) > unwatched {
		s.timer, s.kept = nil, nil
		return
	}
	s.take()
	s.timer.Reset(sampleEvery)
	if s.taken != nil {
		close(s.taken)
		s.taken = nil
	}
}

// take takes a sample. The caller holds mu.
func (s *sampler) take() {
	s.kept = append(s.kept, s.read())
	if len(s.kept) > keptSamples {
		s.kept = append(s.kept[:0:0], s.kept[1:]...)
	}
}

// ago is the sample n before the newest, or the oldest, and the newest; ok is false while there are not two.
func (s *sampler) ago(n int) (was, now sample, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.kept) - 1
	if last < 1 {
		return sample{}, sample{}, false
	}
	return s.kept[max(0, last-n)], s.kept[last], true
}

func perSecond(was, now uint64, over time.Duration) float64 {
	if now < was || over <= 0 { // another pool of that name
		return 0
	}
	return float64(now-was) / over.Seconds()
}

// memberRate is units of work a second, of late.
func (s *sampler) memberRate(name string) float64 {
	was, now, ok := s.ago(rateOver)
	if !ok {
		return 0
	}
	a, b := was.members[name], now.members[name]
	return perSecond(a.Units(), b.Units(), now.at.Sub(was.at))
}

// frontendRate is the same of a frontend.
func (s *sampler) frontendRate(name string) (units, connections float64) {
	was, now, ok := s.ago(rateOver)
	if !ok {
		return 0, 0
	}
	a, b := was.fronts[name], now.fronts[name]
	over := now.at.Sub(was.at)
	return perSecond(a.Units(), b.Units(), over), perSecond(a.Accepted, b.Accepted, over)
}

// latency is how long units of work took at the member within the last minute.
func (s *sampler) latency(name string) Latency {
	was, now, ok := s.ago(keptSamples)
	if !ok {
		return Latency{}
	}
	a, b := was.members[name], now.members[name]
	if b.Units() < a.Units() {
		return Latency{}
	}
	var h pool.Histogram
	for i := range b.Writes {
		h.Add(&b.Writes[i])
		h.Add(&b.Reads[i])
	}
	for i := range a.Writes {
		h.Sub(&a.Writes[i])
		h.Sub(&a.Reads[i])
	}
	ms := func(q float64) float64 { return float64(h.Quantile(q).Microseconds()) / 1000 }
	return Latency{P50: ms(0.5), P95: ms(0.95), P99: ms(0.99)}
}

// sample reads all counters.
func (s *Server) sample() sample {
	one := sample{at: time.Now(), members: map[string]pool.Counters{}, fronts: s.world.Gate.Frontends()}
	for _, m := range s.world.Current.View().Members {
		one.members[m.Name] = s.world.Pools.Counters(m.Name)
	}
	return one
}
