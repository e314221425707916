package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxChunk is the longest chunk: its length is a u16 (Bolt message specification, "Chunking").
const MaxChunk = 0xFFFF

// ErrMessageTooLarge says that a message that has to be held whole is longer than its reader allows.
var ErrMessageTooLarge = errors.New("bolt: message is larger than allowed")

// Walk follows one message through its chunks as bytes arrive, in pieces of any size. The zero Walk stands before the
// first chunk of a message; after Next says that the message is done it stands there again.
type Walk struct {
	left    int  // bytes of the present chunk that have not been seen
	started bool // a chunk of this message has begun
}

// Midway tells whether the walk stands inside a message.
func (w *Walk) Midway() bool { return w.started }

// Next goes as far through b as the message reaches. It returns how many bytes of b belong to it; when done is false
// that is all of b but for the first byte of a chunk header that b cuts in two. At a message's start b must not begin
// with a NOOP: see SkipNoops.
func (w *Walk) Next(b []byte) (n int, done bool) {
	for {
		if w.left > len(b)-n {
			w.left -= len(b) - n
			return len(b), false
		}
		n += w.left
		w.left = 0
		if len(b)-n < 2 {
			return n, false
		}
		w.left = int(binary.BigEndian.Uint16(b[n:]))
		n += 2
		if w.left == 0 {
			w.started = false
			return n, true
		}
		w.started = true
	}
}

// SkipNoops returns how many bytes at the start of b, which stands between messages, are NOOPs (empty chunks).
func SkipNoops(b []byte) int {
	n := 0
	for len(b)-n >= 2 && b[n] == 0 && b[n+1] == 0 {
		n += 2
	}
	return n
}

// PeekTag returns the tag of the message that starts at b[0]; ok is false when more bytes are needed. A message that
// does not begin with a structure has no tag and is an error.
func PeekTag(b []byte) (tag byte, fields int, ok bool, err error) {
	if len(b) >= 4 && (b[0] != 0 || b[1] >= 2) { // the usual case: both bytes in the first chunk
		return headTag(b[2], b[3])
	}
	var head [2]byte
	got := 0
	for n := 0; got < 2; {
		if len(b)-n < 2 {
			return 0, 0, false, nil
		}
		size := int(binary.BigEndian.Uint16(b[n:]))
		switch {
		case size == 0:
			return 0, 0, false, fmt.Errorf("bolt: a message of %d bytes has no tag", got)
		case len(b)-n < 3:
			return 0, 0, false, nil
		}
		take := min(size, 2-got, len(b)-n-2)
		copy(head[got:], b[n+2:n+2+take])
		got, n = got+take, n+2+size
		if got < 2 && take < size {
			return 0, 0, false, nil
		}
	}
	return headTag(head[0], head[1])
}

func headTag(marker, tag byte) (byte, int, bool, error) {
	if marker&0xF0 != 0xB0 {
		return 0, 0, false, fmt.Errorf("bolt: a message begins with %02x instead of a structure", marker)
	}
	return tag, int(marker & 0x0F), true, nil
}

// Payload returns what the chunks of the whole message in b hold. One chunk, the usual case, is borrowed from b; several
// are joined in scratch, which is returned grown for the next call.
func Payload(b, scratch []byte) (payload, grown []byte) {
	size := int(binary.BigEndian.Uint16(b))
	if len(b) == size+4 {
		return b[2 : 2+size], scratch
	}
	scratch = scratch[:0]
	for {
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 {
			return scratch, scratch
		}
		scratch = append(scratch, b[2:2+size]...)
		b = b[2+size:]
	}
}

// AppendChunks appends payload as one message: chunks and the end marker.
func AppendChunks(dst, payload []byte) []byte {
	for len(payload) > 0 {
		n := min(len(payload), MaxChunk)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
		dst = append(dst, payload[:n]...)
		payload = payload[n:]
	}
	return append(dst, 0, 0)
}

// Message is one whole message.
type Message struct {
	Tag    byte
	Count  int    // fields claimed by the structure
	Fields []byte // their PackStream bytes; borrowed: valid until the next ReadMessage
}

// Reader reads whole messages, for control connections and tests; relays walk their own buffers. Fields: the source, and
// the most bytes that a message may have, its chunk headers included (0: 16 MiB).
type Reader struct {
	Source io.Reader
	Limit  int

	buf        []byte
	start, end int // what of buf is unread
	scratch    []byte
}

const readerBuffer = 4096

// ReadMessage returns the next whole message, its chunks joined and NOOPs skipped (Bolt message specification, "Chunking").
// Errors: io.EOF between messages, io.ErrUnexpectedEOF inside one, ErrMessageTooLarge past Limit bytes.
func (r *Reader) ReadMessage() (Message, error) {
	size, err := r.frame()
	if err != nil {
		return Message{}, err
	}
	raw := r.buf[r.start : r.start+size]
	r.start += size
	tag, count, ok, err := PeekTag(raw)
	if err != nil || !ok {
		return Message{}, errors.Join(err, errors.New("bolt: message without a tag"))
	}
	var payload []byte
	payload, r.scratch = Payload(raw, r.scratch)
	return Message{Tag: tag, Count: count, Fields: payload[2:]}, nil
}

// frame makes the next message whole in buf and returns its length.
func (r *Reader) frame() (int, error) {
	var walk Walk
	for seen := 0; ; {
		if !walk.Midway() && seen == 0 {
			r.start += SkipNoops(r.buf[r.start:r.end])
		}
		n, done := walk.Next(r.buf[r.start+seen : r.end])
		seen += n
		if limit := r.limit(); seen > limit {
			return 0, fmt.Errorf("%w: %d bytes", ErrMessageTooLarge, limit)
		}
		if done {
			return seen, nil
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.end > r.start {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

func (r *Reader) limit() int {
	if r.Limit == 0 {
		return 16 << 20
	}
	return r.Limit
}

// fill reads more. The buffer doubles with what has arrived, never with what was claimed.
func (r *Reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, max(len(r.buf), readerBuffer))...)
	}
	n, err := r.Source.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Buffered is how many bytes have been read from Source and not returned.
func (r *Reader) Buffered() int { return r.end - r.start }
