package proxy

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what is counted by frontend. A unit of work costs three additions, to one of a few counters that lie apart, so
// that cores do not wait for each other's; what it costs at its member is counted by pool. Bytes are counted by the connection itself
// (netio.Link), in numbers that nobody else sees, and added here when a request has been dealt with.

// stripes is how many counters a frontend's units are spread over.
const stripes = 8

// frontStats are a frontend's counters. The zero value is ready.
type frontStats struct {
	units    [stripes]stripe
	accepted atomic.Uint64 // connections
	refused  atomic.Uint64 // of them, those that the frontend does not let in

	mu       sync.Mutex
	failures map[string]uint64 // guarded by mu: what the gate itself answered, by code; the codes are few
}

// stripe fills a cache line.
type stripe struct {
	n       [2][2]atomic.Uint64 // by protocol, and whether it reads
	in, out atomic.Uint64       // bytes, from clients and to them
	_       [16]byte
}

// count counts a unit of work of the session or connection at p.
func (f *frontStats) count(p unsafe.Pointer, protocol int, read bool) {
	s := &f.units[uintptr(p)>>8%stripes]
	r := 0
	if read {
		r = 1
	}
	s.n[protocol][r].Add(1)
}

// moved counts bytes that a session or connection at p got from its client and sent to it.
func (f *frontStats) moved(p unsafe.Pointer, in, out uint64) {
	s := &f.units[uintptr(p)>>8%stripes]
	s.in.Add(in)
	s.out.Add(out)
}

const maxCodes = 50 // that are told apart

// failed counts an answer of the gate's own that was a failure.
func (f *frontStats) failed(code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures == nil {
		f.failures = map[string]uint64{}
	}
	if _, known := f.failures[code]; !known && len(f.failures) >= maxCodes {
		code = "other"
	}
	f.failures[code]++
}

// FrontendStats is what one frontend has done since it was there. Its counters only grow.
type FrontendStats struct {
	Name     string
	Bind     []string
	Open     int       // connections now
	Working  int       // of them, those with a unit of work
	Max      int       // connections at most; 0: no limit
	Accepted uint64    // connections
	Refused  uint64    // connections that it does not let in
	Writes   [2]uint64 // units of work that were given to a member, by protocol (pool.Bolt, pool.HTTPUnits)
	Reads    [2]uint64
	In, Out  uint64            // bytes from clients, and to them; of units of work that are over
	Failures map[string]uint64 // what the gate itself answered, by Neo4j's code
}

// Units is how many units of work were given to a member.
func (f *FrontendStats) Units() (n uint64) {
	for i := range f.Writes {
		n += f.Writes[i] + f.Reads[i]
	}
	return n
}

// Failed is how many failures the gate itself answered.
func (f *FrontendStats) Failed() (n uint64) {
	for _, v := range f.Failures {
		n += v
	}
	return n
}

// Frontends are the statistics of all frontends, by name.
func (s *Server) Frontends() map[string]FrontendStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]FrontendStats, len(s.fronts))
	for name, f := range s.fronts {
		all[name] = f.snapshot()
	}
	for c := range s.clients {
		if one, ok := all[c.front]; ok {
			one.Open++
			if c.session != nil && !c.session.waits().idle() {
				one.Working++
			}
			all[c.front] = one
		}
	}
	return all
}

func (f *frontend) snapshot() FrontendStats {
	set := f.settings.Load()
	one := FrontendStats{Name: set.Name, Bind: set.Bind, Max: set.MaxConnections, Accepted: f.stats.accepted.Load(), Refused: f.stats.refused.Load(),
		Failures: map[string]uint64{}}
	for i := range f.stats.units {
		one.In += f.stats.units[i].in.Load()
		one.Out += f.stats.units[i].out.Load()
		for protocol := range one.Writes {
			one.Writes[protocol] += f.stats.units[i].n[protocol][0].Load()
			one.Reads[protocol] += f.stats.units[i].n[protocol][1].Load()
		}
	}
	f.stats.mu.Lock()
	defer f.stats.mu.Unlock()
	for code, n := range f.stats.failures {
		one.Failures[code] = n
	}
	return one
}

// noteWork counts the session's unit of work, for which a connection was had, and says what the lease is for.
func (s *boltSession) noteWork(l *pool.Lease) {
	u := &s.unit
	read := u.intent.Mode == routing.Read
	if u.sent == 0 {
		s.front.stats.count(unsafe.Pointer(s), pool.Bolt, read)
	}
	l.Begin(pool.Work{Began: s.now, Read: read, Explicit: u.explicit, DB: u.intent.DB, Session: s.id})
}

// noteWork is the same for a request.
func (c *httpConn) noteWork(l *pool.Lease) {
	u := &c.w.unit
	read := u.intent.Mode == routing.Read
	if u.tries == 0 {
		c.front.stats.count(unsafe.Pointer(c), pool.HTTPUnits, read)
	}
	l.Begin(pool.Work{Began: u.intent.Now.Add(u.waited), Read: read, DB: u.intent.DB})
}

// noteStatus counts an answer by which the member says that something is wrong with it.
func (c *httpConn) noteStatus(l *pool.Lease) {
	if status := c.w.ans.status; status >= 500 {
		l.Failed(httpStatuses[min(status-500, len(httpStatuses)-1)])
	}
}

var httpStatuses = [...]string{"HTTP 500", "HTTP 501", "HTTP 502", "HTTP 503", "HTTP 504", "HTTP 5xx"}

// noteBytes counts what the session got from its client and sent to it since the last time, now that a request was dealt with. The line
// of its unit has what belongs to the unit: not the requests behind it that were read along.
func (s *boltSession) noteBytes() {
	if s.pump != nil { // it reads
		return
	}
	in, out := s.client.Moved()
	if in != 0 || out != 0 {
		s.front.stats.moved(unsafe.Pointer(s), in, out)
	}
	if s.busy == nil { // it is parked: no unit has a line
		return
	}
	ahead, behind := s.in.end-s.in.start, len(s.out)
	s.unit.line.moved(int(in)+s.ahead-ahead, int(out)-s.behind+behind)
	s.ahead, s.behind = ahead, behind
}

// noteBytes is the same for a connection.
func (c *httpConn) noteBytes() {
	in, out := c.link.Moved()
	if in != 0 || out != 0 {
		c.front.stats.moved(unsafe.Pointer(c), in, out)
	}
	ahead := c.end - c.next
	if c.w != nil {
		c.w.unit.line.moved(int(in)+c.ahead-ahead, int(out))
	}
	c.ahead = ahead
}
