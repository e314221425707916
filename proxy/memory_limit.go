package proxy

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the memory of the process (limits.memory): who goes when it gets scarce. It is read a few times a second; a unit of
// work looks at one word.

var (
	errMemory    = errors.New("proxy: the gate's memory is nearly used up (limits.memory)")
	errDismissed = errors.Join(errClosed, errors.New("proxy: idle, and the gate's memory is scarce (limits.memory)"))
)

const (
	memoryLook = 250 * time.Millisecond
	dismissals = time.Second // between two rounds in which idle clients go

	nearFrom, nearUntil = 85, 80 // percent of limits.memory: idle clients go
	fullFrom, fullUntil = 95, 90 // new work is refused
	dismissAtOnce       = 64     // idle clients, or an eighth of them where that is more
)

// memoryGuard is how scarce memory is. The zero value guards nothing.
type memoryGuard struct {
	full  atomic.Bool  // new work is refused
	limit atomic.Int64 // bytes; 0 none
	inUse func() int64 // set before Apply, never changed; nil: memoryInUse
	near  bool         // the watch's own
	last  time.Time    // the watch's own: when idle clients went
}

// inUseMetrics are what memoryInUse reads.
var inUseMetrics = [...]string{
	"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes",
	"/memory/classes/heap/objects:bytes", "/gc/heap/live:bytes",
}

// memoryInUse is what the process needs: what it has from the system, without what it could give back, and without garbage, which the
// collector takes away before GOMEMLIMIT is reached.
func memoryInUse() int64 {
	var s [len(inUseMetrics)]metrics.Sample
	for i, name := range inUseMetrics {
		s[i].Name = name
	}
	metrics.Read(s[:])
	v := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	return v(0) - v(1) - v(2) - v(3) + min(v(4), v(3))
}

// watchMemory looks at it until the server ends.
func (s *Server) watchMemory() {
	t := time.NewTicker(memoryLook)
	defer t.Stop()
	for {
		select {
		case <-s.work.Done():
			return
		case now := <-t.C:
			s.lookAtMemory(now)
		}
	}
}

// lookAtMemory refuses new work, or lets it in again, and has idle clients go.
func (s *Server) lookAtMemory(now time.Time) {
	g := &s.memory
	limit := g.limit.Load()
	if limit <= 0 {
		g.near = false
		g.full.Store(false)
		return
	}
	read := g.inUse
	if read == nil {
		read = memoryInUse
	}
	used := read()
	percent := used * 100 / limit
	if full := g.full.Load(); !full && percent >= fullFrom || full && percent < fullUntil {
		g.full.Store(!full)
		s.log.Warn(map[bool]string{true: "memory is nearly used up: new work is refused", false: "memory suffices again: new work is served"}[!full],
			"used", used, "limits.memory", limit)
	}
	if !g.near && percent >= nearFrom || g.near && percent < nearUntil {
		g.near = !g.near
	}
	if g.near && now.Sub(g.last) >= dismissals {
		g.last = now
		if n := s.dismissIdle(); n > 0 {
			s.counts.limited[limitedIdle].Add(int64(n))
			s.log.Warn("memory is scarce: idle clients are let go", "clients", n, "used", used, "limits.memory", limit)
		}
		runtime.GC() // what they had counts until it was collected
	}
}

// dismissIdle has idle clients go, those that have been idle for longer, and so have parked, first. It returns how many.
func (s *Server) dismissIdle() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parked, idle []*napping
	for c := range s.clients {
		if c.session == nil {
			continue
		}
		switch w := c.session.waits(); {
		case w.word.Load()&isParked != 0:
			parked = append(parked, w)
		case w.idle():
			idle = append(idle, w)
		}
	}
	most := max(dismissAtOnce, (len(parked)+len(idle))/8)
	for _, w := range append(parked, idle...) {
		if n == most {
			break
		}
		if w.dismiss() {
			n++
		}
	}
	return n
}

// refusesForMemory refuses the opening request at the inbox's start while memory is used up.
func (s *boltSession) refusesForMemory() bool {
	if !s.srv.memory.full.Load() {
		return false
	}
	s.in.drop()
	s.in.unpin()
	s.turnAway(errMemory)
	return true
}

// refuseLogOn refuses a log-on while memory is used up. It ends the session.
func (s *boltSession) refuseLogOn() error {
	s.srv.counts.turn(errMemory)
	s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeNoThreads, "boltgate: "+plain(errMemory)+"; please try again later")
	return errMemory
}
