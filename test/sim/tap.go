package sim

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/test/memnet"
)

// This file owns taps: they see every byte between gate and members as the gate does, and break connections at exact bytes.

// The bytes before the first message: magic and four proposals, and the version that was chosen.
const (
	helloBytes  = 20
	chosenBytes = 4
)

// taps makes them, and holds what shall happen when a unit of work passes.
type taps struct {
	world *world
	mu    sync.Mutex
	traps map[string]*trap // guarded by mu: by an attempt's mark
	made  int              // guarded by mu: connections so far
}

// trap is what happens, once, when a request of a unit of work is sent to a member.
type trap struct {
	tag   byte
	spoil func(c *wire, at, size int) // the request is size bytes at offset at of what is being written
}

func (ts *taps) set(mark string, t *trap) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.traps == nil {
		ts.traps = map[string]*trap{}
	}
	ts.traps[mark] = t
}

// take returns the trap that a request springs; nil when there is none.
func (ts *taps) take(mark string, tag byte) *trap {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.traps[mark]
	if t == nil || t.tag != tag {
		return nil
	}
	delete(ts.traps, mark)
	return t
}

// dial is the pool's.
func (g *gate) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ts := &g.w.taps
	conn, err := g.w.network.DialFrom(ctx, g.host, address)
	if err != nil {
		return nil, err
	}
	member, _, _ := net.SplitHostPort(address)
	ts.mu.Lock()
	ts.made++
	skew := time.Duration(ts.made) * time.Nanosecond
	ts.mu.Unlock()
	if strings.HasSuffix(address, httpPort) {
		t := &webTap{wire: wire{Conn: conn.(*memnet.Conn), all: ts, member: member, skew: skew}}
		g.w.babblers.meet(member, &t.bad)
		return t, nil
	}
	t := &tap{wire: wire{Conn: conn.(*memnet.Conn), all: ts, member: member, skew: skew}}
	g.w.babblers.meet(member, &t.bad)
	t.up.skip, t.down.skip = helloBytes, chosenBytes
	return t, nil
}

// wire is one connection of the pool, of either protocol.
type wire struct {
	*memnet.Conn
	all    *taps
	member string
	skew   time.Duration
	bad    spoiled
}

// SetDeadline and SetReadDeadline are a few nanoseconds late, on each connection others: the fake clock serves timers of one moment in
// an order that no seed decides.
func (w *wire) SetDeadline(at time.Time) error { return w.Conn.SetDeadline(w.skewed(at)) }

func (w *wire) SetReadDeadline(at time.Time) error { return w.Conn.SetReadDeadline(w.skewed(at)) }

func (w *wire) skewed(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Add(w.skew)
}

// cutRequest breaks the connection when so many bytes of the request that is being written have arrived, not more than all of them.
// The gate is not told how many, as long as the network took all.
func (w *wire) cutRequest(at, size, bytes int) { w.LoseAfter(w.Written() + int64(at+1+bytes%size)) }

// cutAnswer breaks it when so many bytes more have come.
func (w *wire) cutAnswer(bytes int) { w.CutPeerAfter(w.PeerWritten() + int64(1+bytes)) }

// tap is one that speaks Bolt.
type tap struct {
	wire

	mu   sync.Mutex
	up   framer
	down framer
	unit *passing   // that requests belong to; nil between units
	owed []*request // whose answers are due
	over bool
}

// passing is a unit of work on its way through a tap.
type passing struct {
	delivery
	mark     string
	explicit bool
}

// request is one message to a member.
type request struct {
	tag  byte
	unit *passing // nil: of no unit
	at   int      // in what is being written
	size int
}

// Write notes what passes before it does, so that an answer never comes first.
func (t *tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	list := t.requests(b)
	t.mu.Unlock()
	for _, r := range list {
		if r.unit == nil || r.unit.mark == "" {
			continue
		}
		if trap := t.all.take(r.unit.mark, r.tag); trap != nil {
			trap.spoil(&t.wire, max(r.at, 0), r.size)
		}
	}
	n, err := t.Conn.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range list {
		r.left(n)
	}
	if err != nil {
		t.finish()
	}
	return n, err
}

// requests notes the messages that end in b.
func (t *tap) requests(b []byte) (list []*request) {
	before := len(t.up.rest)
	t.up.feed(b, func(tag byte, fields []byte, end, size int) {
		r := &request{tag: tag, at: end - before - size, size: size}
		t.assign(r, fields)
		t.owed = append(t.owed, r)
		list = append(list, r)
	})
	return list
}

// assign finds the unit of work that a request belongs to.
func (t *tap) assign(r *request, fields []byte) {
	switch r.tag {
	case bolt.TagBegin:
		t.enter(&passing{mark: markOf(fields, 0, "tx_metadata"), explicit: true})
	case bolt.TagRun:
		if t.unit == nil || !t.unit.explicit {
			p := &passing{mark: markOf(fields, 1, "")}
			p.plain = !saysRead(fields)
			t.enter(p)
		}
	case bolt.TagPull, bolt.TagDiscard, bolt.TagCommit, bolt.TagRollback:
	default:
		t.unit = nil
	}
	r.unit = t.unit
	if r.tag == bolt.TagCommit || r.tag == bolt.TagRollback {
		t.unit = nil
	}
}

func (t *tap) enter(p *passing) {
	t.unit, p.member = p, t.member
	if p.mark != "" {
		t.all.world.history.deliver(p.mark, &p.delivery)
	}
}

// markOf finds the mark in the parameters of a RUN, or in a map within the extra of a BEGIN. A statement's mark gives its
// attempt's.
func markOf(fields []byte, skip int, within string) string {
	d := packstream.NewDecoder(fields)
	for range skip {
		d.Skip()
	}
	m, _ := d.Value().(map[string]any)
	if within != "" {
		m, _ = m[within].(map[string]any)
	}
	mark, _ := m["mark"].(string)
	return attemptOf(mark)
}

// saysRead tells whether the extra of a RUN holds mode "r", to which servers of 4.0 and newer hold it.
func saysRead(fields []byte) bool {
	d := packstream.NewDecoder(fields)
	d.Skip()
	d.Skip()
	extra, _ := d.Value().(map[string]any)
	return extra["mode"] == "r"
}

// left notes how much of a request left, when n bytes of what was written did.
func (r *request) left(n int) {
	if r.unit == nil {
		return
	}
	d := &r.unit.delivery
	switch {
	case n >= r.at+r.size:
		opens := r.tag == bolt.TagBegin || r.tag == bolt.TagRun && !r.unit.explicit
		d.opened = d.opened || opens
		d.decided = d.decided || r.tag == bolt.TagCommit || opens && !r.unit.explicit
	case n > r.at:
		d.partly = true
	}
}

// Read notes the answers that the gate reads.
func (t *tap) Read(b []byte) (int, error) {
	n, bad, err := t.bad.read(t.Conn, b)
	t.mu.Lock()
	defer t.mu.Unlock()
	if bad {
		t.garbled()
		return n, err
	}
	t.down.feed(b[:n], func(tag byte, fields []byte, _, _ int) { t.answer(tag, fields) })
	if err != nil && !isTimeout(err) {
		t.finish()
	}
	return n, err
}

// Close is the gate's.
func (t *tap) Close() error {
	t.mu.Lock()
	t.finish()
	t.mu.Unlock()
	return t.Conn.Close()
}

// finish notes which units of work the connection's end leaves without an answer.
func (t *tap) finish() {
	if t.over {
		return
	}
	t.over = true
	for _, r := range t.owed {
		if r.unit != nil {
			r.unit.breakOff()
		}
	}
	if t.unit != nil {
		t.unit.breakOff()
	}
}

// garbled notes that no answer comes any more, but what looks like one.
func (t *tap) garbled() {
	for _, r := range t.owed {
		if r.unit != nil {
			r.unit.garbled = true
		}
	}
	t.finish()
}

func (t *tap) answer(tag byte, fields []byte) {
	if len(t.owed) == 0 {
		return
	}
	r := t.owed[0]
	if tag == bolt.TagRecord {
		if r.unit != nil {
			r.unit.records++
		}
		return
	}
	t.owed = t.owed[1:]
	if r.unit == nil {
		return
	}
	word := map[byte]string{bolt.TagSuccess: "SUCCESS", bolt.TagIgnored: "IGNORED"}[tag]
	if tag == bolt.TagFailure {
		word = "FAILURE"
		if f, err := bolt.ParseFailure(fields); err == nil {
			word = f.Code
		}
		if r.unit.failed == "" {
			r.unit.failed = word
		}
	}
	decides := r.tag == bolt.TagCommit || !r.unit.explicit && (r.tag == bolt.TagPull || r.tag == bolt.TagDiscard) && !hasMore(fields)
	if r.unit.answered == "" && (decides || word != "SUCCESS") {
		r.unit.answered = word
	}
}

func hasMore(fields []byte) bool {
	d := packstream.NewDecoder(fields)
	meta, _ := d.Value().(map[string]any)
	return meta["has_more"] == true
}

// framer cuts a stream into messages.
type framer struct {
	skip int // bytes before the first
	rest []byte
}

// feed calls do for each message that ends in b: its tag, its fields, and where its last byte stands, counted from the start of what
// was left over before. What cannot be read is left alone.
func (f *framer) feed(b []byte, do func(tag byte, fields []byte, end, size int)) {
	if n := min(f.skip, len(b)); n > 0 {
		f.skip -= n
		b = b[n:]
	}
	f.rest = append(f.rest, b...)
	at := 0
	defer func() { f.rest = bytes.Clone(f.rest[at:]) }()
	for {
		at += bolt.SkipNoops(f.rest[at:])
		var walk bolt.Walk
		size, whole := walk.Next(f.rest[at:])
		if !whole {
			return
		}
		payload, _ := bolt.Payload(f.rest[at:at+size], nil)
		at += size
		if len(payload) >= 2 {
			do(payload[1], payload[2:], at, size)
		}
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
