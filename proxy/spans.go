package proxy

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the spans of a unit of work (log.otlp): one of the gate's own, and beneath it one for each member that had it. What they
// tell is noted with the unit's line, which is there for them alone where the access log is off, and made into spans when the unit is
// over. Names are those of OpenTelemetry's semantic conventions for databases, and boltgate.* where these have none. Texts of queries are in normal
// form; there are no parameters.

// spanQueries is how many queries of a transaction have an event; the rest is counted.
const spanQueries = 16

// spanNotes is what is noted for the spans of a unit while that runs.
type spanNotes struct {
	state   string // tracestate
	tries   []try
	queries []spanQuery
	more    int // queries that have no event
	rows    uint64
}

// try is a member's turn.
type try struct {
	member   *cluster.Member
	from     time.Time // it was chosen, and there was a place
	had      time.Time // the connection was there
	answered time.Time // the first record, or the head of an HTTP answer; zero: there was none
	ended    time.Time // the unit went to another; zero: it did not
}

type spanQuery struct {
	at     time.Time
	id     querystats.ID
	rows   uint64
	took   time.Duration
	failed bool
}

func (n *spanNotes) went(to *pool.Lease, now time.Time) {
	n.tries = append(n.tries, try{member: to.Member, from: now.Add(-to.Connecting), had: now})
}

func (n *spanNotes) answered(now time.Time) {
	if k := len(n.tries); k > 0 {
		n.tries[k-1].answered = now
	}
}

func (n *spanNotes) again(now time.Time) {
	if k := len(n.tries); k > 0 {
		n.tries[k-1].ended = now
	}
}

// asked notes a query that is over.
func (l *accessLine) asked(q spanQuery) {
	if l == nil || l.spans == nil {
		return
	}
	n := l.spans
	n.rows += q.rows
	if len(n.queries) == spanQueries {
		n.more++
		return
	}
	n.queries = append(n.queries, q)
}

// spanFacts are what is known of a unit at its end, beside its line.
type spanFacts struct {
	frontend, client, local, session string
	protocol, version, unit          string
	status                           int // HTTP
	intent                           routing.Intent
	because                          because
	end                              string
}

// noFailures are the ends of a unit of work that are none; others are the code of a failure, or words for what became of a connection.
var noFailures = map[string]bool{"ok": true, "rollback": true, "reset": true}

// offerSpans gives the unit's spans to the exporter.
func (s *Server) offerSpans(l *accessLine, f *spanFacts) {
	n, trace, remote, now := l.spans, l.trace, true, time.Now()
	if !trace.Valid() {
		trace, remote = otlp.NewTrace(), false
	}
	spans := make([]otlp.Span, 1, 1+len(n.tries))
	spans[0] = otlp.Span{Context: trace, Remote: remote, ID: otlp.NewSpan(), State: n.state, Kind: otlp.Server, Name: f.name(), Start: l.began, End: now,
		Attrs: s.unitAttrs(l, f), Events: s.queryEvents(n), Unlisted: n.more}
	f.fail(&spans[0], f.end)
	trace.Span = spans[0].ID
	for i := range n.tries {
		t := &n.tries[i]
		one := otlp.Span{Context: trace, ID: otlp.NewSpan(), State: n.state, Kind: otlp.Client, Name: f.name(), Start: t.from, End: t.ended, Attrs: f.common(), Events: t.events()}
		address := t.member.Bolt
		if f.protocol == "http" {
			address = t.member.HTTP
		}
		one.Attrs = append(appendAddress(one.Attrs, "server", address), otlp.Text("boltgate.member", t.member.Name))
		if one.End.IsZero() {
			one.End = now
			f.fail(&one, f.end)
		} else {
			f.fail(&one, "sent_again")
		}
		spans = append(spans, one)
	}
	if exporter := s.options.Load().Spans; exporter != nil {
		exporter.Offer(spans)
	}
}

// access is the operation that the gate routes by; what a text does in particular is not taken out of it, as the conventions want it.
func (f *spanFacts) access() string {
	if f.intent.Mode == routing.Read {
		return "read"
	}
	return "write"
}

// name is that of all spans of a unit: operation and database.
func (f *spanFacts) name() string {
	if f.intent.DB == "" {
		return f.access()
	}
	return f.access() + " " + f.intent.DB
}

// common are the attributes of all spans of a unit.
func (f *spanFacts) common() []otlp.Attr {
	all := make([]otlp.Attr, 0, 20)
	all = append(all, otlp.Text("db.system.name", "neo4j"), otlp.Text("db.operation.name", f.access()), otlp.Text("network.protocol.name", f.protocol))
	if f.intent.DB != "" {
		all = append(all, otlp.Text("db.namespace", f.intent.DB))
	}
	if f.version != "" {
		all = append(all, otlp.Text("network.protocol.version", f.version))
	}
	return all
}

// unitAttrs are those of the gate's own span.
func (s *Server) unitAttrs(l *accessLine, f *spanFacts) []otlp.Attr {
	n := l.spans
	all := append(f.common(), otlp.Text("boltgate.frontend", f.frontend), otlp.Text("boltgate.unit", f.unit), otlp.Text("boltgate.why", f.because.String()),
		otlp.Number("boltgate.members_tried", l.sent), otlp.Number("boltgate.queue_us", l.queue.Microseconds()), otlp.Number("boltgate.connect_us", l.connect.Microseconds()),
		otlp.Number("boltgate.bytes_in", l.in), otlp.Number("boltgate.bytes_out", l.out))
	all = appendAddress(appendAddress(all, "client", f.client), "server", f.local)
	if l.reason != "" {
		all = append(all, otlp.Text("boltgate.reason", l.reason))
	}
	if f.session != "" {
		all = append(all, otlp.Text("boltgate.session", f.session))
	}
	if f.status != 0 {
		all = append(all, otlp.Number("http.response.status_code", f.status))
	}
	if f.protocol == "bolt" && len(n.queries) > 0 {
		all = append(all, otlp.Number("db.response.returned_rows", n.rows))
	}
	if len(n.queries) == 1 && n.more == 0 {
		all = append(all, otlp.Text("db.query.text", s.queries.Text(n.queries[0].id)))
	}
	return all
}

// queryEvents are the queries of a transaction; a unit with one query tells of it by its attributes.
func (s *Server) queryEvents(n *spanNotes) (all []otlp.Event) {
	if len(n.queries) < 2 {
		return nil
	}
	for _, q := range n.queries {
		e := otlp.Event{At: q.at, Name: "query", Attrs: []otlp.Attr{otlp.Text("db.query.text", s.queries.Text(q.id)), otlp.Number("db.response.returned_rows", q.rows),
			otlp.Number("boltgate.took_us", q.took.Microseconds())}}
		if q.failed {
			e.Attrs = append(e.Attrs, otlp.Text("error.type", "_OTHER"))
		}
		all = append(all, e)
	}
	return all
}

// events are the steps of a member's turn.
func (t *try) events() (all []otlp.Event) {
	if t.had.After(t.from) {
		all = append(all, otlp.Event{At: t.had, Name: "connected"})
	}
	if !t.answered.IsZero() {
		all = append(all, otlp.Event{At: t.answered, Name: "first record"})
	}
	return all
}

// fail makes a span one that failed, unless its end is none of those.
func (f *spanFacts) fail(s *otlp.Span, end string) {
	if noFailures[end] && f.status < 500 {
		return
	}
	if noFailures[end] {
		end = strconv.Itoa(f.status)
	}
	end = strings.ReplaceAll(end, " ", "_")
	s.Failed, s.Message = true, end
	s.Attrs = append(s.Attrs, otlp.Text("error.type", end))
	if strings.HasPrefix(end, "Neo.") {
		s.Attrs = append(s.Attrs, otlp.Text("db.response.status_code", end))
	}
}

// appendAddress appends an address as the conventions take it apart.
func appendAddress(all []otlp.Attr, whose, address string) []otlp.Attr {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if address == "" {
			return all
		}
		return append(all, otlp.Text(whose+".address", address))
	}
	all = append(all, otlp.Text(whose+".address", host))
	if n, err := strconv.Atoi(port); err == nil {
		all = append(all, otlp.Number(whose+".port", n))
	}
	return all
}

// takeTrace takes the trace context out of an opening request's tx_metadata, encoded; nil: it has none.
func (s *boltSession) takeTrace(metadata []byte) {
	s.trace, s.traceState = otlp.Context{}, ""
	if metadata == nil {
		return
	}
	var state []byte
	d := packstream.NewDecoder(metadata)
	if d.Kind() != packstream.KindMap {
		return
	}
	for range d.Map() {
		switch key := d.String(); {
		case string(key) == "traceparent" && d.Kind() == packstream.KindString:
			s.trace = otlp.ParseTraceparent(d.String())
		case string(key) == "tracestate" && d.Kind() == packstream.KindString:
			state = d.String()
		default:
			d.Skip()
		}
	}
	if d.Err() == nil && s.trace.Sampled() && s.srv.options.Load().Spans.On() {
		s.traceState = otlp.State(state)
	}
}

// takeTrace takes it out of the request's header lines. Several are none.
func (c *httpConn) takeTrace() {
	w := c.w
	r := &w.req
	if !r.has(fTraceparent) || r.twice[fTraceparent] {
		return
	}
	w.unit.trace = otlp.ParseTraceparent(r.value(c.head(), fTraceparent))
	if w.unit.trace.Sampled() && c.srv.options.Load().Spans.On() {
		w.unit.traceState = otlp.State(r.value(c.head(), fTracestate))
	}
}
