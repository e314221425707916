package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
)

// fakeNet is a network in memory: addresses with scripted members behind them.
type fakeNet struct {
	mu       sync.Mutex
	handlers map[string]func(net.Conn) // by address
	cut      map[string]bool           // refused
	open     []net.Conn
	conns    sync.WaitGroup
	dialled  map[string]int
}

func newFakeNet() *fakeNet {
	return &fakeNet{handlers: map[string]func(net.Conn){}, cut: map[string]bool{}, dialled: map[string]int{}}
}

func (n *fakeNet) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	serve := n.handlers[address]
	if serve == nil || n.cut[address] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	n.dialled[address]++
	near, far := net.Pipe()
	n.open = append(n.open, far)
	n.conns.Go(func() {
		defer far.Close()
		serve(far)
	})
	return near, nil
}

func (n *fakeNet) dials(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialled[address]
}

// close ends all connections and waits for their servers.
func (n *fakeNet) close() {
	n.mu.Lock()
	for _, c := range n.open {
		c.Close()
	}
	n.mu.Unlock()
	n.conns.Wait()
}

// page is what a path answers.
type page struct {
	status int
	body   string
}

// fakeMember is a member that follows a script. Its fields are guarded by mu once it serves.
type fakeMember struct {
	name, bolt, http string

	mu       sync.Mutex
	pages    map[string]page // absent: 404 as Neo4j's, with an empty body
	login    string          // user:password; "" lets everybody in
	versions []bolt.Version
	agent    string
	patch    bool                             // accepts patch_bolt utc
	queries  map[string]func() scriptedResult // absent: ProcedureNotFound
	down     bool                             // breaks every connection
	hang     bool                             // never answers
	asked    []string                         // paths and queries, in order
	raw      func(net.Conn)                   // serves both addresses instead
	wrap     func(net.Conn) net.Conn          // TLS around each connection
	logins   int                              // tried
}

type scriptedResult struct {
	fields []string
	rows   [][]any
	code   string // of a FAILURE
}

func (f *fakeMember) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeMember) attach(n *fakeNet) {
	if f.raw != nil {
		n.handlers[f.http], n.handlers[f.bolt] = f.raw, f.raw
		return
	}
	if f.http != "" {
		n.handlers[f.http] = f.serveHTTP
	}
	if f.bolt != "" {
		n.handlers[f.bolt] = f.serveBolt
	}
}

func (f *fakeMember) member() *cluster.Member {
	return &cluster.Member{Name: f.name, Bolt: f.bolt, HTTP: f.http}
}

// gate waits for ever while the member hangs and says whether it is down.
func (f *fakeMember) gate(conn net.Conn) (down bool) {
	f.mu.Lock()
	hang, down := f.hang, f.down
	f.mu.Unlock()
	if hang {
		io.Copy(io.Discard, conn) // until the other side gives up
		return true
	}
	return down
}

func (f *fakeMember) serveHTTP(conn net.Conn) {
	if f.wrap != nil {
		conn = f.wrap(conn)
	}
	in := bufio.NewReader(conn)
	for {
		if f.gate(conn) {
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil || f.gate(conn) {
			return
		}
		p := f.page(req)
		fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			p.status, http.StatusText(p.status), len(p.body), p.body)
	}
}

func (f *fakeMember) page(req *http.Request) page {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req.URL.Path)
	user, password, given := req.BasicAuth()
	if given && req.URL.Path != "/" {
		f.logins++
	}
	if f.login != "" && req.URL.Path != "/" && (!given || user+":"+password != f.login) {
		return page{401, `{"errors":[{"code":"Neo.ClientError.Security.Unauthorized"}]}`}
	}
	p, ok := f.pages[req.URL.Path]
	if !ok {
		return page{404, ""}
	}
	return p
}

func (f *fakeMember) serveBolt(conn net.Conn) {
	if f.wrap != nil {
		conn = f.wrap(conn)
	}
	if f.gate(conn) {
		return
	}
	f.mu.Lock()
	versions, name := f.versions, f.agent
	f.mu.Unlock()
	v, err := bolt.AcceptHandshake(conn, versions)
	if err != nil {
		return
	}
	r := bolt.Reader{Source: conn}
	for {
		m, err := r.ReadMessage()
		if err != nil || f.gate(conn) {
			return
		}
		var out []byte
		switch m.Tag {
		case bolt.TagHello:
			out = f.hello(m, v, name)
		case bolt.TagLogon:
			out = f.logon(m.Fields, v)
		case bolt.TagRun:
			out = f.run(m.Fields, v)
			if _, err := r.ReadMessage(); err != nil { // PULL
				return
			}
		case bolt.TagReset:
			out = bolt.EmptySuccess
		case bolt.TagGoodbye:
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (f *fakeMember) hello(m bolt.Message, v bolt.Version, name string) []byte {
	meta := map[string]any{"server": name, "connection_id": "bolt-1"}
	if v >= bolt.V5_1 {
		return bolt.AppendSuccess(nil, meta)
	}
	fields := m.Fields
	if v < bolt.V3 {
		d := packstream.NewDecoder(fields)
		d.Skip()
		fields = fields[d.Offset():]
	}
	if out := f.logon(fields, v); len(out) > len(bolt.EmptySuccess) {
		return out
	}
	if f.patch && (v == bolt.V4_3 || v == bolt.V4_4) {
		meta["patch_bolt"] = []string{"utc"}
	}
	return bolt.AppendSuccess(nil, meta)
}

func (f *fakeMember) logon(encoded []byte, v bolt.Version) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	d := packstream.NewDecoder(encoded)
	auth, _ := d.Value().(map[string]any)
	user, _ := auth["principal"].(string)
	password, _ := auth["credentials"].(string)
	if f.login != "" && user+":"+password != f.login {
		return bolt.AppendFailure(nil, v, bolt.CodeUnauthorized, "The client is unauthorized due to authentication failure.")
	}
	return bolt.EmptySuccess
}

func (f *fakeMember) run(fields []byte, v bolt.Version) []byte {
	d := packstream.NewDecoder(fields)
	text := string(d.String())
	f.mu.Lock()
	f.asked = append(f.asked, text)
	answer := f.queries[text]
	f.mu.Unlock()
	res := scriptedResult{code: bolt.CodeProcedureNotFound}
	if answer != nil {
		res = answer()
	}
	if res.code != "" {
		return append(bolt.AppendFailure(nil, v, res.code, "no"), bolt.Ignored...)
	}
	out := bolt.AppendSuccess(nil, map[string]any{"fields": res.fields})
	for _, row := range res.rows {
		out = bolt.AppendMessage(out, bolt.TagRecord, row)
	}
	return append(out, bolt.EmptySuccess...)
}

// logLines collects log lines.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *logLines) with(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// rig is a Monitor over fake members, inside a synctest bubble.
type rig struct {
	*testing.T
	net     *fakeNet
	current *cluster.Current
	monitor *Monitor
	logs    *logLines
	members []*fakeMember
}

// run runs claim over a Monitor that checks members; fake time, no real network.
func run(t *testing.T, o Options, members []*fakeMember, claim func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, net: newFakeNet(), current: new(cluster.Current), logs: new(logLines), members: members}
		for _, f := range members {
			f.attach(r.net)
			o.Members = append(o.Members, f.member())
		}
		o.Dial = r.net.dial
		r.monitor = New(o, r.current, slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.monitor.Run(ctx) }()
		synctest.Wait()
		claim(r)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		r.net.close()
	})
}

// after lets d of fake time pass and returns the View then.
func (r *rig) after(d time.Duration) *cluster.View {
	time.Sleep(d)
	synctest.Wait()
	return r.current.View()
}

// roles is a View in short: "s1=leader s2=follower", of one database.
func roles(v *cluster.View, db string) string {
	var parts []string
	if db == "" {
		db = v.Default
	}
	for _, s := range v.Members {
		word := s.Role(db).String()
		if !s.Up {
			word = "down"
		}
		parts = append(parts, s.Name+"="+word)
	}
	return strings.Join(parts, " ")
}

func (r *rig) want(v *cluster.View, db, want string) {
	r.Helper()
	if got := roles(v, db); got != want {
		r.Errorf("roles of %q: got %s, want %s", db, got, want)
		for _, s := range v.Members {
			r.Logf("%s: up %v, roles %v, last error %q", s.Name, s.Up, s.Roles, s.LastError)
		}
	}
}
