package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/routing"
)

// This file owns causality: cluster. A read that we moved sees all that was committed before it came, through whichever gate: the
// leader is asked for its newest bookmark. Reads that come while a question is under way share the next one.

// newest are the questions for leaders' newest bookmarks.
type newest struct {
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
	q := question{db: routing.Fold(u.intent.DB), old: s.version < bolt.V4_0}
	b, first, before := s.srv.newest.join(q)
	if first {
		s.askNewest(ctx, q, b, before)
	} else if err := s.await(ctx, b); err != nil {
		return err
	}
	if b.err != nil || len(b.list) == 0 {
		err := s.unwanted()
		s.toLeader()
		return err
	}
	for _, p := range b.list {
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

// askNewest asks the leader on behalf of a batch, as the client of this session.
func (s *boltSession) askNewest(ctx context.Context, q question, b, before *batch) {
	asked := false
	defer func() { s.srv.newest.end(q, b, asked) }()
	if before != nil {
		if b.err = s.await(ctx, before); b.err != nil {
			return
		}
	}
	s.srv.newest.ask(q)
	asked = true
	u := &s.unit
	saved := *u
	s.in.held = true // as in askHome
	text, err := s.newestAtLeader(ctx, saved.intent.DB)
	s.in.held = false
	*u = saved
	if b.err = err; err != nil {
		return
	}
	b.list, b.format = bolt.ParseBookmark(nil, []byte(text))
	if len(b.list) == 1 && b.list[0].DB != [16]byte{} && q.db != "" {
		s.srv.databases.learn([]byte(q.db), b.list[0].DB, false)
	}
}

func (s *boltSession) newestAtLeader(ctx context.Context, db string) (string, error) {
	s.unit.reset()
	lease, err := s.borrow(ctx, routing.Intent{DB: db, Version: s.version, UTC: s.utc, Now: s.now}, false)
	if err != nil {
		return "", err
	}
	answer, err := s.askOn(lease, func(c *bolt.Client) (any, error) { return c.Bookmark(db) })
	text, _ := answer.(string)
	return text, err
}

// await waits for another session's question. When it takes a while a pump watches the client.
func (s *boltSession) await(ctx context.Context, b *batch) error {
	soon := time.NewTimer(quick)
	defer soon.Stop()
	select {
	case <-b.done:
		return nil
	case <-soon.C:
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
