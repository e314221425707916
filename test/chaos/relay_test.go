package chaos

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the relay between the gate and a member that makes the moment of a death sure: it knows a COMMIT when it comes by.

// moment is when a member dies while a COMMIT is in flight.
type moment string

const (
	beforeIt  moment = "before it arrives"     // the member never hears of it: it is not committed
	meanwhile moment = "while it is at work"   // either way
	behindIt  moment = "before it is answered" // the member has said SUCCESS, and nobody hears of it: it is committed
)

// trap is what the relays of a round wait for: for each of some values the first COMMIT of the transaction that wrote it.
type trap struct {
	when   moment
	caught chan catch    // has room for all
	spring chan struct{} // closed when every one was caught, and the member dies
	dead   chan struct{} // closed when it is dead

	mu    sync.Mutex
	marks map[string]bool // guarded by mu: which have not been caught yet
}

// catch says which value's COMMIT is in flight, and to which member.
type catch struct {
	mark, member string
	refused      bool // its answer is a FAILURE: this member leads no more
}

func newTrap(when moment, marks []string) *trap {
	p := &trap{when: when, caught: make(chan catch, len(marks)), spring: make(chan struct{}), dead: make(chan struct{}), marks: make(map[string]bool)}
	for _, mark := range marks {
		p.marks[mark] = true
	}
	return p
}

// names finds the value that a RUN's fields name, "" when it is none that is waited for.
func (p *trap) names(fields []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for mark := range p.marks {
		if bytes.Contains(fields, []byte(mark)) {
			return mark
		}
	}
	return ""
}

// take tells whether this is the mark's first COMMIT.
func (p *trap) take(mark string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.marks[mark]
	delete(p.marks, mark)
	return first
}

// relay passes everything on between the gate and one member, until its trap catches something.
type relay struct {
	address string
	member  string // its name
	to      string
	trap    atomic.Pointer[trap] // nil: none is set
}

// startRelay listens before a member until the test ends.
func startRelay(t *testing.T, member, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: l.Addr().String(), member: member, to: to}
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { r.serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		stop()
		wait.Wait()
	})
	return r
}

// serve ends both connections as soon as one has ended, or something was caught on them and its member is dead.
func (r *relay) serve(ctx context.Context, gate net.Conn) {
	defer gate.Close()
	member, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer member.Close()
	ctx, done := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() {
		gate.Close()
		member.Close()
	})()
	h := &held{}
	var wait sync.WaitGroup
	wait.Go(func() {
		defer done()
		h.answers(ctx, gate, member)
	})
	r.requests(ctx, h, gate, member)
	done()
	wait.Wait()
}

// held is what the two directions of a connection have in common.
type held struct {
	trap atomic.Pointer[trap] // set when the answers that come next are not for the gate
	mark catch                // written before trap is set; then the answers' own
}

// answers passes on what the member says, up to what is to be held back.
func (h *held) answers(ctx context.Context, gate, member net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := member.Read(buf)
		if p := h.trap.Load(); p != nil && n > 0 {
			h.mark.refused = bytes.Contains(buf[:n], []byte{0xB1, bolt.TagFailure})
			p.caught <- h.mark
			await(ctx, p.dead)
			return
		}
		if _, wrote := gate.Write(buf[:n]); err != nil || wrote != nil {
			return
		}
	}
}

// requests passes on what the gate asks for, and looks for what the trap is set for.
func (r *relay) requests(ctx context.Context, h *held, gate, member net.Conn) {
	const handshake = 20 // bytes: what a client of 3.5 sends before its messages
	if _, err := io.CopyN(member, gate, handshake); err != nil {
		return
	}
	in := &bolt.Reader{Source: gate}
	mark := ""
	for {
		m, err := in.ReadMessage()
		if err != nil {
			return
		}
		p := r.trap.Load()
		if p != nil && m.Tag == bolt.TagRun {
			if named := p.names(m.Fields); named != "" {
				mark = named
			}
		}
		if p != nil && mark != "" && isCommit(m) {
			if p.take(mark) && !r.hold(ctx, h, p, catch{mark: mark, member: r.member}) {
				return
			}
			mark = ""
		}
		payload := append([]byte{0xB0 | byte(m.Count), m.Tag}, m.Fields...)
		if _, err := member.Write(bolt.AppendChunks(nil, payload)); err != nil {
			return
		}
	}
}

// hold does what the moment asks for, and tells whether the COMMIT goes on.
func (r *relay) hold(ctx context.Context, h *held, p *trap, c catch) bool {
	switch p.when {
	case beforeIt:
		p.caught <- c
		await(ctx, p.dead)
		return false
	case meanwhile:
		p.caught <- c
		await(ctx, p.spring)
	default:
		h.mark = c
		h.trap.Store(p)
	}
	return true
}

// isCommit knows COMMIT of Bolt 3 and that of 1 and 2, where it is a text.
func isCommit(m bolt.Message) bool {
	return m.Tag == bolt.TagCommit || m.Tag == bolt.TagRun && bytes.HasPrefix(m.Fields, []byte("\x86COMMIT"))
}

func await(ctx context.Context, what <-chan struct{}) {
	select {
	case <-what:
	case <-ctx.Done():
	}
}

// TestTheRelayKnowsAMoment: before a member that says SUCCESS to everything.
func TestTheRelayKnowsAMoment(t *testing.T) {
	for when, want := range map[moment]struct{ arrives, answered bool }{beforeIt: {false, false}, meanwhile: {true, true}, behindIt: {true, false}} {
		t.Run(string(when), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			commits := make(chan struct{}, 9)
			defer l.Close()
			go agree(l, commits)
			r := startRelay(t, "m", l.Addr().String())
			p := newTrap(when, []string{"run/5"})
			r.trap.Store(p)
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(make([]byte, 20)) //nolint:errcheck // what reads the answer sees it
			in := &bolt.Reader{Source: conn}
			ask := func(message string) {
				conn.Write(bolt.AppendChunks(nil, []byte(message))) //nolint:errcheck // as above
			}
			for _, mark := range []string{"run/4", "run/5"} {
				ask("\xb3\x10\x81x\xa1\x81m\x85" + mark + "\xa0")
				if _, err := in.ReadMessage(); err != nil {
					t.Fatal(err)
				}
				ask("\xb0\x12")
				if mark == "run/4" { // nobody waits for that one
					if _, err := in.ReadMessage(); err != nil {
						t.Fatal(err)
					}
					<-commits
				}
			}
			if c := <-p.caught; c != (catch{mark: "run/5", member: "m"}) {
				t.Errorf("caught %+v", c)
			}
			close(p.spring)
			if want.arrives {
				<-commits
			}
			if when == meanwhile {
				_, err = in.ReadMessage()
			}
			close(p.dead)
			if when != meanwhile {
				_, err = in.ReadMessage()
			}
			if (err == nil) != want.answered || len(commits) > 0 {
				t.Errorf("answered with %v, %d COMMITs arrived that should not have", err, len(commits))
			}
		})
	}
}

// agree is a member that says SUCCESS to everything, and tells of each COMMIT.
func agree(l net.Listener, commits chan<- struct{}) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := io.CopyN(io.Discard, conn, 20); err != nil {
		return
	}
	for in := (&bolt.Reader{Source: conn}); ; {
		m, err := in.ReadMessage()
		if err != nil {
			return
		}
		if isCommit(m) {
			commits <- struct{}{}
		}
		conn.Write(bolt.AppendChunks(nil, []byte("\xb1\x70\xa0"))) //nolint:errcheck // the next read tells
	}
}
