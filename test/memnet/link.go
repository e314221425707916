package memnet

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Link is the way between a host and a listener's address; it owns the faults of the connections on it. Its methods may
// be called at any time.
type Link struct {
	random  func(conn int64, down bool) *rand.Rand // of each direction of each connection; negative numbers: of each dial
	mu      sync.Mutex
	weather Weather
	silent  [2]bool // bytes from the dialling side, and to it, wait
	refused bool
	made    int64 // connections so far
	dialled int64 // and tries to make one
	cutUp   int64 // for connections to come: break after so many bytes from the dialling side; 0 never
	cutDown int64 // the same for bytes to it
	changed chan struct{}
	conns   map[*Conn]int64  // dialling ends, and which one they were
	quiet   map[*stream]bool // directions whose bytes wait for the end of a silence; also of connections that are cut or closed by then
}

// Delay makes every byte sent from now on arrive d later, in order, in both directions.
func (l *Link) Delay(d time.Duration) { l.Weather(Weather{Least: d, Most: d}) }

// Blackhole makes the link silent: bytes wait, nothing breaks, dialling hangs. Blackhole(false) lets all of it through.
func (l *Link) Blackhole(on bool) { l.Silence(on, on) }

// Refuse makes dialling fail with ECONNREFUSED; open connections stay.
func (l *Link) Refuse(on bool) { l.set(func() { l.refused = on }) }

// Cut breaks every open connection, as a reset does: bytes on their way are lost.
func (l *Link) Cut() {
	for _, c := range l.open() {
		c.Abort()
	}
}

// CutAt makes each connection dialled from now on break once so many bytes have gone up (from the dialling side) or down;
// 0 means never. The bytes before the cut arrive, none after it do, and both ends see a reset.
func (l *Link) CutAt(up, down int64) { l.set(func() { l.cutUp, l.cutDown = up, down }) }

// Heal takes all faults away.
func (l *Link) Heal() {
	l.set(func() { l.weather, l.silent, l.refused, l.cutUp, l.cutDown = Weather{}, [2]bool{}, false, 0, 0 })
}

// Conns is how many connections are open on the link.
func (l *Link) Conns() int { return len(l.open()) }

func (l *Link) set(f func()) {
	l.mu.Lock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
	quiet := l.quiet
	l.quiet = nil
	l.mu.Unlock()
	for _, c := range l.open() {
		c.read.wake()
		c.write.wake()
	}
	for s := range quiet {
		s.wake()
	}
}

// open lists the connections in the order in which they were made: faults that strike all of them do so in the same order whenever a
// test is run.
func (l *Link) open() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Keys(l.conns), func(a, b *Conn) int { return cmp.Compare(l.conns[a], l.conns[b]) })
}

// admit waits until a new connection may be made.
func (l *Link) admit(ctx context.Context) error {
	l.mu.Lock()
	l.dialled++
	random := l.random(-l.dialled, false)
	l.mu.Unlock()
	for {
		l.mu.Lock()
		refused, silent, delay, changed := l.refused, l.silent[0] || l.silent[1], l.weather.delay(random), l.changed
		l.mu.Unlock()
		switch {
		case refused:
			return syscall.ECONNREFUSED
		case silent:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		case delay > 0:
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return ctx.Err()
	}
}

func (l *Link) add(c *Conn, up, down *stream) (cutUp, cutDown int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	l.conns[c] = l.made
	down.down = true
	up.random, down.random = l.random(l.made, false), l.random(l.made, true)
	return l.cutUp, l.cutDown
}

func (l *Link) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// now is the weather. A nil Link has no faults.
func (l *Link) now() Weather {
	if l == nil {
		return Weather{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather
}

// silences tells whether the bytes of s wait now; s is woken when that may have changed.
func (l *Link) silences(s *stream) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	silent := l.silent[0]
	if s.down {
		silent = l.silent[1]
	}
	if silent {
		if l.quiet == nil {
			l.quiet = map[*stream]bool{}
		}
		l.quiet[s] = true
	}
	return silent
}
