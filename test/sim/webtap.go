package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// This file owns taps of connections that speak HTTP. They know a request's attempt by the header that the stand-in echoes.

// webTap is one of them.
type webTap struct {
	wire

	mu   sync.Mutex
	up   []byte      // of the request that is leaving, and what is behind it
	now  *webRequest // that is leaving; nil before its head is there
	down []byte      // of the answer that is coming
	owed []*webRequest
	over bool
}

// webRequest is one request to a member. Each is a delivery of its own, those of one transaction too.
type webRequest struct {
	delivery
	mark    string
	method  string
	tag     byte // what it would be over Bolt
	at      int  // in what is being written
	size    int
	end     int // behind its last byte there; 0: that is still to come
	decides bool
}

// Write notes what passes before it does, so that an answer never comes first.
func (t *webTap) Write(b []byte) (int, error) {
	t.mu.Lock()
	list := t.requests(b)
	t.mu.Unlock()
	for _, r := range list {
		if trap := t.all.take(r.mark, r.tag); trap != nil {
			trap.spoil(&t.wire, max(r.at, 0), r.size)
		}
	}
	n, err := t.Conn.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range list {
		switch {
		case r.end > 0 && n >= r.end:
			r.opened, r.decided = true, r.decides
		case n > r.at:
			r.partly = true
		}
		r.at, r.end = -r.size, 0 // what is still to come begins the next write
	}
	if err != nil {
		t.finish()
	}
	return n, err
}

// requests are those that b has a part of.
func (t *webTap) requests(b []byte) (list []*webRequest) {
	before := len(t.up)
	t.up = append(t.up, b...)
	if t.now != nil {
		list = append(list, t.now)
	}
	for done := 0; ; {
		source := bytes.NewReader(t.up)
		in := bufio.NewReader(source)
		r, err := http.ReadRequest(in)
		if err != nil {
			return list
		}
		if t.now == nil {
			t.now = t.begin(r)
			t.now.at, t.now.size = done-before, len(t.up)
			list = append(list, t.now)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return list
		}
		size := len(t.up) - source.Len() - in.Buffered()
		t.now.size, t.now.end = size, done+size-before
		done += size
		t.up, t.now = bytes.Clone(t.up[size:]), nil
	}
}

// begin notes a request whose head is there.
func (t *webTap) begin(r *http.Request) *webRequest {
	q := &webRequest{method: r.Method}
	q.mark, _, _ = strings.Cut(r.Header.Get(standin.EchoHeader), "/")
	q.member, q.plain = t.member, !strings.EqualFold(r.Header.Get("Access-Mode"), "read")
	s := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	commit, tx := s[len(s)-1] == "commit", s[len(s)-1] == "tx"
	switch {
	case r.Method == http.MethodDelete:
		q.tag = bolt.TagRollback
	case tx:
		q.tag = bolt.TagBegin
	case commit && s[len(s)-2] != "tx":
		q.tag, q.decides = bolt.TagCommit, true
	default:
		q.tag, q.decides = bolt.TagRun, commit || s[len(s)-1] == "v2"
	}
	t.owed = append(t.owed, q)
	if q.mark != "" {
		t.all.world.history.deliver(q.mark, &q.delivery)
	}
	return q
}

// Read notes the answers that the gate reads.
func (t *webTap) Read(b []byte) (int, error) {
	n, bad, err := t.bad.read(t.Conn, b)
	t.mu.Lock()
	defer t.mu.Unlock()
	if bad {
		for _, r := range t.owed {
			r.garbled = true
		}
		t.finish()
		return n, err
	}
	t.down = append(t.down, b[:n]...)
	t.answers()
	if err != nil && !isTimeout(err) {
		t.finish()
	}
	return n, err
}

// answers takes those that are whole.
func (t *webTap) answers() {
	for len(t.owed) > 0 && len(t.down) > 0 {
		source := bytes.NewReader(t.down)
		in := bufio.NewReader(source)
		r, err := http.ReadResponse(in, &http.Request{Method: t.owed[0].method})
		if err != nil {
			return
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		t.down = bytes.Clone(t.down[len(t.down)-source.Len()-in.Buffered():])
		if r.StatusCode < 200 {
			continue
		}
		t.owed[0].answer(r.StatusCode, text)
		t.owed = t.owed[1:]
	}
}

// answer notes what a whole answer says.
func (q *webRequest) answer(status int, text []byte) {
	var a webAnswer
	word := "SUCCESS"
	switch err := json.Unmarshal(text, &a); {
	case err == nil && len(a.Errors) > 0:
		word = a.Errors[0].Code
	case status >= 300:
		word = fmt.Sprint("HTTP ", status)
	}
	if word != "SUCCESS" {
		q.failed = word
	}
	if q.decides {
		q.answered = word
	}
}

// Close is the gate's.
func (t *webTap) Close() error {
	t.mu.Lock()
	t.finish()
	t.mu.Unlock()
	return t.Conn.Close()
}

// finish notes which requests the connection's end leaves without an answer.
func (t *webTap) finish() {
	if t.over {
		return
	}
	t.over = true
	for _, r := range t.owed {
		r.breakOff()
	}
}
