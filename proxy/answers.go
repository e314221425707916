package proxy

import (
	"fmt"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the buffer of a member's answers.

const maxSummary = 16 << 20 // a SUCCESS or FAILURE is held whole; a plan can be long

// answers is what was read from the member and not yet sent to the client.
type answers struct {
	buf   []byte
	out   int // from here nothing was sent
	pos   int // up to here messages were looked at
	end   int // up to here bytes were read
	walk  bolt.Walk
	mid   bool // pos stands inside a RECORD that is passed on in pieces
	seen  int  // of a summary at pos that is not whole: how far walk is
	asked bool // the time to the first bytes is still to be noted
	hold  bool // what stands before pos waits for the next message: the unit may still go elsewhere

	scratch []byte
	sent    time.Time // when the client last got something; set by slow waits only
}

func (a *answers) open() {
	if a.buf == nil {
		a.buf = getBuffer()
	}
	a.out, a.pos, a.end, a.seen = 0, 0, 0, 0
	a.walk, a.mid, a.hold = bolt.Walk{}, false, false
	a.sent = time.Time{}
}

// reopen makes ready to read over what is still to come, from wherever a relay stopped.
func (a *answers) reopen() {
	if a.buf == nil {
		a.open()
	}
	if !a.mid { // a summary that is not whole yet is met again from its start
		a.walk, a.seen = bolt.Walk{}, 0
	}
}

func (a *answers) close() {
	if a.buf != nil {
		putBuffer(a.buf)
		a.buf = nil
	}
}

// room makes place for more bytes, keeping what was not sent.
func (a *answers) room() error {
	if a.out == a.end {
		a.out, a.pos, a.end = 0, 0, 0
	}
	if a.end < len(a.buf) {
		return nil
	}
	keep := a.end - a.out
	if keep >= maxSummary {
		return fmt.Errorf("%w: a summary of more than %d bytes", bolt.ErrMessageTooLarge, maxSummary)
	}
	old := a.buf
	if keep > len(old)/2 {
		a.buf = make([]byte, 2*len(old))
	}
	copy(a.buf, old[a.out:a.end])
	if keep > len(old)/2 {
		putBuffer(old)
	}
	a.pos, a.end, a.out = a.pos-a.out, keep, 0
	return nil
}
