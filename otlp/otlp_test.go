package otlp

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// collector is a stand-in for one: it keeps what it is sent, and answers as a test says.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  [][]byte
	headers []http.Header
	paths   []string
	answer  func(n int, w http.ResponseWriter) // of the n-th request, from 1 on; nil: 200
}

func newCollector(t *testing.T, answer func(n int, w http.ResponseWriter)) *collector {
	c := &collector{answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		c.bodies, c.headers, c.paths = append(c.bodies, body), append(c.headers, r.Header), append(c.paths, r.Method+" "+r.URL.Path)
		n := len(c.bodies)
		c.mu.Unlock()
		if c.answer != nil {
			c.answer(n, w)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) got() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies)
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func newExporter(log io.Writer, env map[string]string) *Exporter {
	e := New("test", slog.New(slog.NewTextHandler(log, nil)))
	e.env = func(name string) string { return env[name] }
	return e
}

// await waits until is holds.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func aSpan(name string) Span {
	at := time.Unix(1_790_000_000, 123_456_789)
	return Span{Context: NewTrace(), ID: NewSpan(), Kind: Server, Name: name, Start: at, End: at.Add(time.Millisecond)}
}

// TestExportsAreReadByOthers: every field, by OpenTelemetry's own definitions; texts and lists of lengths around which the length's own length changes.
func TestExportsAreReadByOthers(t *testing.T) {
	labs.Require(t, "OpenTelemetry's own definitions, in Python", drivers.OTLPReaderAvailable())
	r, err := drivers.InstallOTLPReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []Span
	for _, n := range []int{0, 1, 30, 60, 126, 127, 128, 129, 200, 16_000, 16_383, 16_384, 40_000} {
		s := aSpan(strings.Repeat("n", n))
		s.Attrs = []Attr{Text("empty", ""), Text("text", strings.Repeat("ä", n)), Number("zero", 0), Number("number", int64(-n)), Number("big", uint64(1)<<62)}
		want = append(want, s)
	}
	full := aSpan("full")
	full.Context = ParseTraceparent([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	full.Remote, full.State, full.Kind, full.Failed, full.Message, full.Unlisted = true, "a=b,c=d", Client, true, "Neo.X", 3
	full.Events = []Event{{At: full.Start, Name: "one"}, {At: full.End, Name: "two", Attrs: []Attr{Text("k", strings.Repeat("v", 300))}}}
	want = append(want, full)
	got, err := r.Read(t.Context(), appendExport(nil, []Attr{Text("service.name", "boltgate"), Number("process.pid", 7)}, "test", want))
	if err != nil {
		t.Fatal(err)
	}
	if got.Resource["service.name"] != "boltgate" || got.Resource["process.pid"] != "7" || got.Scope != scopeName || len(got.Spans) != len(want) {
		t.Fatalf("got %v, %s, %d spans", got.Resource, got.Scope, len(got.Spans))
	}
	for i, s := range got.Spans[:len(want)-1] {
		n := len(want[i].Name)
		if s.Name != want[i].Name || s.Start != "1790000000123456789" || s.End != "1790000000124456789" || s.Kind != "SPAN_KIND_SERVER" || s.Flags != 1|knowsRemote ||
			s.Attributes["text"] != strings.Repeat("ä", n) || s.Attributes["number"] != fmt.Sprint(-n) || s.Attributes["zero"] != "0" || len(s.Attributes) != 5 ||
			s.Attributes["big"] != "4611686018427387904" || s.ParentSpanID != "" || s.Status.Code != "" {
			t.Errorf("span %d with %d bytes: got %.300v", i, n, s)
		}
	}
	s := got.Spans[len(want)-1]
	if s.TraceID != "CvdlGRbNQ92ESOshHIAxnA==" || s.ParentSpanID != "t61rcWkgMzE=" || s.TraceState != "a=b,c=d" || s.Kind != "SPAN_KIND_CLIENT" || s.Flags != 1|knowsRemote|isRemote ||
		s.Status.Code != "STATUS_CODE_ERROR" || s.Status.Message != "Neo.X" || len(s.Events) != 2 || s.Events[1].Name != "two" || len(s.Events[1].Attributes["k"]) != 300 {
		t.Errorf("got %+v", s)
	}
}

func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]string{
		good: "sampled",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00": "valid",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03": "sampled",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "sampled",
		"cc" + good[2:] + "-what-comes":                           "sampled",
		"cc" + good[2:] + "x":                                     "",
		good + "-":                                                "",
		"ff" + good[2:]:                                           "",
		"":                                                        "",
		good[:54]:                                                 "",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g": "",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "",
	} {
		c, got := ParseTraceparent([]byte(text)), ""
		switch {
		case c.Sampled():
			got = "sampled"
		case c.Valid():
			got = "valid"
		}
		if got != want || got != "" && c.ID() != "0af7651916cd43dd8448eb211c80319c" || got == "" && c != (Context{}) {
			t.Errorf("%q: got %q, %v; want %q", text, got, c, want)
		}
	}
	if State([]byte("a=b")) != "a=b" || State([]byte("a=\n")) != "" || State(make([]byte, maxState+1)) != "" {
		t.Error("a tracestate that is none, or too long, was taken")
	}
}

func TestEndpoint(t *testing.T) {
	for base, want := range map[string]string{
		"http://localhost:4318":            "http://localhost:4318/v1/traces",
		"http://localhost:4318/":           "http://localhost:4318/v1/traces",
		"https://c.example/otlp":           "https://c.example/otlp/v1/traces",
		"https://c.example/otlp/":          "https://c.example/otlp/v1/traces",
		"https://c.example/otlp/v1/traces": "https://c.example/otlp/v1/traces",
	} {
		if got := Endpoint(base); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

func TestSpansArriveInBatches(t *testing.T) {
	c := newCollector(t, nil)
	e := newExporter(io.Discard, map[string]string{envHeaders: "authorization=Bearer%20x,a=b", envService: "shop-gate", envResource: "deployment.environment.name=test"})
	if e.On() {
		t.Error("it is on before it has a collector")
	}
	e.Offer([]Span{aSpan("too early")})
	e.Apply(c.URL)
	for range 700 {
		e.Offer([]Span{aSpan("a"), aSpan("b")})
	}
	await(t, "not all arrived", func() bool { return e.Counts().Sent == 1400 })
	if n := c.got(); n > 6 {
		t.Errorf("%d requests for 1400 spans", n)
	}
	if h := c.headers[0]; c.paths[0] != "POST /v1/traces" || h.Get("Content-Type") != "application/x-protobuf" || h.Get("Authorization") != "Bearer x" || h.Get("A") != "b" {
		t.Errorf("got %s, %v", c.paths[0], h)
	}
	if body := string(c.bodies[0]); !strings.Contains(body, "shop-gate") || !strings.Contains(body, "deployment.environment.name") {
		t.Error("the resource does not say what the environment says")
	}
	e.Close()
	if got := e.Counts(); got != (Counts{Sent: 1400, Full: 1}) {
		t.Errorf("got %+v", got)
	}
}

// TestTheQueueIsBounded, and nobody waits while the collector hangs; the end is bounded too.
func TestTheQueueIsBounded(t *testing.T) {
	release := make(chan struct{})
	c := newCollector(t, func(_ int, _ http.ResponseWriter) { <-release })
	defer close(release)
	e := newExporter(io.Discard, nil)
	e.Apply(c.URL)
	began := time.Now()
	for range 10 * maxQueue {
		e.Offer([]Span{aSpan("a")})
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("offering took %v", took)
	}
	if full := e.Counts().Full; full < 8*maxQueue || full > 10*maxQueue-maxQueue {
		t.Errorf("%d of %d were dropped", full, 10*maxQueue)
	}
	began = time.Now()
	e.Close()
	if took := time.Since(began); took > goodbye+3*time.Second {
		t.Errorf("the end took %v", took)
	}
	if got := e.Counts(); got.Full+got.Lost != 10*maxQueue {
		t.Errorf("got %+v; want all of %d accounted for", got, 10*maxQueue)
	}
}

func TestWhatBecomesOfABatch(t *testing.T) {
	answers := func(status int, headers ...string) func(int, http.ResponseWriter) {
		return func(n int, w http.ResponseWriter) {
			if n == 1 {
				for i := 0; i < len(headers); i += 2 {
					w.Header().Set(headers[i], headers[i+1])
				}
				w.WriteHeader(status)
			}
		}
	}
	partial := []byte{0x0a, 7, 0x08, 1, 0x12, 3, 'w', 'h', 'y'}
	tests := []struct {
		name   string
		answer func(int, http.ResponseWriter)
		want   Counts
		tries  int
		least  time.Duration
	}{
		{"429", answers(429, "Retry-After", "1"), Counts{Sent: 2}, 2, time.Second},
		{"502", answers(502), Counts{Sent: 2}, 2, 0},
		{"503 for ten minutes", answers(503, "Retry-After", "600"), Counts{Lost: 2}, 1, 0},
		{"504", answers(504), Counts{Sent: 2}, 2, 0},
		{"400", answers(400), Counts{Refused: 2}, 1, 0},
		{"401", answers(401), Counts{Refused: 2}, 1, 0},
		{"500", answers(500), Counts{Refused: 2}, 1, 0},
		{"a redirect", answers(307, "Location", "/elsewhere"), Counts{Refused: 2}, 1, 0},
		{"200 for one of two", func(_ int, w http.ResponseWriter) { w.Write(partial) }, Counts{Sent: 1, Refused: 1}, 1, 0},
		{"200 in JSON", func(_ int, w http.ResponseWriter) { w.Write([]byte("{}")) }, Counts{Sent: 2}, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, test.answer)
			e := newExporter(io.Discard, nil)
			e.Apply(c.URL)
			began := time.Now()
			e.Offer([]Span{aSpan("a"), aSpan("b")})
			await(t, "nothing came of it", func() bool { n := e.Counts(); return n.Sent+n.Refused+n.Lost == 2 })
			if got := e.Counts(); got != test.want || c.got() != test.tries || time.Since(began) < test.least {
				t.Errorf("got %+v after %d tries and %v; want %+v after %d", got, c.got(), time.Since(began), test.want, test.tries)
			}
			if c.got() == 2 && !bytes.Equal(c.bodies[0], c.bodies[1]) {
				t.Error("the second try sent something else")
			}
			e.Close()
		})
	}
}

// TestACollectorThatIsDownIsSaidOnce, and again when it is back.
func TestACollectorThatIsDownIsSaidOnce(t *testing.T) {
	var back sync.Once
	up := make(chan struct{})
	c := newCollector(t, func(_ int, w http.ResponseWriter) {
		select {
		case <-up:
		default:
			w.WriteHeader(404)
		}
	})
	log := new(lines)
	e := newExporter(log, nil)
	e.Apply(c.URL)
	for i := range 3 {
		e.Offer([]Span{aSpan("a")})
		await(t, "it was not tried", func() bool { return c.got() > i && e.Counts().Refused == uint64(i+1) })
	}
	back.Do(func() { close(up) })
	e.Offer([]Span{aSpan("a")})
	await(t, "it did not go on", func() bool { return e.Counts().Sent == 1 })
	e.Close()
	if down, again := log.count("does not take spans"), log.count("takes spans again"); down != 1 || again != 1 {
		t.Errorf("%d and %d lines: %q", down, again, log.all)
	}
}

// TestAReloadTurnsToAnotherCollector; what was offered before goes to the one before.
func TestAReloadTurnsToAnotherCollector(t *testing.T) {
	one, two := newCollector(t, nil), newCollector(t, nil)
	e := newExporter(io.Discard, nil)
	e.Apply(one.URL)
	e.Offer([]Span{aSpan("to-the-first")})
	e.Apply(two.URL)
	e.Offer([]Span{aSpan("to-the-second")})
	e.Apply(two.URL) // changes nothing
	e.Apply("")
	e.Offer([]Span{aSpan("to-nobody")})
	e.Close()
	for name, c := range map[string]*collector{"to-the-first": one, "to-the-second": two} {
		if c.got() != 1 || !bytes.Contains(slices.Concat(c.bodies...), []byte(name)) {
			t.Errorf("%s: %d requests", name, c.got())
		}
	}
	if got := e.Counts(); got != (Counts{Sent: 2, Full: 1}) {
		t.Errorf("got %+v", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0x0a, 7, 0x08, 1, 0x12, 3, 'w', 'h', 'y'})
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		readAnswer(b) //nolint:errcheck // it must return
		ParseTraceparent(b)
	})
}
