package memnet

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// stream is one direction of a connection: a bounded queue of bytes, each with the time at which it arrives.
type stream struct {
	link   *Link
	down   bool // towards the dialling side
	limit  int
	random *rand.Rand // what the weather does with each write; nil: the least of it

	mu       sync.Mutex
	cond     *sync.Cond
	segments []segment
	size     int   // bytes in segments
	passed   int64 // bytes ever written
	cutAt    int64 // break when passed reaches it; 0 never
	cutting  bool  // it was reached: broken is about to be set
	untold   bool  // the write that reaches it takes all the same
	onCut    func()

	lost     bool  // nothing arrives any more, and neither side is told
	ended    bool  // the writer said that nothing more comes
	deaf     bool  // the reader has closed its end
	broken   error // set once: the reader sees it after the segments, the writer at once
	readEnd  deadline
	writeEnd deadline
}

type segment struct {
	data []byte
	at   time.Time // zero: at once
}

func newStream(link *Link, limit int) *stream {
	s := &stream{link: link, limit: limit}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *stream) wake() {
	s.mu.Lock()
	s.cond.Broadcast()
	s.mu.Unlock()
}

// Write queues b, waiting while the queue is full.
func (s *stream) Write(b []byte) (int, error) {
	weather := s.link.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for {
		switch {
		case n == len(b) && n > 0:
			return n, nil
		case s.broken != nil || s.cutting:
			return n, syscall.ECONNRESET
		case s.ended:
			return n, net.ErrClosed
		case s.deaf && !s.lost:
			return n, syscall.ECONNRESET
		case s.writeEnd.passed():
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		room := s.limit - s.size
		if room <= 0 {
			s.cond.Wait()
			continue
		}
		n += s.push(b[n:min(len(b), n+room)], weather)
	}
}

// push queues b up to the cut and returns how much of it was taken.
func (s *stream) push(b []byte, w Weather) int {
	taken := len(b)
	if s.cutAt > 0 && s.passed+int64(len(b)) >= s.cutAt {
		b = b[:s.cutAt-s.passed]
		s.cutting = true
		go s.finishCut(s.onCut) // the other direction's lock must not be taken under ours
		if !s.untold {
			taken = len(b)
		}
	}
	s.passed += int64(len(b))
	if len(b) > 0 && !s.lost {
		s.queue(append([]byte(nil), b...), w)
		s.size += len(b)
	}
	s.cond.Broadcast()
	return taken
}

// finishCut breaks the other direction, and then this one for its reader: who finds out that the connection is gone must not get
// an answer through any more.
func (s *stream) finishCut(other func()) {
	if other != nil {
		other()
	}
	s.breakNow(true)
}

// Read takes what has arrived, waiting for the first byte.
func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.deaf:
			return 0, net.ErrClosed
		case s.readEnd.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		if n := s.take(b); n > 0 {
			s.cond.Broadcast()
			return n, nil
		}
		if s.size == 0 && s.broken != nil {
			return 0, s.broken
		}
		if s.size == 0 && s.ended && !s.lost {
			return 0, io.EOF
		}
		s.cond.Wait()
	}
}

// take copies arrived bytes into b. It arranges to be woken when the first segment is still on its way.
func (s *stream) take(b []byte) int {
	if s.link.silences(s) {
		return 0
	}
	n := 0
	for len(s.segments) > 0 && n < len(b) {
		head := &s.segments[0]
		if wait := time.Until(head.at); !head.at.IsZero() && wait > 0 {
			if n == 0 {
				time.AfterFunc(wait, s.wake)
			}
			break
		}
		m := copy(b[n:], head.data)
		head.data = head.data[m:]
		n += m
		if len(head.data) == 0 {
			s.segments[0] = segment{}
			s.segments = s.segments[1:]
		}
	}
	s.size -= n
	return n
}

// end is the writer's half-close.
func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	s.cond.Broadcast()
	s.mu.Unlock()
}

// stopReading is the reader's close: what is queued is lost, the writer sees a reset.
func (s *stream) stopReading() {
	s.mu.Lock()
	s.deaf = true
	s.segments, s.size = nil, 0
	s.cond.Broadcast()
	s.mu.Unlock()
}

// breakNow loses what is queued, unless keep is set, and makes both sides fail.
func (s *stream) breakNow(keep bool) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = syscall.ECONNRESET
	}
	if !keep {
		s.segments, s.size = nil, 0
	}
	s.cond.Broadcast()
	s.mu.Unlock()
}

// deadline is a moment after which one side of a stream gives up; guarded by the stream's mu.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set is called with the stream's mu held.
func (d *deadline) set(s *stream, at time.Time) {
	d.stop()
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, s.wake)
	}
	s.cond.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
