package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unique"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the slow query log (log.slow): a warning for each query that took longer, and the last of them for operators. The line has the
// normal form of the text, in which literals are ?; the text as it was sent, and its parameters, only with log.slow_data.

const (
	slowKept    = 100  // of the last ones, for operators
	slowLines   = 100  // written a second at most: when everything is slow the log shall not make it worse
	slowText    = 2000 // bytes of a text that was sent, and of its parameters
	keptForSlow = 16 << 10
)

// SlowQuery is a query that took longer than Options.Slow.
type SlowQuery struct {
	At       time.Time // its end
	Text     string    // in normal form
	Took     time.Duration
	Rows     uint64
	Failed   bool
	Session  string
	User     string
	Frontend string
	Client   string
	Member   string // "" when none had it
	Database string
	Read     bool
	Trace    string // W3C trace id, in hexadecimal; "" without one
}

// slowLog is what the server keeps. The zero value is ready.
type slowLog struct {
	mu      sync.Mutex
	kept    []SlowQuery // guarded by mu: a ring, the next goes to next
	next    int
	second  time.Time // guarded by mu: in which lines were written,
	lines   int       // so many,
	dropped int       // and so many were not, until the next line
}

// note keeps a query, and tells whether it gets a line, and how many before it got none.
func (l *slowLog) note(q SlowQuery) (write bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) < slowKept {
		l.kept = append(l.kept, q)
	} else {
		l.kept[l.next] = q
	}
	l.next = (l.next + 1) % slowKept
	if q.At.Sub(l.second) >= time.Second {
		l.second, l.lines = q.At, 0
	}
	if l.lines == slowLines {
		l.dropped++
		return false, 0
	}
	l.lines++
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}

// SlowQueries are the last queries that took longer than Options.Slow, the newest first.
func (s *Server) SlowQueries() []SlowQuery {
	l := &s.slow
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.kept)
	if len(all) == slowKept {
		all = append(all[l.next:], all[:l.next]...)
	}
	slices.Reverse(all)
	return all
}

// Queries counts queries by the shape of their texts.
func (s *Server) Queries() *querystats.Table { return s.queries }

// logSlow writes the line of the session's query, which is done.
func (s *boltSession) logSlow(took time.Duration, failed bool) {
	q := &s.query
	one := SlowQuery{At: q.ended, Text: s.srv.queries.Text(q.id), Took: took, Rows: q.rows, Failed: failed, Session: s.id, User: s.whoName(),
		Frontend: s.front.settings.Load().Name, Client: s.remote, Database: s.unit.intent.DB, Read: s.unit.intent.Mode == routing.Read, Trace: s.trace.ID()}
	if s.lease != nil {
		one.Member = s.lease.Member.Name
	}
	var data []slog.Attr
	if len(q.said) > 0 && q.taken == q.runs {
		data = saidAttrs(q.said)
	}
	s.srv.writeSlow(one, data)
}

// whoName is the name of who is logged on, as operators see it.
func (s *boltSession) whoName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.who == (unique.Handle[whom]{}) {
		return ""
	}
	return s.who.Value().user
}

func (s *Server) writeSlow(q SlowQuery, data []slog.Attr) {
	write, dropped := s.slow.note(q)
	if !write {
		return
	}
	access, end := "write", "ok"
	if q.Read {
		access = "read"
	}
	if q.Failed {
		end = "failed"
	}
	attrs := []slog.Attr{slog.Duration("took", q.Took.Round(time.Microsecond)), slog.String("query", q.Text), slog.Uint64("rows", q.Rows), slog.String("end", end),
		slog.String("access", access), slog.String("db", q.Database), slog.String("member", q.Member), slog.String("session", q.Session), slog.String("user", q.User),
		slog.String("frontend", q.Frontend), slog.String("client", q.Client)}
	if q.Trace != "" {
		attrs = append(attrs, slog.String("trace", q.Trace))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int("unwritten", dropped))
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "slow query", append(attrs, data...)...)
}

// keepSaid keeps what the RUN at the inbox's start says, where that is asked for.
func (s *boltSession) keepSaid() {
	q := &s.query
	if o := s.srv.options.Load(); !o.SlowData || o.Slow == 0 {
		q.said = nil
		return
	}
	if !s.unit.explicit {
		q.taken, q.runs = 0, 0
	}
	q.taken++
	q.said = joinChunks(q.said[:0], s.in.message(), keptForSlow)
}

// saidAttrs are the text and the parameters of a RUN whose payload begins so.
func saidAttrs(payload []byte) []slog.Attr {
	if len(payload) < 3 || payload[1] != bolt.TagRun {
		return nil
	}
	d := packstream.NewDecoder(payload[2:])
	text := d.String()
	if d.Err() != nil {
		from, _ := textAt(payload)
		return []slog.Attr{slog.String("text", querystats.Cut(payload[from:], slowText)), slog.String("parameters", "(too long)")}
	}
	attrs := []slog.Attr{slog.String("text", querystats.Cut(text, slowText))}
	params := d.Value()
	if d.Err() != nil {
		return append(attrs, slog.String("parameters", "(too long)"))
	}
	return append(attrs, slog.String("parameters", querystats.Cut(fmt.Append(nil, params), slowText)))
}
