package proxy

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// This file holds the spans to what happened. They are read by OpenTelemetry's own definitions, not by ours.

// spanTest is a gate that sends spans to a stand-in for a collector.
type spanTest struct {
	*gate
	exporter *otlp.Exporter
	reader   drivers.OTLPReader
	log      *accessLog

	mu     sync.Mutex
	bodies [][]byte // guarded by mu: exports that were not looked at
}

func startSpans(t *testing.T, o Options) *spanTest {
	labs.Require(t, "OpenTelemetry's own definitions, in Python", drivers.OTLPReaderAvailable())
	reader, err := drivers.InstallOTLPReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &spanTest{reader: reader, log: new(accessLog)}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies = append(s.bodies, body)
	}))
	t.Cleanup(collector.Close)
	s.exporter = otlp.New("test", slog.New(slog.DiscardHandler))
	s.exporter.Apply(collector.URL)
	t.Cleanup(s.exporter.Close)
	o.Spans = s.exporter
	s.gate = startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: o, log: s.log.logger()})
	return s
}

// take returns the spans since the last call, once there are n.
func (s *spanTest) take(n int) (all []drivers.OTLPSpan) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); len(all) < n; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		bodies := s.bodies
		s.bodies = nil
		s.mu.Unlock()
		for _, body := range bodies {
			export, err := s.reader.Read(s.t.Context(), body)
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, export.Spans...)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("got %d spans, want %d: %+v", len(all), n, all)
		}
	}
	if len(all) != n {
		s.t.Fatalf("got %d spans, want %d: %+v", len(all), n, all)
	}
	return all
}

const (
	aTrace   = "0af7651916cd43dd8448eb211c80319c"
	sampled  = "00-" + aTrace + "-b7ad6b7169203331-01"
	unwanted = "00-" + aTrace + "-b7ad6b7169203331-00"
)

// inBase64 is an id as protobuf's JSON has it.
func inBase64(t *testing.T, id string) string {
	b, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestSpansOfBolt(t *testing.T) {
	s := startSpans(t, Options{})
	w := s.logged(bolt.V5_4)
	traced := m{"traceparent": sampled, "tracestate": "shop=1", "other": []any{1, m{"traceparent": "deeper"}}}
	w.ask(run(w.v, "MATCH (n {p: 'topsecret'}) RETURN n", m{"p": secret}, m{"db": "neo4j", "mode": "r", "tx_metadata": traced}), pull(w.v))
	spans := s.take(2)
	root, at := spans[0], spans[1]
	if root.TraceID != inBase64(t, aTrace) || root.ParentSpanID != inBase64(t, "b7ad6b7169203331") || root.TraceState != "shop=1" || root.Kind != "SPAN_KIND_SERVER" ||
		at.TraceID != root.TraceID || at.ParentSpanID != root.SpanID || at.SpanID == root.SpanID || at.Kind != "SPAN_KIND_CLIENT" || root.Flags&0x300 != 0x300 || at.Flags&0x300 != 0x100 {
		t.Errorf("got %+v\nand %+v", root, at)
	}
	for key, want := range map[string]string{
		"db.system.name": "neo4j", "db.namespace": "neo4j", "db.operation.name": "read", "db.query.text": "MATCH (n {p: ?}) RETURN n", "db.response.returned_rows": "1",
		"network.protocol.name": "bolt", "network.protocol.version": "5.4", "boltgate.why": "declared", "boltgate.unit": "auto-commit", "boltgate.frontend": "main", "error.type": "",
		"client.address": "127.0.0.1", "server.address": "127.0.0.1", "boltgate.members_tried": "1",
	} {
		if got := root.Attributes[key]; got != want {
			t.Errorf("%s is %q; want %q", key, got, want)
		}
	}
	member := at.Attributes["boltgate.member"]
	if bolt := s.current.View().Member(member); root.Name != "read neo4j" || bolt == nil || at.Attributes["server.address"]+":"+at.Attributes["server.port"] != bolt.Bolt ||
		at.Attributes["db.system.name"] != "neo4j" || root.Start > at.Start || root.End < at.Start || len(at.Events) == 0 || at.Events[len(at.Events)-1].Name != "first record" {
		t.Errorf("%s: got %+v", root.Name, at)
	}
	if text := fmt.Sprint(spans); strings.Contains(text, secret) {
		t.Errorf("a literal or parameter is in a span: %s", text)
	}
}

func TestSpansOfTransactionsAndFailures(t *testing.T) {
	s := startSpans(t, Options{})
	w := s.logged(bolt.V5_4)
	traced := m{"db": "neo4j", "tx_metadata": m{"traceparent": sampled}}
	w.ask(bolt.AppendMessage(nil, bolt.TagBegin, traced))
	for range spanQueries + 2 {
		w.ask(run(w.v, someRows, nil, nil), pull(w.v))
	}
	w.ask(commitTx(w.v)...)
	root := s.take(2)[0]
	if root.Name != "write neo4j" || root.Attributes["boltgate.unit"] != "transaction" || len(root.Events) != spanQueries || root.Events[0].Attributes["db.query.text"] == "" || root.Status.Code != "" {
		t.Errorf("a transaction: %+v", root)
	}
	const fails = "Neo.ClientError.Statement.TypeError"
	w.ask(run(w.v, "RETURN 1 /*standin fail="+fails+"*/", nil, traced), pull(w.v))
	for _, span := range s.take(2) {
		if span.Attributes["error.type"] != fails || span.Attributes["db.response.status_code"] != fails || span.Status.Code != "STATUS_CODE_ERROR" {
			t.Errorf("a failure: %+v", span)
		}
	}
	w.ask(bolt.Reset)
	w.ask(run(w.v, misjudged, nil, traced), pull(w.v)) // two members have it
	spans := s.take(3)
	if first, second := spans[1], spans[2]; first.Attributes["error.type"] != "sent_again" || second.Attributes["error.type"] != "" || first.End > second.Start || spans[0].Status.Code != "" {
		t.Errorf("two members: %+v", spans)
	}
}

// TestWhoHasSpans: work whose client says so, and of its own accord what has a line and no trace.
func TestWhoHasSpans(t *testing.T) {
	s := startSpans(t, Options{})
	w := s.logged(bolt.V5_4)
	ask := func(metadata m) { w.ask(run(w.v, oneRow, nil, m{"mode": "r", "tx_metadata": metadata}), pull(w.v)) }
	for _, none := range []m{nil, {}, {"traceparent": unwanted}, {"traceparent": "nonsense"}, {"traceparent": 7}} {
		ask(none)
	}
	ask(m{"traceparent": sampled})
	if root := s.take(2)[0]; root.TraceID != inBase64(t, aTrace) {
		t.Errorf("got %+v", root)
	}
	o := *s.server.options.Load()
	o.AccessLog = true
	if err := s.server.Apply(o, []*Frontend{s.server.fronts["main"].settings.Load()}); err != nil {
		t.Fatal(err)
	}
	s.log.take(t)
	ask(m{"traceparent": unwanted})
	if line := s.log.await(t, 1)[0]; line["trace"] != aTrace {
		t.Errorf("the line has no trace: %v", line)
	}
	ask(nil)
	if line := s.log.await(t, 1)[0]; line["trace"] != nil {
		t.Errorf("the line has a trace: %v", line)
	}
	if root := s.take(2)[0]; root.ParentSpanID != "" || root.TraceID == inBase64(t, aTrace) || root.Flags&1 == 0 {
		t.Errorf("got %+v", root)
	}
	o.AccessShare = 0.25
	if err := s.server.Apply(o, []*Frontend{s.server.fronts["main"].settings.Load()}); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		ask(nil)
	}
	w.ask(bolt.Reset) // the last line was written before
	if n := len(s.log.take(t)); n < 20 || n > 90 {
		t.Errorf("%d of 200 units have a line; asked for a quarter", n)
	}
}

func TestSpansOfHTTP(t *testing.T) {
	s := startSpans(t, Options{Slow: time.Nanosecond})
	a := s.web("POST", "/db/neo4j/tx/commit", stmt("MATCH (n {p: 'topsecret'}) RETURN n"), "traceparent", sampled, "tracestate", "a=b")
	spans := s.take(2)
	root := spans[0]
	if root.TraceID != inBase64(t, aTrace) || root.TraceState != "a=b" || root.Attributes["network.protocol.name"] != "http" || root.Attributes["http.response.status_code"] != fmt.Sprint(a.status) ||
		root.Attributes["db.query.text"] != "MATCH (n {p: ?}) RETURN n" || root.Name != "read neo4j" || spans[1].ParentSpanID != root.SpanID {
		t.Errorf("%d: got %+v", a.status, spans)
	}
	if slow := s.server.SlowQueries(); len(slow) != 1 || slow[0].Trace != aTrace {
		t.Errorf("slow queries: %+v", slow)
	}
	c := s.raw() // two are none
	c.send("GET /db/data/ HTTP/1.1\r\nHost: a\r\ntraceparent: ", sampled, "\r\ntraceparent: ", sampled, "\r\n\r\n")
	if got, err := http.ReadResponse(c.br, nil); err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	s.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "traceparent", unwanted)
	s.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "traceparent", sampled)
	s.take(2)
}

// TestADriversTraceComesOutInSpans, and in the slow query log.
func TestADriversTraceComesOutInSpans(t *testing.T) {
	s := startSpans(t, Options{Slow: time.Nanosecond})
	driver := driverAt(t, "neo4j://"+s.address)
	ctx := context.Background()
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
	defer session.Close(ctx)
	traced := neo4j.WithTxMetadata(map[string]any{"traceparent": sampled})
	for _, access := range []string{"read", "write"} {
		work := func(tx neo4j.ManagedTransaction) (any, error) {
			result, err := tx.Run(ctx, map[string]string{"read": oneRow, "write": aWrite}[access], nil)
			if err != nil {
				return nil, err
			}
			return result.Consume(ctx)
		}
		run := session.ExecuteWrite
		if access == "read" {
			run = session.ExecuteRead
		}
		if _, err := run(ctx, work, traced); err != nil {
			t.Fatal(err)
		}
		root := s.take(2)[0]
		if root.TraceID != inBase64(t, aTrace) || root.ParentSpanID != inBase64(t, "b7ad6b7169203331") || root.Name != access+" neo4j" || root.Attributes["db.query.text"] == "" {
			t.Errorf("%s: got %+v", access, root)
		}
	}
	if text := s.log.text(); !strings.Contains(text, `"trace":"`+aTrace+`"`) {
		t.Errorf("the slow query log does not say the trace: %s", text)
	}
}

// TestSpansCostNothingWhileTheyAreOff: a unit whose client names a trace has no line then.
func TestSpansCostNothingWhileTheyAreOff(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{Spans: otlp.New("test", slog.New(slog.DiscardHandler))}})
	if l := g.server.accessLine(new(accessLine), time.Now(), otlp.ParseTraceparent([]byte(sampled)), ""); l != nil {
		t.Errorf("got %+v", l)
	}
}
