//go:build linux

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the bar on memory: how far the memory of a gate process rises while a result or a request that is far
// larger passes through it, to a reader that is slow all the time; and that the first bytes are out before the last are in.
// memory_process_test.go owns the process.

const mayRise = 4 << 20

// volume is how much passes in each form, and how fast its reader is.
type volume struct {
	result, request int64 // bytes
	rate            int64 // bytes a second
	sessions        int   // that the gate has served before
}

// volumes are the sizes of the claim when BOLTGATE_LONG=1 asks for them: 18 minutes. Else they are such that the run is
// short, and far above what sockets on the way hold.
func volumes() volume {
	if long() {
		return volume{result: 1 << 30, request: 64 << 20, rate: 1e6, sessions: 2000}
	}
	return volume{result: 48 << 20, request: 48 << 20, rate: 24e6, sessions: 500}
}

// passage is one form: a gate of its own, before a member of its own.
type passage struct {
	testing.TB
	volume
	bolt *quickMember
	http *scripted
	gate *gateProcess

	source  atomic.Int64 // bytes of the result or request that its sender has got rid of
	arrived atomic.Int64 // bytes of a request that its reader has
	atFirst atomic.Int64 // source, when the first arrived; -1 before
	first   atomic.Int64 // when that was, in nanoseconds after begun
	begun   time.Time    // written before measuring

	measuring atomic.Bool
}

// forms are what passes. Each does its warm-up, calls p.begin, lets the bytes pass, and returns how many arrived.
var forms = []struct {
	name string
	pass func(p *passage) (want, got int64)
}{
	{"Bolt result of one record", func(p *passage) (int64, int64) { return p.boltResult(1, p.result-1) }},
	{"Bolt result of many records", func(p *passage) (int64, int64) { return p.boltResult(p.result/1000, 1000) }},
	{"HTTP result with a length", func(p *passage) (int64, int64) { return p.httpResult("tx/commit", "length") }},
	{"HTTP result in chunks", func(p *passage) (int64, int64) { return p.httpResult("tx/commit", "chunks") }},
	{"HTTP result that is rewritten", func(p *passage) (int64, int64) { return p.httpResult("tx", "chunks") }},
	{"Bolt parameters in a transaction", (*passage).boltParameters},
	{"HTTP commit body with a length", func(p *passage) (int64, int64) { return p.httpCommit(false) }},
	{"HTTP commit body in chunks", func(p *passage) (int64, int64) { return p.httpCommit(true) }},
	{"nothing, for comparison", (*passage).nothing},
}

func TestMemoryWhileMuchPasses(t *testing.T) {
	program := buildGate(t)
	var all sync.WaitGroup
	for _, f := range forms { // side by side, whatever -parallel says: they sleep most of the time
		all.Go(func() { t.Run(f.name, func(t *testing.T) { pass(t, program, f.pass) }) })
	}
	all.Wait()
}

// pass measures one form.
func pass(t *testing.T, program string, form func(*passage) (want, got int64)) {
	p := &passage{TB: t, volume: volumes()}
	p.atFirst.Store(-1)
	p.start(program)
	p.warmUp()
	want, got := form(p)
	took := time.Since(p.begun)
	rise := p.gate.rise(t)
	if got < want {
		t.Errorf("%d bytes arrived; want %d", got, want)
	}
	if least := time.Duration(float64(want) / float64(p.rate) * 0.95 * float64(time.Second)); took < least {
		t.Errorf("%d bytes passed in %v: the reader was not slow all the time", want, took)
	}
	if early := p.atFirst.Load(); want > 0 && (early < 0 || early >= want/2) {
		t.Errorf("%d of %d bytes were in when the first was out", early, want)
	}
	if rise > mayRise {
		t.Errorf("memory rose by %d KiB; want at most %d", rise>>10, mayRise>>10)
	}
	if want == 0 {
		t.Logf("in %.1f s the gate's memory rose from %d KiB by %d KiB", took.Seconds(), p.gate.before>>10, rise>>10)
		return
	}
	t.Logf("%d bytes in %.1f s: the first were out after %v, when %d KiB were in; the gate's memory rose from %d KiB by %d KiB",
		got, took.Seconds(), time.Duration(p.first.Load()).Round(time.Millisecond), p.atFirst.Load()>>10, p.gate.before>>10, rise>>10)
}

// start starts the member, Bolt and HTTP, and the gate.
func (p *passage) start(program string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	slow := func(conn net.Conn) net.Conn { return p.slow(conn, &p.arrived) }
	p.bolt = &quickMember{listener: l, version: bolt.V5_8, reader: slow}
	go p.bolt.serve()
	p.Cleanup(func() { // after the gate has ended
		l.Close()
		p.bolt.conns.Wait()
	})
	p.http = startScripted(p, "s1", func(_ *scripted, conn net.Conn, _ *bufio.Reader) { p.serveHTTP(slow(conn)) })
	p.gate = startGateProcess(p, program, l.Addr().String(), p.http.HTTP)
}

// begin is called between the warm-up and what is measured.
func (p *passage) begin() {
	p.gate.begin(p)
	p.begun = time.Now()
	p.measuring.Store(true)
}

// warmUp has the gate serve sessions until its collector has run: a process that has just started grows by the garbage that
// the collector lets lie, and by the collector's own tables, whatever passes through it.
func (p *passage) warmUp() {
	for range p.sessions {
		w := p.boltClient()
		w.row("RETURN 1", nil, nil)
		w.conn.Close()
	}
}

// smallSocket is what a slow reader's socket may hold: what the kernel buffers must not look like the gate's work.
const smallSocket = 64 << 10

// slowConn is a connection that is read no faster than its passage's rate, from its first byte to its last.
type slowConn struct {
	net.Conn
	p     *passage
	next  time.Time     // before this nothing more is read
	seen  int           // since the measuring began
	total *atomic.Int64 // nil: not counted
}

func (p *passage) slow(conn net.Conn, total *atomic.Int64) net.Conn {
	socket := conn.(*net.TCPConn)
	socket.SetReadBuffer(smallSocket)  //nolint:errcheck // shows in the result
	socket.SetWriteBuffer(smallSocket) //nolint:errcheck // as above
	return &slowConn{Conn: conn, p: p, total: total}
}

const (
	burst = 20 * time.Millisecond // what a slow reader may catch up with
	small = 8 << 10               // what is measured is more than this; what stands before it on its connection is less
)

func (c *slowConn) Read(b []byte) (int, error) {
	time.Sleep(time.Until(c.next))
	b = b[:min(len(b), max(int(c.p.rate/100), 1))]
	n, err := c.Conn.Read(b)
	if earliest := time.Now().Add(-burst); c.next.Before(earliest) {
		c.next = earliest
	}
	c.next = c.next.Add(time.Duration(float64(n) / float64(c.p.rate) * float64(time.Second)))
	if c.total != nil {
		c.total.Add(int64(n))
	}
	if c.p.measuring.Load() && n > 0 {
		c.p.note(&c.seen, n)
	}
	return n, err
}

// note notes when the first bytes of what is measured have come out of the gate.
func (p *passage) note(seen *int, n int) {
	if *seen += n; *seen-n <= small && *seen > small && p.atFirst.CompareAndSwap(-1, p.source.Load()+p.bolt.sent.Load()) {
		p.first.Store(int64(time.Since(p.begun)))
	}
}

// client is a connection to the gate.
func (p *passage) client() net.Conn {
	conn, err := net.Dial("tcp", p.gate.address)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	return p.slow(conn, nil)
}

// boltClient is one that is logged on and has done a unit of work.
func (p *passage) boltClient() *wire {
	w := wireOn(p, p.client(), bolt.V5_8)
	w.conn.SetDeadline(time.Now().Add(time.Hour)) //nolint:errcheck // shows in use
	w.logOn("a", "b")
	w.row("RETURN 1", nil, nil)
	return w
}

func (p *passage) boltResult(records, size int64) (want, got int64) {
	w := p.boltClient()
	p.begin()
	w.send(run(w.v, fmt.Sprintf("RESULT %d %d", records, size), nil, nil), pull(w.v))
	got, err := drainMessages(w.conn, 2)
	if err != nil {
		p.Error(err)
	}
	return records * size, got
}

// sender counts what was written.
type sender struct {
	io.Writer
	n *atomic.Int64
}

func (s sender) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	s.n.Add(int64(n))
	return n, err
}

func (p *passage) boltParameters() (want, got int64) {
	w := p.boltClient()
	w.ask(beginTx(w.v, nil)...)
	before := p.arrived.Load()
	p.begin()
	if err := writeParams(sender{w.conn, &p.source}, int(p.request)); err != nil {
		p.Error(err)
	}
	w.send(pull(w.v), commitTx(w.v)[0])
	if _, err := drainMessages(w.conn, 3); err != nil {
		p.Error(err)
	}
	return p.request, p.arrived.Load() - before
}

// nothing shows what a gate's memory does by itself in the time that a result takes.
func (p *passage) nothing() (want, got int64) {
	p.boltClient()
	p.begin()
	time.Sleep(time.Duration(p.result / p.rate * int64(time.Second)))
	return 0, 0
}

// httpClient sends requests on one connection.
type httpClient struct {
	p    *passage
	conn net.Conn
	br   *bufio.Reader
}

// ask sends a request whose body was begun, or is empty, and returns the answer, the body of which is still to be read.
func (c *httpClient) ask(method, path, headers, body string) *http.Response {
	c.p.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: gate\r\n%s\r\n%s", method, path, headers, body); err != nil {
		c.p.Fatal(err)
	}
	return c.answer(method)
}

func (c *httpClient) answer(method string) *http.Response {
	c.p.Helper()
	a, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.p.Fatal(err)
	}
	if a.StatusCode >= 300 {
		text, _ := io.ReadAll(a.Body) //nolint:errcheck // it is for the message
		c.p.Fatalf("%s: %s", a.Status, text)
	}
	return a
}

// post sends a short request and reads the answer, which is short too.
func (c *httpClient) post(path, body string) *http.Response {
	c.p.Helper()
	a := c.ask("POST", path, fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body)), body)
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		c.p.Fatal(err)
	}
	return a
}

const oneStatement = `{"statements":[{"statement":"CREATE (n) RETURN n"}]}`

// httpClient returns one that has done a unit of work.
func (p *passage) httpClient() *httpClient {
	conn := p.client()
	conn.SetDeadline(time.Now().Add(time.Hour)) //nolint:errcheck // shows in use
	c := &httpClient{p: p, conn: conn, br: bufio.NewReader(conn)}
	c.post("/db/neo4j/tx/commit", oneStatement)
	return c
}

// httpResult asks endpoint for a result; framing is what sendResult knows.
func (p *passage) httpResult(endpoint, framing string) (want, got int64) {
	c := p.httpClient()
	p.begin()
	a := c.ask("POST", "/db/neo4j/"+endpoint+"?result="+framing, fmt.Sprintf("Content-Length: %d\r\n", len(oneStatement)), oneStatement)
	got, err := io.Copy(io.Discard, a.Body)
	if err != nil {
		p.Error(err)
	}
	return p.result, got
}

func (p *passage) httpCommit(chunks bool) (want, got int64) {
	c := p.httpClient()
	c.post(c.post("/db/neo4j/tx", oneStatement).Header.Get("Location")[len("http://gate"):]+"/commit", oneStatement)
	commit := c.post("/db/neo4j/tx", oneStatement).Header.Get("Location")[len("http://gate"):] + "/commit"
	before := p.arrived.Load()
	p.begin()
	fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n%s\r\n", commit, largeFraming(p.request, chunks)) //nolint:errcheck // the body's writing shows it
	if err := writeLarge(sender{c.conn, &p.source}, p.request, chunks); err != nil {
		p.Error(err)
	}
	if _, err := io.Copy(io.Discard, c.answer("POST").Body); err != nil {
		p.Error(err)
	}
	return p.request, p.arrived.Load() - before
}

const (
	row       = `{"row":["0123456789abcdef0123456789abcdef"],"meta":[null]},`
	bodyBegin = `{"commit":"http://member/db/neo4j/tx/17/commit","results":[{"columns":["n"],"data":[`
	bodyTail  = `{"row":[""],"meta":[null]}]}],"errors":[]}`
)

// rows are a piece of a large body.
var rows = []byte(strings.Repeat(row, (32<<10)/len(row)))

// bodySize is the length of a large body of n bytes and a few more.
func bodySize(n int64) int64 {
	size := int64(len(rows))
	return int64(len(bodyBegin)+len(bodyTail)) + (n+size-1)/size*size
}

// writeLarge writes such a body.
func writeLarge(w io.Writer, n int64, chunks bool) error {
	write := func(b []byte) error {
		if chunks {
			b = fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b)
		}
		_, err := w.Write(b)
		return err
	}
	err := write([]byte(bodyBegin))
	for ; n > 0 && err == nil; n -= int64(len(rows)) {
		err = write(rows)
	}
	if err == nil {
		err = write([]byte(bodyTail))
	}
	if chunks && err == nil {
		err = write(nil)
	}
	return err
}

// largeFraming is the header of such a body.
func largeFraming(n int64, chunks bool) string {
	if chunks {
		return "Transfer-Encoding: chunked\r\n"
	}
	return fmt.Sprintf("Content-Length: %d\r\n", bodySize(n))
}

// serveHTTP is the member: ?result=length or ?result=chunks asks for a large result.
func (p *passage) serveHTTP(conn net.Conn) {
	br := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		switch {
		case r.URL.Path == "/":
			_, err = io.WriteString(conn, ok(`{"neo4j_version":"5.26.0","neo4j_edition":"community"}`))
		case r.URL.Query().Has("result"):
			err = p.sendResult(conn, r.URL.Query().Get("result") == "chunks")
		case strings.HasSuffix(r.URL.Path, "/tx"):
			body := bodyBegin + bodyTail
			_, err = fmt.Fprintf(conn, "HTTP/1.1 201 Created\r\nLocation: http://%s/db/neo4j/tx/17\r\nContent-Length: %d\r\n\r\n%s", r.Host, len(body), body)
		default:
			_, err = io.WriteString(conn, ok(`{"results":[],"errors":[]}`))
		}
		if err != nil {
			return
		}
	}
}

func (p *passage) sendResult(conn net.Conn, chunks bool) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+largeFraming(p.result, chunks)+"\r\n"); err != nil {
		return err
	}
	return writeLarge(sender{conn, &p.source}, p.result, chunks)
}
