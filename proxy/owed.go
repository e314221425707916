package proxy

import (
	"slices"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/querystats"
)

// owed is one answer that is due to the client.
type owed struct {
	tag  byte // of the request
	ends byte // COMMIT or ROLLBACK when the answer ends the explicit transaction; in 1 and 2 that of a PULL_ALL
	kept bool // the member cannot have read its request to the end: it did not take it, or what came before it
	own  bool // the gate answers it itself: IGNORED, or SUCCESS for a RESET that no member has to hear of
	mute bool // the member's answer is not for the client, see between.go

	query querystats.ID // of a RUN: the shape of its text
}

// owedQueue holds what is due in the order of the requests, which is the order of the answers.
type owedQueue struct {
	list []owed
	next int // of list: what is due first
}

func (q *owedQueue) push(o owed) {
	if q.next == len(q.list) {
		q.list, q.next = q.list[:0], 0
	}
	q.list = append(q.list, o)
}

func (q *owedQueue) empty() bool { return q.next == len(q.list) }

func (q *owedQueue) head() owed { return q.list[q.next] }

func (q *owedQueue) pop() owed {
	o := q.list[q.next]
	q.next++
	return o
}

// anyPull tells whether a PULL or DISCARD is due.
func (q *owedQueue) anyPull() bool {
	for _, o := range q.list[q.next:] {
		if o.tag == bolt.TagPull || o.tag == bolt.TagDiscard {
			return true
		}
	}
	return false
}

// fromMember counts the answers that a member has still to give.
func (q *owedQueue) fromMember() int {
	n := 0
	for _, o := range q.list[q.next:] {
		if !o.own {
			n++
		}
	}
	return n
}

// keepFrom notes that of the requests whose answers are due only the first whole ones left to their end.
func (q *owedQueue) keepFrom(whole int) {
	for i := q.next + whole; i < len(q.list); i++ {
		q.list[i].kept = true
	}
}

// keepLast notes that the newest request did not leave to its end.
func (q *owedQueue) keepLast() {
	if !q.empty() {
		q.list[len(q.list)-1].kept = true
	}
}

// rewind makes all due once more, for the requests are sent again.
func (q *owedQueue) rewind() {
	q.next = 0
	for i := range q.list {
		q.list[i].kept = false
	}
}

// before puts o in front of all, unless such a one is there already.
func (q *owedQueue) before(o owed) {
	if len(q.list) == 0 || !q.list[0].mute {
		q.list = slices.Insert(q.list, 0, o)
	}
}

// muteHead keeps the answer that is due first from the client.
func (q *owedQueue) muteHead() {
	if !q.empty() {
		q.list[q.next].mute = true
	}
}

// sent tells whether the answer to such a request, or one that ends the transaction so, is due, and the request left.
func (q *owedQueue) sent(tag byte) bool {
	for _, o := range q.list[q.next:] {
		if (o.tag == tag || o.ends == tag) && !o.kept {
			return true
		}
	}
	return false
}

// lockOwed is how run, and nobody else, locks what it shares with a pump. Without a pump it has that to itself. Between
// lockOwed and unlockOwed no pump starts or is stopped.
func (s *boltSession) lockOwed() {
	if s.pump != nil {
		s.mu.Lock()
	}
}

func (s *boltSession) unlockOwed() {
	if s.pump != nil {
		s.mu.Unlock()
	}
}

// answerOwed answers all that is due without a member: the first with f, when there is one, the rest with IGNORED, a
// RESET with SUCCESS, after which the session is ready.
func (s *boltSession) answerOwed(f *bolt.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.owed.empty() {
		switch o := s.owed.pop(); {
		case o.mute:
		case o.tag == bolt.TagReset:
			s.out = append(s.out, bolt.EmptySuccess...)
			s.state, f, s.reset = stateReady, nil, false
		case f != nil && !o.own:
			s.out = f.Append(s.out, s.version)
			s.state, f = stateFailed, nil
		default:
			s.out = append(s.out, bolt.Ignored...)
		}
	}
}
