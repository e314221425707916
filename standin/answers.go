package standin

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// answers writes a connection's answers through a buffer. Its first error sticks. It is used by the connection's worker
// alone.
type answers struct {
	conn    net.Conn
	version bolt.Version
	release release
	awake   func() bool // waits while the member is frozen; false ends the connection
	chunk   int         // longest chunk
	random  *rand.Rand  // of chunk lengths; nil: as long as can be
	buf     []byte
	scratch []byte
	cut     int64 // bytes until the connection is to break; negative: never
	err     error
}

var errCut = errors.New("standin: the connection was cut as asked")

const (
	answerBuffer = 32 << 10
	maxChunk     = 0xFFFF
)

func (a *answers) message(tag byte, fields ...any) {
	p := packstream.AppendStruct(a.scratch[:0], tag, len(fields))
	for _, f := range fields {
		p = packstream.AppendValue(p, f)
	}
	a.scratch = p
	a.put(p)
	a.end()
}

func (a *answers) success(metadata map[string]any) { a.message(bolt.TagSuccess, metadata) }

func (a *answers) ignored() { a.message(bolt.TagIgnored) }

// failure has the shape of the version (facts of Neo4j, "FAILURE").
func (a *answers) failure(f *bolt.Failure) {
	if a.version < bolt.V5_7 {
		a.message(bolt.TagFailure, map[string]any{"code": f.Code, "message": f.Message})
		return
	}
	fields := a.release.gqlFields(f)
	fields["neo4j_code"], fields["message"] = f.Code, f.Message
	a.message(bolt.TagFailure, fields)
}

// record writes one RECORD; a payload of that many bytes is streamed as its last value.
func (a *answers) record(values []any, payload int64) {
	n := len(values)
	if payload > 0 {
		n++
	}
	p := packstream.AppendList(packstream.AppendStruct(a.scratch[:0], bolt.TagRecord, 1), n)
	for _, v := range values {
		p = packstream.AppendValue(p, v)
	}
	if payload > 0 {
		p = binary.BigEndian.AppendUint32(append(p, 0xD2), uint32(payload))
	}
	a.scratch = p
	a.put(p)
	for at := int64(0); at < payload && a.err == nil; {
		piece := payloadPiece(at, payload)
		a.put(piece)
		at += int64(len(piece))
	}
	a.end()
}

// put writes a part of a message as chunks.
func (a *answers) put(p []byte) {
	for len(p) > 0 && a.err == nil {
		n := min(len(p), orElse(a.chunk, maxChunk))
		if a.random != nil {
			n = 1 + a.random.IntN(n)
		}
		a.buf = binary.BigEndian.AppendUint16(a.buf, uint16(n))
		a.buf = append(a.buf, p[:n]...)
		p = p[n:]
		if len(a.buf) >= answerBuffer {
			a.flush()
		}
	}
}

// end ends a message.
func (a *answers) end() { a.buf = append(a.buf, 0, 0) }

// raw writes bytes that are no message.
func (a *answers) raw(b []byte) { a.buf = append(a.buf, b...) }

func (a *answers) flush() {
	if a.err != nil || len(a.buf) == 0 {
		return
	}
	if !a.awake() {
		a.err = net.ErrClosed
		return
	}
	b := a.buf
	if a.cut >= 0 && int64(len(b)) >= a.cut {
		b = b[:a.cut]
	}
	n, err := a.conn.Write(b)
	a.buf, a.err = a.buf[:0], err
	if a.cut >= 0 {
		if a.cut -= int64(n); a.cut <= 0 && err == nil {
			a.err = errCut
		}
	}
}

// Payload is the text that the directive bytes=n puts into each row: letters and digits, the same at every place in every
// row, so that a reader can tell a lost or foreign byte.
func Payload(at int64) byte { return payloadPattern()[at%payloadPeriod] }

const (
	payloadPeriod = 61 // a prime, so that no buffer's length is a multiple
	payloadStep   = 16 << 10
)

var payloadPattern = sync.OnceValue(func() []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, payloadStep+payloadPeriod)
	for i := range b {
		b[i] = letters[i%payloadPeriod]
	}
	return b
})

func payloadPiece(at, total int64) []byte {
	from := at % payloadPeriod
	return payloadPattern()[from : from+min(payloadStep, total-at)]
}
