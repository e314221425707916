package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/test/memnet"
)

// fakeMember speaks enough Bolt for a pool: it logs on whoever has the password "right", and keeps count.
type fakeMember struct {
	versions []bolt.Version
	tls      *tls.Config
	listener net.Listener
	served   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	said  []string // what was asked, but for GOODBYE
	most  int      // connections at once
	mute  bool     // answers nothing any more
	utc   bool     // accepts the patch, asked or not
}

func startMember(t testing.TB, l net.Listener, versions ...bolt.Version) *fakeMember {
	m := &fakeMember{versions: versions, listener: l, conns: map[net.Conn]bool{}}
	m.served.Go(m.accept)
	t.Cleanup(m.stop)
	return m
}

// stop ends the member, its connections, and every goroutine of it.
func (m *fakeMember) stop() {
	m.listener.Close()
	m.cut()
	m.served.Wait()
}

// cut closes all connections.
func (m *fakeMember) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		c.Close()
	}
}

func (m *fakeMember) setMute(mute bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mute = mute
}

func (m *fakeMember) open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// asked returns what was said since the last call.
func (m *fakeMember) asked() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := fmt.Sprint(m.said)
	m.said = nil
	return s
}

func (m *fakeMember) accept() {
	for {
		c, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns[c] = true
		m.most = max(m.most, len(m.conns))
		m.mu.Unlock()
		m.served.Go(func() {
			m.serve(c)
			c.Close()
			m.mu.Lock()
			delete(m.conns, c)
			m.mu.Unlock()
		})
	}
}

func (m *fakeMember) serve(c net.Conn) {
	if m.tls != nil {
		c = tls.Server(c, m.tls)
	}
	if m.versions == nil { // an HTTP member: it only listens
		c.Read(make([]byte, 1)) //nolint:errcheck // until the client leaves
		return
	}
	v, err := bolt.AcceptHandshake(c, m.versions)
	if err != nil {
		return
	}
	r := &bolt.Reader{Source: c}
	for {
		msg, err := r.ReadMessage()
		if err != nil || msg.Tag == bolt.TagGoodbye {
			return
		}
		reply := m.answer(v, msg)
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

func (m *fakeMember) answer(v bolt.Version, msg bolt.Message) []byte {
	req, _ := bolt.RequestIn(msg.Tag, v)
	login := req.Name == "LOGON" || req.Name == "HELLO" && v < bolt.V5_1
	var auth bolt.Auth
	if login {
		auth, _ = bolt.ParseAuth(msg.Fields)
		req.Name += ":" + auth.Principal
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, req.Name)
	switch {
	case m.mute:
		return nil
	case login && auth != bolt.Basic(auth.Principal, "right") && auth.Scheme == "basic":
		return bolt.AppendFailure(nil, v, bolt.CodeUnauthorized, "wrong password")
	case msg.Tag == bolt.TagHello && m.utc:
		return bolt.AppendSuccess(nil, map[string]any{"server": "Neo4j/4.4.48", "patch_bolt": []any{"utc"}})
	case msg.Tag == bolt.TagHello:
		return bolt.AppendSuccess(nil, map[string]any{"server": "Neo4j/5.26.0"})
	}
	return bolt.EmptySuccess
}

// world is a network with a set of pools and one member on it, for use inside a synctest bubble.
type world struct {
	t       *testing.T
	net     *memnet.Network
	set     *Set
	member  *cluster.Member
	fake    *fakeMember
	options Options
}

const password = "right"

// inWorld runs f in a bubble; at its end the set is closed, and no goroutine and no connection may be left.
func inWorld(t *testing.T, o Options, versions []bolt.Version, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: memnet.New(1), member: &cluster.Member{Name: "s1", Bolt: "s1:7687", HTTP: "s1:7474"}}
		w.fake = w.listen("s1:7687", versions...)
		o.Dial = w.net.Dial
		w.options = o
		w.set = NewSet(o, slog.New(slog.DiscardHandler))
		defer w.end()
		f(t, w)
	})
}

// end also runs when the test has failed half-way, with connections lent.
func (w *world) end() {
	w.set.Close() //nolint:errcheck // never fails
	settle()
	if n := w.fake.open(); n != 0 {
		w.t.Errorf("%d connections are left after Close", n)
	}
	w.fake.stop()
}

func (w *world) listen(address string, versions ...bolt.Version) *fakeMember {
	w.t.Helper()
	l, err := w.net.Listen(address)
	if err != nil {
		w.t.Fatal(err)
	}
	return startMember(w.t, l, versions...)
}

// user is somebody with the right password.
func user(name string, v bolt.Version) *Identity {
	return NewIdentity(Key{Version: v}, bolt.Basic(name, password), 0)
}

func (w *world) acquire(id *Identity) *Lease {
	w.t.Helper()
	l, err := w.set.Acquire(w.t.Context(), w.member, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// wantStats waits until everybody waits for something, and compares. While a sweep looks at a connection, that one is out of
// the list and has a slot: what differs is looked at again a moment later.
func (w *world) wantStats(want Stats) {
	w.t.Helper()
	var got Stats
	for range 10 {
		settle()
		if got = w.set.Stats("s1"); got == want {
			return
		}
	}
	w.t.Errorf("got %+v; want %+v", got, want)
}

// waiting is an Acquire in a goroutine of its own.
type waiting struct {
	lease *Lease
	err   error
	done  bool
}

// wait starts an Acquire and lets it come as far as it gets.
func (w *world) wait(ctx context.Context, id *Identity) *waiting {
	var r waiting
	go func() {
		r.lease, r.err = w.set.Acquire(ctx, w.member, id)
		r.done = true
	}()
	settle()
	return &r
}

func wantErr(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("got %v; want %v", err, w)
		}
	}
}

// settle lets everybody come as far as they get. It takes a little time, for a look at a connection in memory does.
func settle() { after(10 * time.Millisecond) }

// after lets d pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
