package proxy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the access log (log.access): one line for each unit of work, which says where it went and why, how long
// it took and how it ended. It never holds text of a query, nor a parameter. While it is off no unit has a line, and the
// places that note something for it ask a nil pointer.

// accessLine is what is noted for the line of a unit of work while that runs.
type accessLine struct {
	began  time.Time
	reason string // of a text that was looked at: what decided there,
	at     string // and where
	member string // that served it at last
	sent   int    // to how many members it went, one after the other

	since   time.Time     // that member has it, or, while seeking, another is looked for
	seeking bool          // no member has it
	queue   time.Duration // it waited for members, and for places at them
	connect time.Duration // connections to them were made
	first   time.Duration // from since to the first record, or, over HTTP, to the answer's head; 0 while there is none
	in, out int           // bytes from its client, and to it

	end    string // what the client was told in the end, when that was no success
	status int    // HTTP: of the gate's own answer

	logged bool         // it is written
	trace  otlp.Context // that the client named; zero: none
	spans  *spanNotes   // nil: the unit has no spans
}

// accessLine starts a line; nil: the unit has none, and no spans. It has spans where the client says that its trace is recorded, and of its own
// accord where it has a line and no trace.
//
// The line lies in room: a session or connection has one unit at a time, and memory of its own for each line would keep the collector busy.
func (s *Server) accessLine(room *accessLine, now time.Time, trace otlp.Context, state string) *accessLine {
	o := s.options.Load()
	logged := o.AccessLog && (o.AccessShare == 0 || rand.Float64() < o.AccessShare)
	traced := trace.Sampled() || logged && !trace.Valid()
	traced = traced && o.Spans.On()
	if !logged && !traced {
		return nil
	}
	*room = accessLine{began: now, since: now, seeking: true, logged: logged, trace: trace}
	if traced {
		room.spans = &spanNotes{state: state}
	}
	return room
}

// went notes the member that a connection was had to.
func (l *accessLine) went(to *pool.Lease) {
	if l == nil {
		return
	}
	now := time.Now()
	l.member, l.seeking = to.Member.Name, false
	l.connect += to.Connecting
	l.queue += max(now.Sub(l.since)-to.Connecting, 0)
	l.since = now
	l.sent++
	if l.spans != nil {
		l.spans.went(to, now)
	}
}

// again notes that the unit goes to another member from its beginning: what has come of it was not for its client.
func (l *accessLine) again() {
	if l != nil {
		l.first = 0
	}
	l.goesOn()
}

// goesOn notes that the unit goes on at another member.
func (l *accessLine) goesOn() {
	if l == nil {
		return
	}
	l.since, l.seeking = time.Now(), true
	if l.spans != nil {
		l.spans.again(l.since)
	}
}

// answered notes the first record, or the head of an HTTP answer.
func (l *accessLine) answered() {
	if l == nil || l.first != 0 {
		return
	}
	now := time.Now()
	l.first = now.Sub(l.since)
	if l.spans != nil {
		l.spans.answered(now)
	}
}

// moved notes bytes from the client and to it.
func (l *accessLine) moved(in, out int) {
	if l != nil {
		l.in, l.out = l.in+in, l.out+out
	}
}

// failed notes what the client is told; the first counts.
func (l *accessLine) failed(code string) {
	if l != nil && l.end == "" {
		l.end = code
	}
}

// judged notes what a text says.
func (l *accessLine) judged(text []byte, v cypher.Verdict) {
	l.reason, l.at = v.Reason, cypher.Place(text, v)
}

// ended is the line's last word, where err is how the session or connection goes on.
func (l *accessLine) ended(err error) string {
	switch {
	case l.end != "":
		return l.end
	case errors.Is(err, errLeft):
		return "client left"
	case err != nil:
		return "connection broken"
	}
	return "ok"
}

// write writes a line that begins with the attributes in list, which came from attrLists.
func (s *Server) write(l *accessLine, list *[mostAttrs]slog.Attr, attrs []slog.Attr, in routing.Intent, why because, err error) {
	now := time.Now()
	attrs = l.tail(attrs, now, in, why, err)
	if lines := s.options.Load().Lines; lines != nil {
		lines.write(now, "access", attrs)
	} else {
		s.log.LogAttrs(context.Background(), slog.LevelInfo, "access", attrs...)
	}
	attrLists.Put(list)
}

// tail appends what the lines of all protocols end with.
func (l *accessLine) tail(attrs []slog.Attr, now time.Time, in routing.Intent, why because, err error) []slog.Attr {
	access := "write"
	if in.Mode == routing.Read {
		access = "read"
	}
	attrs = append(attrs, slog.String("access", access), slog.String("why", why.String()))
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	if l.at != "" {
		attrs = append(attrs, slog.String("at", l.at))
	}
	if l.trace.Valid() {
		attrs = append(attrs, slog.String("trace", l.trace.ID()))
	}
	attrs = append(attrs, slog.String("db", in.DB), slog.String("member", l.member), slog.Int("sent", l.sent), exact("queue", l.queue), exact("connect", l.connect))
	if l.first > 0 {
		attrs = append(attrs, exact("first", l.first))
	}
	return append(attrs, exact("took", now.Sub(l.began)), slog.Int("in", l.in), slog.Int("out", l.out), slog.String("end", l.ended(err)))
}

// over ends the last wait.
func (l *accessLine) over() {
	if l.seeking {
		now := time.Now()
		l.queue, l.since = l.queue+now.Sub(l.since), now
	}
}

func exact(key string, d time.Duration) slog.Attr {
	return slog.Duration(key, d.Round(time.Microsecond))
}

// startLine starts the line of the unit that was just decided on; its text must still be at hand.
func (s *boltSession) startLine() {
	u := &s.unit
	if u.line = s.srv.accessLine(&s.lineRoom, s.now, s.trace, s.traceState); u.line == nil {
		return
	}
	if u.verdict.Reason != "" && !u.declared {
		u.line.judged(u.query, u.verdict)
	}
}

// endLine writes the line of a unit that is over; one that holds a lease goes on.
func (s *boltSession) endLine(err error) {
	u := &s.unit
	l := u.line
	if l == nil {
		return
	}
	if s.lease != nil {
		if err != nil { // the session ends, and with it the lease
			l.failed(l.ended(err))
		}
		return
	}
	u.line = nil
	unit := "auto-commit"
	if u.explicit {
		unit = "transaction"
	}
	if u.explicit && u.ends() == bolt.TagRollback {
		l.failed("rollback")
	}
	l.over()
	if l.spans != nil {
		s.srv.offerSpans(l, &spanFacts{frontend: s.front.settings.Load().Name, client: s.remote, local: s.local, session: s.id, protocol: "bolt",
			version: s.version.String(), unit: unit, intent: u.intent, because: u.because, end: l.ended(err)})
	}
	if !l.logged {
		return
	}
	list := attrLists.Get().(*[mostAttrs]slog.Attr)
	attrs := append(list[:0], slog.String("frontend", s.front.settings.Load().Name), slog.String("client", s.remote), slog.String("session", s.id),
		slog.String("protocol", boltName(s.version)), slog.String("unit", unit))
	s.srv.write(l, list, attrs, u.intent, u.because, err)
}

// boltName is the protocol's name in lines.
func boltName(v bolt.Version) string {
	if name, ok := boltNames[v]; ok {
		return name
	}
	return "bolt " + v.String()
}

var boltNames = func() map[bolt.Version]string {
	names := map[bolt.Version]string{}
	for _, v := range bolt.Versions {
		names[v] = "bolt " + v.String()
	}
	return names
}()

// refusedLine is the whole line of an opening request that a client which may only read was refused.
func (s *boltSession) refusedLine(code, why string) {
	if l := s.srv.accessLine(&s.lineRoom, s.now, s.trace, s.traceState); l != nil {
		s.unit.reset()
		l.reason, l.end, s.unit.line, s.unit.because = why, code, l, becauseReadOnly
	}
}

// decided completes the line of a request that was just decided on by what its texts say.
func (c *httpConn) decided() {
	w := c.w
	l := w.unit.line
	if l == nil {
		return
	}
	if w.unit.texts.known && w.unit.declared == undeclared {
		l.reason, l.at = w.unit.texts.reason, w.unit.texts.at
	}
}

var httpUnits = map[routeKind]string{routeBegin: "begin", routeInside: "inside a transaction"}

// endLine writes the line of the request that was just served.
func (c *httpConn) endLine(err error) {
	w := c.w
	if w == nil || w.unit.line == nil {
		return
	}
	u := &w.unit
	l := u.line
	u.line = nil
	unit := "request"
	if name, ok := httpUnits[w.path.kind]; ok {
		unit = name
	}
	if l.status == 0 && u.answered {
		l.status = w.ans.status
	}
	l.over()
	if l.spans != nil {
		c.srv.offerSpans(l, &spanFacts{frontend: w.set.Name, client: c.remote, local: c.local, protocol: "http", unit: unit, status: l.status, intent: u.intent,
			because: u.because, end: l.ended(err)})
	}
	if !l.logged {
		return
	}
	list := attrLists.Get().(*[mostAttrs]slog.Attr)
	attrs := append(list[:0], slog.String("frontend", w.set.Name), slog.String("client", c.remote), slog.String("protocol", "http"), slog.String("unit", unit),
		slog.Int("status", l.status))
	c.srv.write(l, list, attrs, u.intent, u.because, err)
}
