package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/routing"
)

// This file owns causality: cluster. A read that we moved sees all that was committed before it came, through whichever gate: the
// leader is asked for its newest bookmark. Reads that come while a question is under way share the next one, over Bolt and HTTP alike.

// newest are the questions for leaders' newest bookmarks.
type newest struct {
	progress *progress // set before, never changed

	mu  sync.Mutex
	per map[question]*batches // guarded by mu; only those with a question under way or due
}

// question is what reads can share an answer of.
type question struct {
	db  string
	old bool // in the format of Bolt 3
}

// batches are the question under way, and the one that waits for its end.
type batches struct{ asked, due *batch }

// batch is the reads that share one answer, which belongs to none of them in particular.
type batch struct {
	done chan struct{}

	list   []bolt.Position // set before done is closed: what the leader has
	format bolt.BookmarkFormat
	err    error
}

// inquirer is the session or connection whose read wants to know.
type inquirer interface {
	// askNewest asks the leader of db for its newest bookmark, or a JSON list of them, as its own client.
	askNewest(ctx context.Context, db string) (list []bolt.Position, format bolt.BookmarkFormat, err error)
	// await waits until a batch is done, watching its own client; the error is the client's RESET or end.
	await(ctx context.Context, b *batch) error
}

// errNoMark says that the leader's answer had no bookmark.
var errNoMark = errors.New("proxy: the leader gave no bookmark")

// of returns the batch of a read that came just now, done. When its err is set nothing is known. An error is that of by's await.
func (n *newest) of(ctx context.Context, q question, by inquirer) (*batch, error) {
	b, first, before := n.join(q)
	if !first {
		return b, by.await(ctx, b)
	}
	asked := false
	defer func() { n.end(q, b, asked) }()
	if before != nil {
		if b.err = by.await(ctx, before); b.err != nil {
			return b, b.err
		}
	}
	n.ask(q)
	asked = true
	b.list, b.format, b.err = by.askNewest(ctx, q.db)
	if b.err == nil && len(b.list) == 0 {
		b.err = errNoMark
	}
	for i := range b.list { // one that does not lead any more, and does not know it, names what it has: at least what went through this gate is seen
		p := &b.list[i]
		p.Tx = max(p.Tx, n.progress.highest(p.DB))
		if mutant.Is(mutant.ClusterOwnGate) {
			p.Tx = n.progress.highest(p.DB)
		}
	}
	return b, nil
}

// soon waits for as long as it usually takes; false when the batch is not done then.
func (b *batch) soon() bool {
	soon := time.NewTimer(quick)
	defer soon.Stop()
	select {
	case <-b.done:
		return true
	case <-soon.C:
		return false
	}
}

// join joins the batch that is due. first is true for the read that has to ask, when the question before, if there is one, is done.
func (n *newest) join(q question) (b *batch, first bool, before *batch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.per == nil {
		n.per = map[question]*batches{}
	}
	of := n.per[q]
	if of == nil {
		of = new(batches)
		n.per[q] = of
	}
	if of.due != nil {
		return of.due, false, nil
	}
	of.due = &batch{done: make(chan struct{})}
	return of.due, true, of.asked
}

// ask closes the batch to reads that come later: what was committed before them the answer may not show.
func (n *newest) ask(q question) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.per[q]
	of.asked, of.due = of.due, nil
}

// end hands the answer to the batch. asked says that it was closed before.
func (n *newest) end(q question, b *batch, asked bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.per[q]
	if asked {
		of.asked = nil
	} else {
		of.due = nil
	}
	if of.asked == nil && of.due == nil {
		delete(n.per, q)
	}
	close(b.done)
}

// rememberNewest makes a read that we moved see all that was committed before it came. When that cannot be had it goes to the
// leader itself. An error is the client's RESET or end.
func (s *boltSession) rememberNewest(ctx context.Context) error {
	u := &s.unit
	if u.routed || s.pinnedTo != nil {
		s.toLeader()
		return nil
	}
	b, err := s.srv.newest.of(ctx, question{db: routing.Fold(u.intent.DB), old: s.version < bolt.V4_0}, s)
	if err == nil {
		err = s.unwanted()
	}
	if err != nil || b.err != nil {
		s.toLeader()
		return err
	}
	for _, p := range b.list {
		p = s.login.marks.atLeast(p)
		k := &mark{db: p.DB}
		k.tx.Store(p.Tx)
		k.format.Store(uint32(b.format))
		k.at.Store(s.now.UnixNano())
		if id, known := s.target(); !known || p.DB == id || p.DB == [16]byte{} {
			s.add(k)
		}
	}
	return nil
}

// askNewest asks over Bolt, by an empty transaction. The unit is as carry has it: nothing of it was sent or tried yet.
func (s *boltSession) askNewest(ctx context.Context, db string) ([]bolt.Position, bolt.BookmarkFormat, error) {
	s.in.held = true // as in askHome
	defer func() {
		s.in.held = false
		s.unit.tried = s.unit.tried[:0]
	}()
	lease, err := s.borrow(ctx, routing.Intent{DB: db, Version: s.version, UTC: s.utc, Now: s.now}, false)
	if err != nil {
		return nil, 0, err
	}
	answer, err := s.askOn(lease, func(c *bolt.Client) (any, error) { return c.Bookmark(db) })
	if err != nil {
		return nil, 0, err
	}
	text, _ := answer.(string)
	list, format := bolt.ParseBookmark(nil, []byte(text))
	s.srv.databases.learnOne(db, list)
	return list, format, nil
}

// await waits for another's question. When it takes a while a pump watches the client.
func (s *boltSession) await(ctx context.Context, b *batch) error {
	if b.soon() {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.in.held = true
	s.startPump(cancel)
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	s.stopPump()
	s.in.held = false
	s.now = time.Now()
	if err := s.unwanted(); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
