package proxy

import (
	"fmt"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/netio"
)

// inbox holds what was read from a Bolt client and not yet dealt with, from a message's start on. Its buffer is borrowed
// when bytes arrive and given back when all are dealt with.
type inbox struct {
	link  *netio.Link
	buf   []byte
	lent  []byte // to room
	start int    // of the first message not dealt with
	end   int    // of what was read

	walk   bolt.Walk // through the message at start
	walked int       // how far, from start
	whole  bool      // the message at start is there to its end: walked is its length
	rest   bool      // what stands at start is the rest of a message that was passed on in part

	pinned bool // bytes before start may be sent again: they stay where they are
	held   bool // pinned stays, whoever lifts it meanwhile
}

// head tells the tag of the message at start; ok is false when more bytes are needed. NOOPs in front are dropped.
func (in *inbox) head() (tag byte, fields int, ok bool, err error) {
	if in.walked == 0 && !in.walk.Midway() {
		if n := bolt.SkipNoops(in.buf[in.start:in.end]); n > 0 {
			in.start += n
			in.tidy()
		}
	}
	return bolt.PeekTag(in.buf[in.start:in.end])
}

// complete tells whether the message at start is there to its end, and follows it as far as it is.
func (in *inbox) complete() bool {
	if !in.whole {
		n, done := in.walk.Next(in.buf[in.start+in.walked : in.end])
		in.walked += n
		in.whole = done
	}
	return in.whole
}

// message is the message at start with its chunk headers; complete has said that it is whole.
func (in *inbox) message() []byte { return in.buf[in.start : in.start+in.walked] }

// drop ends the message at start, whole or streamed to its end.
func (in *inbox) drop() {
	in.start += in.walked
	in.walk, in.walked, in.whole, in.rest = bolt.Walk{}, 0, false, false
	in.tidy()
}

// passed takes the n bytes at start, a piece of a message that is being streamed, as dealt with.
func (in *inbox) passed(n int) {
	in.start += n
	in.walked -= n
	in.rest = true
	in.tidy()
}

// tidy gives the buffer back when nothing is left in it.
func (in *inbox) tidy() {
	if in.start == in.end && !in.pinned {
		in.release()
	}
}

func (in *inbox) release() {
	if in.buf != nil {
		putBuffer(in.buf)
		in.buf, in.start, in.end = nil, 0, 0
	}
}

// unpin allows bytes before start to be overwritten.
func (in *inbox) unpin() {
	if in.pinned && !in.held {
		in.pinned = false
		in.tidy()
	}
}

// full tells that fill cannot read more without growing past limit.
func (in *inbox) full(limit int) bool { return in.buf != nil && in.end-in.start >= limit }

// fill reads more, waiting without a buffer when none is held. The buffer grows as far as limit bytes of unread messages;
// then fill fails with bolt.ErrMessageTooLarge.
func (in *inbox) fill(limit int) error {
	if in.buf == nil {
		buf, n, err := in.link.ReadLent(getBuffer, putBuffer)
		if err != nil {
			return err
		}
		in.buf, in.start, in.end = buf, 0, n
		return nil
	}
	if in.end == len(in.buf) {
		if err := in.makeRoom(limit); err != nil {
			return err
		}
	}
	n, err := in.link.Read(in.buf[in.end:])
	in.end += n
	if n > 0 {
		return nil
	}
	return err
}

// room lends where the next bytes are to be read, until took or nothing: a new buffer when none is held. There has to be some
// (mayServe).
func (in *inbox) room() []byte {
	if in.buf == nil {
		in.lent = getBuffer()
		return in.lent
	}
	return in.buf[in.end:]
}

// took says that n bytes were read into what room lent.
func (in *inbox) took(n int) {
	if in.lent != nil {
		in.buf, in.lent, in.start, in.end = in.lent, nil, 0, 0
	}
	in.end += n
}

// nothing says that none were.
func (in *inbox) nothing() {
	if in.lent != nil {
		putBuffer(in.lent)
		in.lent = nil
	}
}

// makeRoom moves what is unread to the front, or to a larger buffer.
func (in *inbox) makeRoom(limit int) error {
	unread := in.end - in.start
	if unread >= limit {
		return fmt.Errorf("%w: %d bytes", bolt.ErrMessageTooLarge, limit)
	}
	old := in.buf
	grow := in.pinned || unread > len(old)/2
	if grow {
		in.buf = make([]byte, min(max(2*unread, bufferSize), limit+bufferSize))
	}
	in.end = copy(in.buf, old[in.start:in.end])
	in.start = 0
	if grow && !in.pinned { // a pinned one is still in use by who pinned it
		putBuffer(old)
	}
	in.pinned = false
	return nil
}

// seed takes over bytes that were read before there was an inbox; buf is a borrowed buffer with n bytes in it.
func (in *inbox) seed(buf []byte, n int) { in.buf, in.start, in.end = buf, 0, n }
