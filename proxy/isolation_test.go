package proxy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file shows that nobody ever sees an answer that was another's, however clients leave.

const (
	isolationUsers   = 20
	isolationClients = 1000
	isolationAtOnce  = 100
)

// TestNoAnswerReachesAnother runs a thousand clients of twenty users over few member connections. Each question carries its
// asker's mark; clients are cut or RESET at random bytes. BOLTGATE_SEED repeats a run.
func TestNoAnswerReachesAnother(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BOLTGATE_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("BOLTGATE_SEED=%d", seed)
	clients := isolationClients
	if testing.Short() || raceDetector {
		clients = 200
	}
	g := startGate(t, gateOptions{
		standin: standin.Options{Members: 3, Replicas: 1, Seed: 1, Users: isolationLogins(), MaxChunk: 500},
		pool:    pool.Options{MaxPerMember: 5},
		server:  Options{Remember: time.Minute},
	})
	var wg sync.WaitGroup
	next := make(chan int)
	for range isolationAtOnce {
		wg.Go(func() {
			for id := range next {
				a := &asker{t: t, g: g, id: id, random: rand.New(rand.NewPCG(seed, uint64(id)))}
				a.live()
			}
		})
	}
	for id := range clients {
		next <- id
	}
	close(next)
	wg.Wait()
	g.settled()
}

func isolationLogins() map[string]string {
	users := map[string]string{standin.DefaultUser: standin.DefaultPassword}
	for i := range isolationUsers {
		users[fmt.Sprintf("user%d", i)] = fmt.Sprintf("secret%d", i)
	}
	return users
}

// settled waits until no session, no slot and no line is left.
func (g *gate) settled() {
	g.t.Helper()
	left := func() string {
		if n := g.server.Sessions(); n > 0 {
			return fmt.Sprintf("%d sessions", n)
		}
		return g.busy()
	}
	deadline := time.Now().Add(patience)
	for left() != "" {
		if time.Now().After(deadline) {
			g.t.Fatalf("left behind: %s", left())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// busy tells which member has work in flight or in line; "" when none has.
func (g *gate) busy() string {
	for _, member := range g.cluster.Members() {
		if s := g.pools.Stats(member.Name); s.InFlight != 0 || s.Queued != 0 || s.Open != s.Idle {
			return fmt.Sprintf("%s: %+v", member.Name, s)
		}
	}
	return ""
}

// asker is one client with its random habits.
type asker struct {
	t      *testing.T
	g      *gate
	id     int
	user   int
	asked  int
	began  bool // the present question begins with BEGIN
	random *rand.Rand
	v      bolt.Version
	conn   *net.TCPConn
	w      *wire
}

func (a *asker) chance(percent int) bool { return a.random.IntN(100) < percent }

// live is a client from log-on to its end.
func (a *asker) live() {
	a.v = []bolt.Version{bolt.V5_8, bolt.V5_4, bolt.V5_1, bolt.V5_0, bolt.V4_4}[a.random.IntN(5)]
	conn, err := net.Dial("tcp", a.g.address)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer conn.Close()
	a.conn = conn.(*net.TCPConn)
	conn.SetDeadline(time.Now().Add(60 * time.Second)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, a.v); err != nil {
		a.t.Errorf("handshake: %v", err)
		return
	}
	a.w = &wire{t: a.t, conn: conn, v: a.v, in: bolt.Reader{Source: conn}}
	a.user = a.random.IntN(isolationUsers)
	if !a.exchange(logonMessages(a.v, a.name(), a.password()), nil) {
		return
	}
	for range 2 + a.random.IntN(6) {
		if !a.step() {
			return
		}
	}
}

func (a *asker) name() string     { return fmt.Sprintf("user%d", a.user) }
func (a *asker) password() string { return fmt.Sprintf("secret%d", a.user) }

// step asks one thing; false when the client has left.
func (a *asker) step() bool {
	a.asked++
	mark := fmt.Sprintf("client%d-%d", a.id, a.asked)
	question := a.question(mark)
	switch {
	case a.chance(8): // leaves in the middle of its own request
		all := slices.Concat(question...)
		a.conn.Write(all[:a.random.IntN(len(all))]) //nolint:errcheck // it leaves
		a.leave()
		return false
	case a.chance(12): // leaves in the middle of the answer
		a.conn.Write(slices.Concat(question...)) //nolint:errcheck // it leaves
		some := make([]byte, 1+a.random.IntN(5000))
		a.conn.SetReadDeadline(time.Now().Add(time.Duration(a.random.IntN(20)) * time.Millisecond)) //nolint:errcheck // as above
		readFull(a.conn, some)                                                                      //nolint:errcheck // as above
		a.leave()
		return false
	case a.v >= bolt.V5_1 && a.chance(20): // becomes another user, all at once
		a.user = a.random.IntN(isolationUsers)
		logon := logonMessages(a.v, a.name(), a.password())[1]
		return a.exchange(slices.Concat([][]byte{message(bolt.TagLogoff), logon}, a.question(mark)), mark)
	case a.chance(30):
		return a.interrupt(question, mark)
	}
	return a.exchange(question, mark)
}

func (a *asker) leave() {
	if a.chance(50) {
		a.conn.SetLinger(0) //nolint:errcheck // it leaves either way
	}
	a.conn.Close()
}

// question is a unit of work whose every row carries mark.
func (a *asker) question(mark string) [][]byte {
	a.began = false
	params := m{"mark": mark, "rows": 1 + a.random.IntN(30), "bytes": a.random.IntN(2000)}
	if a.chance(15) {
		params["row_delay"] = "1ms"
	}
	if a.chance(10) {
		params["delay"] = a.random.IntN(20)
		params["delay_at"] = []string{"run", "pull", "commit"}[a.random.IntN(3)]
	}
	if a.chance(5) {
		params["fail"], params["fail_at"] = "Neo.ClientError.Statement.TypeError", a.random.IntN(20)
	}
	text := []string{"MATCH (n) RETURN n", "CREATE (n) RETURN n", "USE neo4j MATCH (n) RETURN n"}[a.random.IntN(3)]
	var extra m
	if text[0] != 'C' && a.chance(30) {
		extra = m{"mode": "r"}
	}
	one := [][]byte{run(a.v, text, params, extra), pull(a.v)}
	if !a.chance(30) {
		return one
	}
	a.began = true
	inside := [][]byte{run(a.v, text, params, nil), pull(a.v)}
	return slices.Concat(beginTx(a.v, extra), inside, inside, commitTx(a.v))
}

// exchange asks and checks every answer; after a failure it resets.
func (a *asker) exchange(messages [][]byte, mark any) bool {
	if _, err := a.conn.Write(slices.Concat(messages...)); err != nil {
		a.t.Errorf("client %d: sending: %v", a.id, err)
		return false
	}
	failed, ok := a.check(len(messages), mark)
	if ok && failed {
		a.conn.Write(bolt.Reset) //nolint:errcheck // shows in the answers
		_, ok = a.check(1, mark)
	}
	return ok
}

// interrupt sends RESET after a random part of the question, and goes on with the session.
func (a *asker) interrupt(messages [][]byte, mark string) bool {
	n := 1 + a.random.IntN(len(messages))
	a.conn.Write(slices.Concat(messages[:n]...))                      //nolint:errcheck // shows in the answers
	time.Sleep(time.Duration(a.random.IntN(3000)) * time.Microsecond) // so that RESET comes at any point of the work
	a.conn.Write(bolt.Reset)                                          //nolint:errcheck // as above
	_, ok := a.check(n+1, mark)
	return ok
}

// check reads n summaries and whatever records come.
func (a *asker) check(n int, mark any) (failed, ok bool) {
	var last answer
	for n > 0 {
		msg, err := a.w.tryRead()
		if err != nil || msg.tag == 0 {
			a.t.Errorf("client %d (Bolt %v), question %v: the connection ended with %d answers due: %v", a.id, a.v, mark, n, err)
			return failed, false
		}
		switch msg.tag {
		case bolt.TagRecord:
			row := msg.value.([]any)
			if len(row) < 7 || row[4] != a.name() || row[6] != mark {
				a.t.Errorf("client %d of %s asked with mark %v and got the row %v", a.id, a.name(), mark, row)
				return failed, false
			}
			continue
		case bolt.TagFailure:
			if msg.code() == bolt.CodeInvalidRequest && a.began { // what servers of 5.x say when RESET overtakes a BEGIN
				return true, false
			}
			failed = true
			if c := msg.code(); c != "Neo.ClientError.Statement.TypeError" && !strings.HasSuffix(c, ".Transaction.Terminated") {
				a.t.Errorf("client %d: %s: %v", a.id, c, msg.value)
			}
		}
		last, n = msg, n-1
	}
	if last.tag == bolt.TagSuccess {
		failed = false
	}
	return failed, true
}
