package standin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/boltgate/boltgate/bolt"
)

// body writes a JSON answer piece by piece, so that a result of any size needs little memory. The status is sent with the
// first flush; a cut that a statement asked for happens at its byte of the body.
type body struct {
	h    *httpRequest
	out  *bufio.Writer
	left int64 // bytes until the connection is to break; negative: never
}

const bodyBuffer = 32 << 10

func newBody(h *httpRequest) *body {
	b := &body{h: h, left: -1}
	b.out = bufio.NewWriterSize(b, bodyBuffer)
	return b
}

// Write is where the buffer empties into.
func (b *body) Write(p []byte) (int, error) {
	if b.left >= 0 && int64(len(p)) >= b.left {
		_, _ = b.h.w.Write(p[:b.left])
		_ = http.NewResponseController(b.h.w).Flush()
		panic(http.ErrAbortHandler)
	}
	if b.left >= 0 {
		b.left -= int64(len(p))
	}
	n, err := b.h.w.Write(p)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has left
	}
	return n, nil
}

func (b *body) text(parts ...string) {
	for _, p := range parts {
		_, _ = b.out.WriteString(p)
	}
}

func (b *body) value(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		raw = []byte("null") // a value that JSON has no word for, such as NaN
	}
	_, _ = b.out.Write(raw)
}

func (b *body) flush() {
	_ = b.out.Flush()
	_ = http.NewResponseController(b.h.w).Flush()
}

// row writes one row's values without brackets around them, the payload last.
func (b *body) row(values []any, payload int64) {
	for i, v := range values {
		if i > 0 {
			b.text(",")
		}
		b.value(v)
	}
	if payload == 0 {
		return
	}
	b.text(`,"`)
	for at := int64(0); at < payload; {
		piece := payloadPiece(at, payload)
		_, _ = b.out.Write(piece)
		at += int64(len(piece))
	}
	b.text(`"`)
}

// rows writes all rows of a result, each between before and after and with between in the middle of two, and does what the statement asked to go
// wrong among them.
func (b *body) rows(r *result, before, after, between string) *bolt.Failure {
	if r.refusal != nil {
		return r.refusal
	}
	if f := b.h.pullFaults(r, b); f != nil {
		return f
	}
	done := b.h.r.Context().Done()
	for i := range r.total() {
		if r.ask.failAt == "row" && r.ask.fail != "" && i >= r.ask.failRow {
			return failure(r.ask.fail, "The stand-in was asked to fail after %d rows.", r.ask.failRow)
		}
		if r.ask.rowDelay > 0 {
			b.flush()
			if !pause(r.ask.rowDelay, done) {
				panic(http.ErrAbortHandler)
			}
		}
		values, f := r.row(i)
		if f != nil {
			return f
		}
		if i > 0 {
			b.text(between)
		}
		b.text(before)
		b.row(values, r.payload)
		b.text(after)
	}
	return nil
}

// pullFaults does what was asked for between a statement's start and its first row.
func (h *httpRequest) pullFaults(r *result, b *body) *bolt.Failure {
	switch {
	case r.pullDelay() > 0 && !pause(r.pullDelay(), h.r.Context().Done()):
		panic(http.ErrAbortHandler)
	case r.ask.close == "run":
		panic(http.ErrAbortHandler)
	case r.ask.close == "pull":
		b.flush()
		panic(http.ErrAbortHandler)
	case r.ask.close == "bytes" && b.left < 0:
		b.flush()
		b.left = r.ask.closeAt
	case r.ask.garbage != "":
		h.garble()
	case r.ask.fail != "" && r.ask.failAt == "pull":
		return failure(r.ask.fail, "The stand-in was asked to fail at the first row.")
	}
	return nil
}

// garble answers with bytes that are no HTTP.
func (h *httpRequest) garble() {
	conn, _, err := http.NewResponseController(h.w).Hijack()
	if err == nil {
		_, _ = conn.Write(h.m.c.garbage(64))
		conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// statement is one of a request's statements, of either API.
type statement struct {
	Statement    string         `json:"statement"`
	Parameters   map[string]any `json:"parameters"`
	IncludeStats bool           `json:"includeStats"`
}

// decoded turns JSON's numbers into the types that Bolt has.
func decoded(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = decoded(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = decoded(v[k])
		}
	}
	return v
}

func (s *statement) params() map[string]any {
	m, _ := decoded(s.Parameters).(map[string]any)
	return m
}

// statements calls do with each statement of a body {"statements": [...]} as it is read. An empty body has none.
func statements(source io.Reader, do func(*statement) *bolt.Failure) *bolt.Failure {
	d := json.NewDecoder(source)
	d.UseNumber()
	bad := func(err error) *bolt.Failure {
		return failure(bolt.CodeInvalidFormat, "Could not parse the incoming JSON: %v", err)
	}
	open, err := d.Token()
	if err == io.EOF {
		return nil
	}
	if err != nil || open != json.Delim('{') {
		return bad(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return bad(err)
		}
		if key != "statements" {
			var skipped any
			if err := d.Decode(&skipped); err != nil {
				return bad(err)
			}
			continue
		}
		if open, err := d.Token(); err != nil || open != json.Delim('[') {
			return bad(err)
		}
		for d.More() {
			var s statement
			if err := d.Decode(&s); err != nil {
				return bad(err)
			}
			if f := do(&s); f != nil {
				return f
			}
		}
		if _, err := d.Token(); err != nil {
			return bad(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return bad(err)
	}
	return nil
}

// asker is the request's user at this member. HTTP is always routed by the server where that is on.
func (h *httpRequest) asker() asker { return asker{m: h.m, user: h.user, routed: true} }

// headerWork reads the headers access-mode and bookmarks.
func (h *httpRequest) headerWork(db string) (work, *bolt.Failure) {
	w := work{db: db, mode: "w"}
	if mode := h.r.Header.Get("Access-Mode"); mode != "" && h.m.release().atLeast(4, 4) {
		switch strings.ToUpper(mode) {
		case "READ":
			w.mode = "r"
		case "WRITE":
		default:
			return w, failure(bolt.CodeInvalidFormat, "Invalid access mode '%s'", mode)
		}
	}
	if list := h.r.Header.Get("Bookmarks"); list != "" && h.m.release().atLeast(5, 0) {
		if err := json.NewDecoder(bytes.NewBufferString(list)).Decode(&w.bookmarks); err != nil {
			return w, failure(bolt.CodeInvalidFormat, "Invalid bookmarks header")
		}
	}
	return w, nil
}

func (h *httpRequest) ctx() context.Context { return h.r.Context() }
