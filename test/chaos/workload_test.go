package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

// This file owns the writers and readers: each writes values that nobody else does, one after the other, and notes what came of each.

// kind is what an operation is.
type kind string

const (
	write      kind = "write"           // one auto-commit CREATE
	writeTx    kind = "managed write"   // the same in a transaction function
	read       kind = "read"            // an auto-commit read without bookmarks
	readBehind kind = "causal read"     // a transaction function that reads what was just acknowledged, with its bookmark
	readMarked kind = "bookmarked read" // the same in an auto-commit read, which no driver tries again
	lateWrite  kind = "late write"      // as write, by a worker that begins after the fault
)

func (k kind) writes() bool { return k == write || k == writeTx || k == lateWrite }

// marked tells whether it reads with the bookmark of what it has to see.
func (k kind) marked() bool { return k == readBehind || k == readMarked }

// crew is how many workers there are of a kind.
type crew struct {
	kind  kind
	count int
}

var (
	workers     = []crew{{write, 4}, {writeTx, 2}, {read, 4}, {readBehind, 2}, {readMarked, 2}}
	lateWorkers = []crew{{lateWrite, 2}}
)

// pause is between two operations of a worker; mendPause while members start, which on two cores would take several times as long beside a
// workload at full speed.
const (
	pause     = 5 * time.Millisecond
	mendPause = 100 * time.Millisecond
)

// op is one operation and what came of it.
type op struct {
	kind   kind
	worker string // unique among all
	id     string // what it wrote, or read
	begun  time.Time
	done   time.Time
	err    error
	tries  int   // how often the driver called its transaction function
	failed error // with what the newest of these that failed did, seen from inside
	stale  bool  // a read with a bookmark that did not see what was acknowledged before it
}

// workload is the workers of one round.
type workload struct {
	target target
	run    string // marks what is written
	stop   chan struct{}
	wait   sync.WaitGroup
	eased  atomic.Bool // mendPause counts

	mu    sync.Mutex
	ops   []op    // guarded by mu
	acked []value // guarded by mu: what may be read
}

// value is an acknowledged write.
type value struct {
	id        string
	bookmarks neo4j.Bookmarks
}

// startWorkload has the workers begin.
func startWorkload(to target, run string) *workload {
	w := &workload{target: to, run: run, stop: make(chan struct{})}
	w.begin(workers)
	return w
}

// begin has more workers begin; not after end.
func (w *workload) begin(crews []crew) {
	for _, c := range crews {
		for i := range c.count {
			name := fmt.Sprintf("%s %d", c.kind, i+1)
			w.wait.Go(func() { w.work(c.kind, name) })
		}
	}
}

// end has the workers finish what they do, and returns all that they did.
func (w *workload) end() []op {
	close(w.stop)
	w.wait.Wait()
	return w.ops
}

func (w *workload) work(k kind, name string) {
	for n := 0; ; n++ {
		between := pause
		if w.eased.Load() {
			between = mendPause
		}
		select {
		case <-w.stop:
			return
		case <-time.After(between):
		}
		o := op{kind: k, worker: name, begun: time.Now()}
		if k.writes() {
			o.id = fmt.Sprintf("%s %s %d", w.run, name, n)
			w.write(&o)
		} else {
			v, ok := w.pick(k)
			if !ok {
				continue
			}
			o.id = v.id
			w.read(&o, v)
		}
		w.note(o)
	}
}

func (w *workload) note(o op) {
	o.done = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, o)
}

// pick is what a reader reads: one with a bookmark the newest value, the others any.
func (w *workload) pick(k kind) (value, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.acked)
	if n == 0 {
		return value{}, false
	}
	if k.marked() {
		return w.acked[n-1], true
	}
	return w.acked[rand.IntN(n)], true
}

// opTime bounds one operation: what takes longer hangs.
const opTime = 90 * time.Second

var errHung = errors.New("chaos: the operation hung")

const (
	createText = "CREATE (:Chaos {run: $run, id: $id})"
	matchText  = "MATCH (n:Chaos {id: $id}) RETURN n.id"
)

// write writes the operation's value.
func (w *workload) write(o *op) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), opTime, errHung)
	defer cancel()
	session := w.target.writer.NewSession(ctx, neo4j.SessionConfig{AccessMode: neo4j.AccessModeWrite})
	defer session.Close(ctx) //nolint:errcheck // what counts was said by then
	params := map[string]any{"run": w.run, "id": o.id}
	if o.kind != writeTx {
		o.err = consume(ctx, func() (neo4j.ResultWithContext, error) { return session.Run(ctx, createText, params) })
	} else {
		_, o.err = session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			return nil, o.try(consume(ctx, func() (neo4j.ResultWithContext, error) { return tx.Run(ctx, createText, params) }))
		})
	}
	if o.err == nil {
		w.mu.Lock()
		w.acked = append(w.acked, value{o.id, session.LastBookmarks()})
		w.mu.Unlock()
	} else if ctx.Err() != nil {
		o.err = context.Cause(ctx)
	}
}

// try notes one call of a transaction function.
func (o *op) try(err error) error {
	o.tries++
	if err != nil {
		o.failed = err
	}
	return err
}

func consume(ctx context.Context, run func() (neo4j.ResultWithContext, error)) error {
	result, err := run()
	if err == nil {
		_, err = result.Consume(ctx)
	}
	return err
}

// read reads a value. Only with its bookmark does it have to be there.
func (w *workload) read(o *op, v value) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), opTime, errHung)
	defer cancel()
	config := neo4j.SessionConfig{AccessMode: neo4j.AccessModeRead}
	if o.kind.marked() {
		config.Bookmarks = v.bookmarks
	}
	session := w.target.reader.NewSession(ctx, config)
	defer session.Close(ctx) //nolint:errcheck // as above
	params := map[string]any{"id": v.id}
	var rows int
	if o.kind != readBehind {
		rows, o.err = count(ctx, func() (neo4j.ResultWithContext, error) { return session.Run(ctx, matchText, params) })
	} else {
		_, o.err = session.ExecuteRead(ctx, func(tx neo4j.ManagedTransaction) (_ any, err error) {
			rows, err = count(ctx, func() (neo4j.ResultWithContext, error) { return tx.Run(ctx, matchText, params) })
			return nil, o.try(err)
		})
	}
	o.stale = o.err == nil && o.kind.marked() && len(v.bookmarks) > 0 && rows == 0
	if o.err != nil && ctx.Err() != nil {
		o.err = context.Cause(ctx)
	}
}

func count(ctx context.Context, run func() (neo4j.ResultWithContext, error)) (int, error) {
	result, err := run()
	if err != nil {
		return 0, err
	}
	rows, err := result.Collect(ctx)
	return len(rows), err
}
