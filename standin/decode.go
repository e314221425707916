package standin

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// message is one request as it was read.
type message struct {
	tag    byte
	fields []any
	fault  error // the message is whole but not understood
}

func (m message) field(i int) any {
	if i < len(m.fields) {
		return m.fields[i]
	}
	return nil
}

func (m message) mapField(i int) map[string]any {
	v, _ := m.field(i).(map[string]any)
	return v
}

var (
	errFormat = errors.New("the message is not PackStream")
	errStruct = fmt.Errorf("%w: it is no structure", errFormat)
	errNoop   = errors.New("an empty chunk came between messages")
	errLogin  = errors.New("too much was sent before the login")
)

// requests reads messages from a connection in pieces, so that one of any size takes little memory: of values beyond
// keepBytes it only remembers how long they were.
type requests struct {
	source  *bufio.Reader
	noNoops bool         // an empty chunk between messages ends the connection, as it does before 5.0
	chunk   int          // bytes left in the present chunk
	ended   bool         // the present message has ended
	limit   atomic.Int64 // bytes that a message may have; 0 any; lifted by the worker at the login
	seen    int64        // of the present message
	kept    int          // bytes of values kept of it
}

const (
	keepBytes  = 256 << 10
	keepValue  = 64 << 10 // a longer string or byte array is cut here
	maxNesting = 100
)

// next reads one message. An error is the connection's end.
func (r *requests) next() (message, error) {
	r.ended, r.seen, r.kept = false, 0, 0
	for r.chunk == 0 { // between messages an empty chunk is a NOOP
		if err := r.header(); err != nil {
			return message{}, err
		}
		if r.chunk == 0 && r.noNoops {
			return message{}, errNoop
		}
	}
	m, err := r.message()
	if err == nil || errors.Is(err, errFormat) {
		m.fault = err
		err = r.finish(&m)
	}
	return m, err
}

func (r *requests) header() error {
	var size [2]byte
	if _, err := io.ReadFull(r.source, size[:]); err != nil {
		return err
	}
	r.chunk = int(binary.BigEndian.Uint16(size[:]))
	return nil
}

// finish reads over what the structure left of the message.
func (r *requests) finish(m *message) error {
	for !r.ended {
		if r.chunk > 0 {
			if m.fault == nil {
				m.fault = fmt.Errorf("%w: %d bytes follow its fields", errFormat, r.chunk)
			}
			n, err := r.source.Discard(r.chunk)
			r.chunk -= n
			if err != nil {
				return err
			}
		}
		if err := r.header(); err != nil {
			return err
		}
		r.ended = r.chunk == 0
	}
	return nil
}

// Read hands out the bytes of the present message.
func (r *requests) Read(b []byte) (int, error) {
	for r.chunk == 0 {
		if r.ended {
			return 0, fmt.Errorf("%w: it ends inside a value", errFormat)
		}
		if err := r.header(); err != nil {
			return 0, err
		}
		if r.chunk == 0 {
			r.ended = true
		}
	}
	limit := r.limit.Load()
	if r.seen += int64(min(len(b), r.chunk)); limit > 0 && r.seen > limit {
		return 0, errLogin
	}
	n, err := r.source.Read(b[:min(len(b), r.chunk)])
	r.chunk -= n
	return n, err
}

func (r *requests) take(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	if errors.Is(err, errFormat) {
		err = fmt.Errorf("%w: it ends inside a value", errFormat)
	}
	return b, err
}

func (r *requests) message() (message, error) {
	head, err := r.take(2)
	if err != nil {
		return message{}, err
	}
	m := message{tag: head[1]}
	if head[0]&0xF0 != 0xB0 {
		return m, errStruct
	}
	for range head[0] & 0x0F {
		v, err := r.value(0)
		if err != nil {
			return m, err
		}
		m.fields = append(m.fields, v)
	}
	return m, nil
}

// value reads one value (PackStream specification, "Markers").
func (r *requests) value(depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: nested too deep", errFormat)
	}
	b, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch m := b[0]; {
	case m <= 0x7F || m >= 0xF0:
		return int64(int8(m)), nil
	case m <= 0x8F:
		return r.text(int64(m & 0x0F))
	case m <= 0x9F:
		return r.list(int64(m&0x0F), depth)
	case m <= 0xAF:
		return r.pairs(int64(m&0x0F), depth)
	case m <= 0xBF:
		return r.structure(int(m&0x0F), depth)
	default:
		return r.marked(m, depth)
	}
}

func (r *requests) marked(m byte, depth int) (any, error) {
	switch {
	case m == 0xC0:
		return nil, nil
	case m == 0xC2 || m == 0xC3:
		return m == 0xC3, nil
	case m == 0xC1:
		n, err := r.number(8)
		return math.Float64frombits(uint64(n)), err
	case m >= 0xC8 && m <= 0xCB:
		width := 1 << (m - 0xC8)
		n, err := r.number(width)
		return n << (64 - 8*width) >> (64 - 8*width), err
	}
	groups := [...]struct {
		first byte
		read  func(n int64) (any, error)
	}{
		{0xCC, func(n int64) (any, error) { return r.bytes(n) }},
		{0xD0, func(n int64) (any, error) { return r.text(n) }},
		{0xD4, func(n int64) (any, error) { return r.list(n, depth) }},
		{0xD8, func(n int64) (any, error) { return r.pairs(n, depth) }},
	}
	for _, g := range groups {
		if m >= g.first && m < g.first+3 {
			n, err := r.number(1 << (m - g.first))
			if err != nil {
				return nil, err
			}
			return g.read(n)
		}
	}
	if m == 0xE0 {
		return r.bytes(16)
	}
	return nil, fmt.Errorf("%w: marker %02x", errFormat, m)
}

func (r *requests) number(width int) (int64, error) {
	b, err := r.take(width)
	var n int64
	for _, x := range b {
		n = n<<8 | int64(x)
	}
	return n, err
}

func (r *requests) text(n int64) (string, error) {
	b, err := r.bytes(n)
	return string(b), err
}

// bytes reads n bytes and keeps the first of them, as far as the message's budget goes.
func (r *requests) bytes(n int64) ([]byte, error) {
	keep := min(n, keepValue, int64(max(keepBytes-r.kept, 0)))
	r.kept += int(keep)
	b, err := r.take(int(keep))
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(io.Discard, r, n-keep)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (r *requests) list(n int64, depth int) ([]any, error) {
	list := []any{}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if r.kept += 16; r.kept < keepBytes {
			list = append(list, v)
		}
	}
	return list, nil
}

func (r *requests) pairs(n int64, depth int) (map[string]any, error) {
	pairs := make(map[string]any)
	for range n {
		key, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%w: a map's key is no string", errFormat)
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if r.kept += 32; r.kept < keepBytes {
			pairs[name] = v
		}
	}
	return pairs, nil
}

func (r *requests) structure(n, depth int) (any, error) {
	tag, err := r.take(1)
	if err != nil {
		return nil, err
	}
	s := packstream.Structure{Tag: tag[0]}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		s.Fields = append(s.Fields, v)
	}
	return s, nil
}
