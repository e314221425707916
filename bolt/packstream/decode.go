// Package packstream reads and writes PackStream, the value encoding of Bolt (PackStream specification, version 1).
//
// A Decoder works on bytes in memory and borrows from them; nothing a peer claims sizes an allocation. Encoding is by
// Append functions onto a caller's slice, so that a message is built without intermediate values.
package packstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Markers of the fixed-size types (PackStream specification, "Markers").
const (
	markerNull    byte = 0xC0
	markerFloat64 byte = 0xC1
	markerFalse   byte = 0xC2
	markerTrue    byte = 0xC3
	markerInt8    byte = 0xC8
	markerInt16   byte = 0xC9
	markerInt32   byte = 0xCA
	markerInt64   byte = 0xCB
	markerBytes8  byte = 0xCC
	markerBytes16 byte = 0xCD
	markerBytes32 byte = 0xCE
	markerStr8    byte = 0xD0
	markerStr16   byte = 0xD1
	markerStr32   byte = 0xD2
	markerList8   byte = 0xD4
	markerList16  byte = 0xD5
	markerList32  byte = 0xD6
	markerMap8    byte = 0xD8
	markerMap16   byte = 0xD9
	markerMap32   byte = 0xDA
	markerStruct8 byte = 0xDC
	markerStruct  byte = 0xDD
	markerUUID    byte = 0xE0
)

// ErrShort says that the bytes end inside a value, or claim more entries than bytes remain.
var ErrShort = errors.New("packstream: value is cut short")

// ErrMarker says that a byte stands where no marker of the specification fits.
var ErrMarker = errors.New("packstream: unexpected marker")

// maxDepth bounds the nesting that Value decodes; Skip has no limit, for it needs no stack.
const maxDepth = 64

// Kind is the type of the next value.
type Kind uint8

// The kinds of values. KindNone is what a Decoder at its end, or with an error, reports.
const (
	KindNone Kind = iota
	KindNull
	KindBool
	KindInt
	KindFloat
	KindBytes
	KindString
	KindList
	KindMap
	KindStruct
	KindOther
)

// Decoder reads values from a byte slice. Its first error sticks: every later call returns zero values. The zero
// Decoder is at the end of an empty input.
type Decoder struct {
	rest []byte
	size int
	err  error
}

// NewDecoder returns a Decoder over b, which it borrows.
func NewDecoder(b []byte) Decoder { return Decoder{rest: b, size: len(b)} }

// Err is the first error met, or nil.
func (d *Decoder) Err() error { return d.err }

// Offset is how many bytes have been read.
func (d *Decoder) Offset() int { return d.size - len(d.rest) }

// Len is how many bytes remain.
func (d *Decoder) Len() int { return len(d.rest) }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%w at byte %d", err, d.Offset())
	}
	d.rest = nil
}

func (d *Decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail(ErrShort)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *Decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uint reads a big-endian length of n bytes.
func (d *Decoder) uint(n int) int {
	b := d.take(n)
	if b == nil {
		return 0
	}
	v := 0
	for _, c := range b {
		v = v<<8 | int(c)
	}
	return v
}

// count checks n claimed entries, each at least one byte. A negative n is a length that an int of 32 bits cannot hold.
func (d *Decoder) count(n int) int {
	if d.err == nil && (n < 0 || n > len(d.rest)) {
		d.fail(ErrShort)
	}
	if d.err != nil {
		return 0
	}
	return n
}

// Kind tells what stands next without reading it.
func (d *Decoder) Kind() Kind {
	if len(d.rest) == 0 {
		return KindNone
	}
	return kindOf(d.rest[0])
}

func kindOf(m byte) Kind {
	switch {
	case m <= 0x7F || m >= 0xF0 || m >= markerInt8 && m <= markerInt64:
		return KindInt
	case m <= 0x8F || m >= markerStr8 && m <= markerStr32:
		return KindString
	case m <= 0x9F || m >= markerList8 && m <= markerList32:
		return KindList
	case m <= 0xAF || m >= markerMap8 && m <= markerMap32:
		return KindMap
	case m <= 0xBF || m == markerStruct8 || m == markerStruct:
		return KindStruct
	case m == markerNull:
		return KindNull
	case m == markerFalse || m == markerTrue:
		return KindBool
	case m == markerFloat64:
		return KindFloat
	case m >= markerBytes8 && m <= markerBytes32:
		return KindBytes
	}
	return KindOther
}

// header reads the marker and length of a sized type whose tiny form starts at tiny and whose long forms follow long8.
func (d *Decoder) header(tiny, long8 byte) int {
	m := d.byte()
	switch {
	case d.err != nil:
		return 0
	case m&0xF0 == tiny:
		return int(m & 0x0F)
	case m == long8:
		return d.uint(1)
	case m == long8+1:
		return d.uint(2)
	case m == long8+2:
		return d.uint(4)
	}
	d.fail(ErrMarker)
	return 0
}

// String reads a string; the bytes are borrowed from the input. It does not check that they are UTF-8.
func (d *Decoder) String() []byte { return d.take(d.header(0x80, markerStr8)) }

// List reads a list's header and returns how many values follow.
func (d *Decoder) List() int { return d.count(d.header(0x90, markerList8)) }

// Map reads a map's header and returns how many pairs of key and value follow.
func (d *Decoder) Map() int { return d.count(d.header(0xA0, markerMap8)) }

// Struct reads a structure's header and returns its tag and how many fields follow.
func (d *Decoder) Struct() (tag byte, fields int) {
	m := d.byte()
	switch {
	case d.err != nil:
		return 0, 0
	case m&0xF0 == 0xB0:
		fields = int(m & 0x0F)
	case m == markerStruct8:
		fields = d.uint(1)
	case m == markerStruct:
		fields = d.uint(2)
	default:
		d.fail(ErrMarker)
		return 0, 0
	}
	tag = d.byte()
	return tag, d.count(fields)
}

// Int reads an integer of any width.
func (d *Decoder) Int() int64 {
	m := d.byte()
	switch {
	case d.err != nil:
		return 0
	case m <= 0x7F || m >= 0xF0:
		return int64(int8(m))
	case m == markerInt8:
		return int64(int8(d.byte()))
	case m == markerInt16:
		return int64(int16(d.uint(2)))
	case m == markerInt32:
		return int64(int32(d.uint(4)))
	case m == markerInt64:
		if b := d.take(8); b != nil {
			return int64(binary.BigEndian.Uint64(b))
		}
		return 0
	}
	d.fail(ErrMarker)
	return 0
}

// Bool reads a boolean.
func (d *Decoder) Bool() bool {
	switch d.byte() {
	case markerTrue:
		return true
	case markerFalse:
		return false
	}
	d.fail(ErrMarker)
	return false
}

// Skip reads over one value and everything in it. It needs no stack, so any depth is fine.
func (d *Decoder) Skip() {
	for todo := 1; todo > 0 && d.err == nil; todo-- {
		todo += d.skipHead()
		if todo > len(d.rest)+1 { // each value still to come takes at least a byte
			d.fail(ErrShort)
		}
	}
}

// skipHead reads over one marker and its own bytes, and returns how many values nested in it follow.
func (d *Decoder) skipHead() int {
	switch d.Kind() {
	case KindNone:
		d.fail(ErrShort)
	case KindNull, KindBool:
		d.take(1)
	case KindInt:
		d.Int()
	case KindFloat:
		d.take(9)
	case KindString:
		d.String()
	case KindBytes:
		d.Bytes()
	case KindList:
		return d.List()
	case KindMap:
		return 2 * d.Map()
	case KindStruct:
		_, n := d.Struct()
		return n
	default:
		d.other()
	}
	return 0
}

// other reads over the types that only newer versions know: so far a UUID of 16 bytes (Bolt 6.1).
func (d *Decoder) other() []byte {
	if d.byte() == markerUUID {
		return d.take(16)
	}
	d.fail(ErrMarker)
	return nil
}

// Bytes reads a byte array; the bytes are borrowed from the input.
func (d *Decoder) Bytes() []byte {
	switch m := d.byte(); m {
	case markerBytes8, markerBytes16, markerBytes32:
		return d.take(d.uint(1 << (m - markerBytes8)))
	}
	d.fail(ErrMarker)
	return nil
}

// Raw reads over one value and returns its encoded bytes, borrowed from the input.
func (d *Decoder) Raw() []byte {
	start := d.rest
	d.Skip()
	if d.err != nil {
		return nil
	}
	return start[:len(start)-len(d.rest)]
}

// Structure is a structure that Value met: a node, a date, anything with a tag.
type Structure struct {
	Tag    byte
	Fields []any
}

// Value decodes one value into nil, bool, int64, float64, string, []byte, []any, map[string]any or Structure, copying
// what it keeps. For control answers; the data path never calls it. A repeated map key: the last one wins.
func (d *Decoder) Value() any { return d.value(0) }

func (d *Decoder) value(depth int) any {
	if depth > maxDepth {
		d.fail(errors.New("packstream: nested too deep"))
		return nil
	}
	switch d.Kind() {
	case KindNull:
		d.take(1)
		return nil
	case KindBool:
		return d.Bool()
	case KindInt:
		return d.Int()
	case KindFloat:
		if b := d.take(9); b != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
		}
		return nil
	case KindString:
		return string(d.String())
	case KindBytes:
		return append([]byte(nil), d.Bytes()...)
	case KindList:
		return d.values(d.List(), depth)
	case KindMap:
		return d.mapValue(d.Map(), depth)
	case KindStruct:
		tag, n := d.Struct()
		return Structure{Tag: tag, Fields: d.values(n, depth)}
	case KindOther:
		return append([]byte(nil), d.other()...)
	}
	d.fail(ErrShort)
	return nil
}

func (d *Decoder) values(n, depth int) []any {
	list := make([]any, 0, min(n, 64))
	for range n {
		if d.err != nil {
			return nil
		}
		list = append(list, d.value(depth+1))
	}
	return list
}

func (d *Decoder) mapValue(n, depth int) map[string]any {
	m := make(map[string]any, min(n, 16))
	for range n {
		key := string(d.String())
		v := d.value(depth + 1)
		if d.err != nil {
			return nil
		}
		m[key] = v
	}
	return m
}
