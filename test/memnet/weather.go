package memnet

import (
	"math/rand/v2"
	"time"
)

// This file owns what a link does with bytes that are no clean faults: it delivers them late, in pieces, or not at all.

// Weather is how a link treats what it delivers. Draws are made for each direction of each connection from the network's seed,
// the link's name and the connection's number on it, so that they do not depend on what happens elsewhere.
type Weather struct {
	Least, Most time.Duration // each write arrives after a time in between, in order
	Split       int           // percent of the writes that arrive in two pieces
}

// Weather makes every byte sent from now on subject to w.
func (l *Link) Weather(w Weather) { l.set(func() { l.weather = w }) }

// Silence makes bytes wait that come from the dialling side (up), or go to it (down): a half-open link. Nothing breaks, and
// dialling hangs while either is silent. What waited arrives when the silence ends.
func (l *Link) Silence(up, down bool) { l.set(func() { l.silent = [2]bool{up, down} }) }

// Vanish makes the connections that are open now half-open for good: what is on its way and what is written is lost, neither side
// hears of it, nor of the other's close. After the given time they break, as keepalives find out.
func (l *Link) Vanish(after time.Duration) {
	for _, c := range l.open() {
		c.read.lose()
		c.write.lose()
		time.AfterFunc(after, c.Abort)
	}
}

func (s *stream) lose() {
	s.mu.Lock()
	s.lost = true
	s.segments, s.size = nil, 0
	s.cond.Broadcast()
	s.mu.Unlock()
}

// randomOf draws for the connections of a link.
func (n *Network) randomOf(from, address string) func(conn int64, down bool) *rand.Rand {
	seed := uint64(n.seed)
	for _, b := range []byte(from + " " + address) { // FNV-1a
		seed = (seed ^ uint64(b)) * 1099511628211
	}
	return func(conn int64, down bool) *rand.Rand {
		stream := uint64(conn) << 1
		if down {
			stream |= 1
		}
		return rand.New(rand.NewPCG(seed, stream))
	}
}

// queue appends what was written, as the weather has it arrive. Called with mu held.
func (s *stream) queue(b []byte, w Weather) {
	if len(b) > 1 && s.random != nil && w.Split > 0 && s.random.IntN(100) < w.Split {
		at := 1 + s.random.IntN(len(b)-1)
		s.segments = append(s.segments, segment{b[:at:at], s.arrival(w)})
		b = b[at:]
	}
	s.segments = append(s.segments, segment{b, s.arrival(w)})
}

// arrival is when something sent now arrives; zero is at once.
func (s *stream) arrival(w Weather) time.Time {
	if d := w.delay(s.random); d > 0 {
		return time.Now().Add(d)
	}
	return time.Time{}
}

// delay draws how long something is on its way. random may be nil: the least.
func (w Weather) delay(random *rand.Rand) time.Duration {
	if more := w.Most - w.Least; more > 0 && random != nil {
		return w.Least + time.Duration(random.Int64N(int64(more)))
	}
	return w.Least
}
