package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/routing"
)

// TestLinesReadAsSlogs, whatever stands in them.
func TestLinesReadAsSlogs(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 2, 3, 450_000_000, time.UTC)
	texts := []string{"", "plain", "10.0.0.7:50312", `"`, `a\b`, "two words", "a=b", "line\nand\ttab", "\x00\x7f", "ä€😀", "bad \xff utf", "</script>&", "\u2028"}
	durations := []time.Duration{0, time.Microsecond, 31 * time.Microsecond, 1204 * time.Microsecond, 20 * time.Millisecond, 999_090 * time.Microsecond, 1500, time.Second, 90 * time.Minute}
	spell := func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}
	for _, inJSON := range []bool{true, false} {
		for i, text := range texts {
			attrs := []slog.Attr{slog.String("client", text), slog.Int("sent", i-3), slog.Duration("took", durations[i%len(durations)])}
			var got, want bytes.Buffer
			w := NewLineWriter(&got, inJSON, func() bool { return true })
			w.write(now, "access", attrs)
			w.Flush()
			var h slog.Handler = slog.NewTextHandler(&want, &slog.HandlerOptions{ReplaceAttr: spell})
			if inJSON {
				h = slog.NewJSONHandler(&want, &slog.HandlerOptions{ReplaceAttr: spell})
			}
			r := slog.NewRecord(now, slog.LevelInfo, "access", 0)
			r.AddAttrs(attrs...)
			h.Handle(context.Background(), r) //nolint:errcheck // a buffer takes everything
			if !inJSON {
				if got.String() != want.String() {
					t.Errorf("%q:\ngot  %swant %s", text, got.Bytes(), want.Bytes())
				}
				continue
			}
			var a, b any
			if err := json.Unmarshal(got.Bytes(), &a); err != nil || json.Unmarshal(want.Bytes(), &b) != nil || !reflect.DeepEqual(a, b) || strings.Count(got.String(), "\n") != 1 {
				t.Errorf("%q: %v\ngot  %swant %s", text, err, got.Bytes(), want.Bytes())
			}
		}
	}
}

// TestLinesLeaveSoon: many at once, the last ones after a moment, and none while the level is above them.
func TestLinesLeaveSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got writes
		var on atomic.Bool
		on.Store(true)
		w := NewLineWriter(&got, true, on.Load)
		attrs := []slog.Attr{slog.String("client", strings.Repeat("x", 500))}
		for range 200 {
			w.write(time.Now(), "access", attrs)
		}
		if _, n := got.took(); n == 0 || n > 5 {
			t.Errorf("%d writes for 200 lines", n)
		}
		time.Sleep(2 * linesKept)
		synctest.Wait()
		if n, _ := got.took(); n != 200 {
			t.Errorf("%d lines; want 200", n)
		}
		on.Store(false)
		w.write(time.Now(), "access", attrs)
		time.Sleep(2 * linesKept)
		synctest.Wait()
		if n, _ := got.took(); n != 200 {
			t.Errorf("%d lines; the last one has no level that is written", n)
		}
		on.Store(true)
		w.write(time.Now(), "access", attrs)
		time.Sleep(2 * linesKept)
		synctest.Wait()
		if n, _ := got.took(); n != 201 {
			t.Errorf("%d lines; want 201", n)
		}
	})
}

// writes keeps what was written, and how often something was.
type writes struct {
	mu    sync.Mutex
	text  strings.Builder
	times int
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times++
	return w.text.Write(p)
}

// took tells how many lines came in how many writes.
func (w *writes) took() (lines, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), "\n"), w.times
}

// benchLine is a session whose unit is about to have a line.
func benchLine(o Options) *boltSession {
	srv := &Server{log: slog.New(slog.DiscardHandler)}
	srv.options.Store(&o)
	s := &boltSession{srv: srv, front: new(frontend), version: bolt.V5_8, busy: new(busy), id: "boltgate-17", remote: "10.0.0.7:50312", now: time.Now()}
	s.front.settings.Store(&Frontend{Name: "main"})
	s.unit.intent = routing.Intent{Mode: routing.Read, DB: "neo4j"}
	s.unit.because = becauseDeclared
	return s
}

// BenchmarkAccessLine is what a full access log costs a unit of work, but for the two looks at the clock on the way.
func BenchmarkAccessLine(b *testing.B) {
	s := benchLine(Options{AccessLog: true, Lines: NewLineWriter(io.Discard, true, func() bool { return true })})
	s.now = time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.startLine()
		s.unit.line.member, s.unit.line.seeking = "s1", false
		s.unit.line.first = 1204 * time.Microsecond
		s.endLine(nil)
	}
}

// BenchmarkNoAccessLine is what the same costs while there is neither an access log nor a collector.
func BenchmarkNoAccessLine(b *testing.B) {
	s := benchLine(Options{Spans: otlp.New("test", slog.New(slog.DiscardHandler))})
	b.ReportAllocs()
	for b.Loop() {
		s.startLine()
		s.endLine(nil)
	}
}
