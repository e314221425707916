package otlp

import (
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// This file owns what stays while collectors come and go with reloads: the counters, and which collector is told now.

// Exporter sends spans. New makes one that sends none; while it is off it has neither a goroutine nor a buffer. Its methods may be called
// from any goroutine.
type Exporter struct {
	log      *slog.Logger
	version  string
	env      func(string) string
	farewell sync.WaitGroup // of senders that are being ended

	mu  sync.Mutex             // held to change to
	to  atomic.Pointer[sender] // nil: off
	url string                 // guarded by mu

	counts
}

// counts only grow.
type counts struct{ sent, full, refused, lost atomic.Uint64 }

// Counts is what became of spans.
type Counts struct {
	Sent    uint64 // the collector took them
	Full    uint64 // dropped: the queue was full
	Refused uint64 // dropped: the collector said that it does not take them
	Lost    uint64 // dropped: the collector could not be reached, or did not answer in time
}

// New returns an Exporter that is off. version is the gate's.
func New(version string, log *slog.Logger) *Exporter {
	return &Exporter{log: log, version: version, env: os.Getenv}
}

// Apply makes url the collector's; "" sends no spans any more. What was offered before goes to the collector before, within a bounded time
// and beside.
func (e *Exporter) Apply(url string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if url == e.url {
		return
	}
	e.url = url
	var next *sender
	if url != "" {
		next = newSender(e, Endpoint(url))
	}
	if old := e.to.Swap(next); old != nil {
		e.farewell.Go(old.end)
	}
}

// On tells whether spans are sent: whoever makes them asks before.
func (e *Exporter) On() bool { return e != nil && e.to.Load() != nil }

// Offer takes spans that belong together, all or none. It never waits.
func (e *Exporter) Offer(spans []Span) {
	s := e.to.Load()
	if s == nil || !s.offer(spans) {
		e.full.Add(uint64(len(spans)))
	}
}

// Close sends what is left, for two seconds at most. Spans that are offered later are dropped.
func (e *Exporter) Close() {
	e.Apply("")
	e.farewell.Wait()
}

// Counts are what was counted so far.
func (e *Exporter) Counts() Counts {
	return Counts{Sent: e.sent.Load(), Full: e.full.Load(), Refused: e.refused.Load(), Lost: e.lost.Load()}
}

// tracesPath is what comes behind the collector's URL (OTLP specification, "OTLP/HTTP Request").
const tracesPath = "/v1/traces"

// Endpoint is where the collector of that URL takes traces: the URL's path and v1/traces behind it, unless that stands there already.
func Endpoint(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	if path := strings.TrimRight(u.Path, "/"); !strings.HasSuffix(path, tracesPath) {
		u.Path = path + tracesPath
	}
	return u.String()
}

// The names of OpenTelemetry's own variables for what no key of the configuration says.
const (
	envHeaders       = "OTEL_EXPORTER_OTLP_HEADERS"
	envTracesHeaders = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
	envService       = "OTEL_SERVICE_NAME"
	envResource      = "OTEL_RESOURCE_ATTRIBUTES"
)

// headers are what a collector wants to see beside the spans, such as a token.
func (e *Exporter) headers() map[string]string {
	all := map[string]string{}
	for _, name := range []string{envHeaders, envTracesHeaders} {
		for key, value := range pairs(e.env(name)) {
			all[key] = value
		}
	}
	return all
}

// resource says whose spans these are. What the environment says goes before.
func (e *Exporter) resource() []Attr {
	said := map[string]string{"service.name": "boltgate", "service.version": e.version}
	if host, err := os.Hostname(); err == nil {
		said["host.name"] = host
	}
	for key, value := range pairs(e.env(envResource)) {
		said[key] = value
	}
	if name := e.env(envService); name != "" {
		said["service.name"] = name
	}
	all := []Attr{Number("process.pid", os.Getpid())}
	for key, value := range said {
		all = append(all, Text(key, value))
	}
	return all
}

// pairs reads key=value,key=value, in which % escapes (W3C Baggage, as the OpenTelemetry specification has it). What is malformed is left out.
func pairs(text string) map[string]string {
	all := map[string]string{}
	for one := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(one, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); found && key != "" && err == nil {
			all[key] = value
		}
	}
	return all
}
