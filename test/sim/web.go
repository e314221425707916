package sim

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/boltgate/boltgate/standin"
)

// This file owns an HTTP client: its connection, its requests as bytes, and what it makes of the answers. webwork.go owns what it asks for.

// webClient is one of them, which keeps its connection for the next request or not.
type webClient struct {
	anyClient
	asked int // requests
	in    *bufio.Reader
	got   int64 // bytes that came
	ended int64 // of them, those before the answer that is due
}

// webAsk is one request of a unit of work.
type webAsk struct {
	of     *attempt
	method string
	path   string
	fields []string // "Name: value"
	body   any
	ends   bool // the attempt is done when it is answered
	closes bool // the connection ends with the answer
	echo   string
}

// webAnswer is what answers say, in either API.
type webAnswer struct {
	Results []struct {
		Data []struct{ Row []any }
	}
	Data        struct{ Values [][]any }
	Errors      []struct{ Code, Message string }
	Last        []string `json:"lastBookmarks"`
	Bookmarks   []string
	Commit      string
	Transaction struct{ ID string }
}

func newWebClient(w *world, id int) *webClient {
	return &webClient{anyClient: newAnyClient(w, id, 0xC2)}
}

func (c *webClient) live() {
	c.anyClient.live(c.connect, c.step)
	c.leave()
}

// connect opens a connection. With each the client may be another user; what it saw of bookmarks it keeps.
func (c *webClient) connect() bool {
	if !c.dial() {
		return false
	}
	c.becomeAnybody()
	c.in, c.got, c.ended = bufio.NewReader(counted{c}), 0, 0
	c.w.history.note("%s: client %d is connected over HTTP as %s", c.session, c.id, c.user)
	return true
}

// counted counts what comes.
type counted struct{ c *webClient }

func (r counted) Read(b []byte) (int, error) {
	n, err := r.c.conn.Read(b)
	r.c.got += int64(n)
	return n, err
}

// write gives a request its bytes: its body at once, or in chunks.
func (c *webClient) write(q *webAsk) []byte {
	c.asked++
	q.of.gate = c.gate
	q.echo = fmt.Sprintf("%s/%d", q.of.mark, c.asked)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n", q.method, q.path, c.gate.address(), standin.EchoHeader, q.echo)
	fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(c.user+":"+passwordOf(c.user))))
	for _, f := range q.fields {
		b.WriteString(f + "\r\n")
	}
	if q.closes = c.chance(15); q.closes {
		b.WriteString("Connection: close\r\n")
	}
	if q.body == nil {
		b.WriteString("\r\n")
		return b.Bytes()
	}
	body, err := json.Marshal(q.body)
	if err != nil {
		panic(err)
	}
	b.WriteString("Content-Type: application/json\r\nAccept: application/json\r\n")
	if !c.chance(15) {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
		return b.Bytes()
	}
	at := c.random.IntN(len(body) - 1)
	fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", at+1, body[:at+1], len(body)-at-1, body[at+1:])
	return b.Bytes()
}

// send writes bytes, sometimes in two pieces.
func (c *webClient) send(all []byte) {
	if c.chance(10) && len(all) > 1 {
		at := 1 + c.random.IntN(len(all)-1)
		c.conn.Write(all[:at]) //nolint:errcheck // shows in the answers
		c.pause(0, 20*time.Millisecond)
		all = all[at:]
	}
	c.conn.Write(all) //nolint:errcheck // shows in the answers
}

// exchange sends one request, over a new connection when there is none, and takes its answer. It is nil when none came.
func (c *webClient) exchange(q webAsk) *webAnswer {
	if c.conn == nil && !c.connect() {
		c.w.history.finish(q.of, hung)
		return nil
	}
	c.send(c.write(&q))
	return c.answer(&q)
}

// answer reads the answer to a request, and tells its attempt.
func (c *webClient) answer(q *webAsk) *webAnswer {
	at := q.of
	resp, err := http.ReadResponse(c.in, &http.Request{Method: q.method})
	var text []byte
	if err == nil {
		text, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		c.strayed(q, resp)
		at.partial = c.got > c.ended
		o := broken
		if isTimeout(err) || strings.Contains(err.Error(), "deadline") {
			o = hung
		}
		c.w.history.finish(at, o)
		c.leave()
		return nil
	}
	c.ended = c.got - int64(c.in.Buffered())
	if q.closes || resp.Close {
		c.leave()
	}
	a := c.parse(q, resp, text)
	if a == nil {
		at.partial = true
		c.w.history.finish(at, broken)
		c.leave()
		return nil
	}
	c.records(at, a)
	for _, text := range append(a.Last, a.Bookmarks...) {
		keepBookmark(c.bookmarks, at, text)
	}
	switch {
	case len(a.Errors) > 0:
		at.code, at.text = a.Errors[0].Code, a.Errors[0].Message
		c.w.history.finish(at, failed)
	case q.ends:
		at.answers++
		c.w.history.finish(at, done)
	default:
		at.answers++
	}
	return a
}

// strayed notes an answer that broke off and was another request's.
func (c *webClient) strayed(q *webAsk, resp *http.Response) {
	if resp == nil {
		return
	}
	if echo := resp.Header.Get(standin.EchoHeader); echo != "" && echo != q.echo {
		c.w.history.wrong(ruleOthersAnswer, q.of.mark, "request %s was answered with a part of the answer to %q", q.echo, echo)
	}
}

// parse reads the answer's body; nil when a member's garbage is in it, and holds the answer to its request: one that a member gave says which it answers.
func (c *webClient) parse(q *webAsk, resp *http.Response, text []byte) *webAnswer {
	a := new(webAnswer)
	if err := json.Unmarshal(text, a); err != nil && c.w.history.garbled(q.of.mark) {
		return nil
	} else if err != nil {
		c.w.history.wrong(ruleOthersAnswer, q.of.mark, "the body of status %d cannot be read: %v: %q", resp.StatusCode, err, text[:min(len(text), 200)])
	}
	if resp.StatusCode >= 300 && len(a.Errors) == 0 {
		a.Errors = append(a.Errors, struct{ Code, Message string }{fmt.Sprint("HTTP ", resp.StatusCode), ""})
	}
	own := len(a.Errors) > 0 && strings.HasPrefix(a.Errors[0].Message, "boltgate:")
	if echo := resp.Header.Get(standin.EchoHeader); !own && echo != q.echo {
		c.w.history.wrong(ruleOthersAnswer, q.of.mark, "request %s was answered with the answer to %q: %d %q", q.echo, echo, resp.StatusCode, text[:min(len(text), 200)])
	}
	return a
}

// records holds rows to the attempt that asked for them.
func (c *webClient) records(at *attempt, a *webAnswer) {
	rows := a.Data.Values
	for _, r := range a.Results {
		for _, d := range r.Data {
			rows = append(rows, d.Row)
		}
	}
	for _, row := range rows {
		if len(row) < 7 {
			c.w.history.wrong(ruleOthersAnswer, at.mark, "a row that is none: %v", row)
			continue
		}
		mark, _ := row[6].(string)
		if attemptOf(mark) != at.mark || row[4] != at.user || row[3] != at.db {
			c.w.history.wrong(ruleOthersAnswer, at.mark, "of %s on %s was answered with a row of another: %v", at.user, at.db, row[:7])
		}
		at.records++
		if applied, ok := row[2].(float64); ok && (at.applied < 0 || int64(applied) < at.applied) {
			at.applied = int64(applied)
		}
	}
}
