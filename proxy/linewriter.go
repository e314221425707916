package proxy

import (
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// This file owns how lines of the access log are written where every unit of work has one. They read as package slog's do, but cost a third: they are
// put together in memory that is used again, and many leave in one system call.

const (
	linesAtOnce = 32 << 10               // bytes that are kept,
	linesKept   = 100 * time.Millisecond // and for how long, at most
	mostAttrs   = 24                     // of a line
)

// LineWriter writes lines of the access log. A writer that is slow is waited for, as with any log.
type LineWriter struct {
	to      io.Writer
	json    bool
	enabled func() bool // lines of level info are written

	mu    sync.Mutex
	lines []byte      // guarded by mu: not written yet
	timer *time.Timer // guarded by mu: writes them; nil before the first
}

// NewLineWriter writes to w, in JSON or as text, while enabled says so. Flush has to be the last call.
func NewLineWriter(w io.Writer, json bool, enabled func() bool) *LineWriter {
	return &LineWriter{to: w, json: json, enabled: enabled}
}

// Flush writes what is kept.
func (w *LineWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// flush is Flush. The caller holds mu.
func (w *LineWriter) flush() {
	if len(w.lines) > 0 {
		w.to.Write(w.lines) //nolint:errcheck // there is no log to say it in
		w.lines = w.lines[:0]
	}
}

// write adds a line.
func (w *LineWriter) write(now time.Time, message string, attrs []slog.Attr) {
	if !w.enabled() {
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	line := w.appendLine(buf[:0], now, message, attrs)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		if w.timer == nil {
			w.timer = time.AfterFunc(linesKept, w.Flush)
		} else {
			w.timer.Reset(linesKept)
		}
	}
	if w.lines = append(w.lines, line...); len(w.lines) >= linesAtOnce {
		w.flush()
	}
}

func (w *LineWriter) appendLine(b []byte, now time.Time, message string, attrs []slog.Attr) []byte {
	if w.json {
		b = append(now.AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano), `","level":"INFO","msg":`...)
		b = appendJSON(b, message)
		for i := range attrs {
			b = append(append(append(b, `,"`...), attrs[i].Key...), `":`...)
			b = w.appendValue(b, &attrs[i].Value)
		}
		return append(b, "}\n"...)
	}
	b = append(now.AppendFormat(append(b, "time="...), "2006-01-02T15:04:05.000Z07:00"), " level=INFO msg="...)
	b = appendWord(b, message)
	for i := range attrs {
		b = append(append(append(b, ' '), attrs[i].Key...), '=')
		b = w.appendValue(b, &attrs[i].Value)
	}
	return append(b, '\n')
}

func (w *LineWriter) appendValue(b []byte, v *slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindDuration:
		if w.json {
			return append(appendDuration(append(b, '"'), v.Duration()), '"')
		}
		return appendDuration(b, v.Duration())
	}
	if w.json {
		return appendJSON(b, v.String())
	}
	return appendWord(b, v.String())
}

// appendDuration appends what Duration.String says of a duration in whole microseconds; most are below a second.
func appendDuration(b []byte, d time.Duration) []byte {
	us := d.Microseconds()
	switch {
	case d <= 0 || d >= time.Second || d%time.Microsecond != 0:
		return append(b, d.String()...)
	case us < 1000:
		return append(strconv.AppendInt(b, us, 10), "µs"...)
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if part := us % 1000; part > 0 {
		b = append(b, '.', '0'+byte(part/100), '0'+byte(part/10%10), '0'+byte(part%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, "ms"...)
}

// appendJSON appends a JSON string.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s) // a string: it can
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendWord appends a text as slog's text form has it: in quotes where it would else be several words, none, or cannot be seen.
func appendWord(b []byte, s string) []byte {
	quoted := s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '=' || r == utf8.RuneError || !unicode.IsPrint(r)
	})
	if quoted {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// attrLists lends room for the attributes of a line. What stands in it is left there: a few names.
var attrLists = sync.Pool{New: func() any { return new([mostAttrs]slog.Attr) }}
