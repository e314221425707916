package otlp

import (
	"encoding/binary"
	"errors"
	"time"
)

// This file owns the bytes: protobuf's wire format, and the few messages of opentelemetry-proto 1.x that a traces export has
// (collector/trace/v1/trace_service.proto, trace/v1/trace.proto, common/v1/common.proto). The numbers are those of their fields.

// The wire types.
const (
	wireVarint = 0
	wireFixed8 = 1 // eight bytes
	wireBytes  = 2
	wireFixed4 = 5 // four bytes
)

// message appends to a buffer.
type message struct{ b []byte }

func (m *message) tag(field, wire int) {
	m.b = binary.AppendUvarint(m.b, uint64(field)<<3|uint64(wire))
}

func (m *message) varint(field int, n uint64) {
	m.tag(field, wireVarint)
	m.b = binary.AppendUvarint(m.b, n)
}

func (m *message) fixed8(field int, n uint64) {
	m.tag(field, wireFixed8)
	m.b = binary.LittleEndian.AppendUint64(m.b, n)
}

func (m *message) fixed4(field int, n uint32) {
	m.tag(field, wireFixed4)
	m.b = binary.LittleEndian.AppendUint32(m.b, n)
}

func (m *message) bytes(field int, b []byte) {
	m.tag(field, wireBytes)
	m.b = append(binary.AppendUvarint(m.b, uint64(len(b))), b...)
}

// text leaves an empty text out, which is what a reader takes a missing one for.
func (m *message) text(field int, s string) {
	if s != "" {
		m.tag(field, wireBytes)
		m.b = append(binary.AppendUvarint(m.b, uint64(len(s))), s...)
	}
}

// sub appends a message that body writes. Its length stands in front of it, so it is moved when that turns out to need more than a byte.
func (m *message) sub(field int, body func()) {
	m.tag(field, wireBytes)
	at := len(m.b)
	m.b = append(m.b, 0)
	body()
	n := len(m.b) - at - 1
	if n < 0x80 {
		m.b[at] = byte(n)
		return
	}
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(n))
	m.b = append(m.b, length[1:k]...) // room
	copy(m.b[at+k:], m.b[at+1:at+1+n])
	copy(m.b[at:], length[:k])
}

func (m *message) moment(field int, t time.Time) { m.fixed8(field, uint64(t.UnixNano())) }

// attr appends a KeyValue.
func (m *message) attr(field int, a *Attr) {
	m.sub(field, func() {
		m.text(1, a.Key)
		m.sub(2, func() { // AnyValue
			if a.is {
				m.varint(3, uint64(a.number))
			} else {
				m.tag(1, wireBytes) // an empty text is said: without it the value would be none
				m.b = append(binary.AppendUvarint(m.b, uint64(len(a.text))), a.text...)
			}
		})
	})
}

func (m *message) attrs(field int, all []Attr) {
	for i := range all {
		m.attr(field, &all[i])
	}
}

// The schema that attributes are named after, and who makes the spans.
const (
	schemaURL = "https://opentelemetry.io/schemas/1.37.0"
	scopeName = "github.com/boltgate/boltgate/proxy"
)

// appendExport appends an ExportTraceServiceRequest.
func appendExport(b []byte, resource []Attr, version string, spans []Span) []byte {
	m := message{b}
	m.sub(1, func() { // ResourceSpans
		m.sub(1, func() { m.attrs(1, resource) })
		m.sub(2, func() { // ScopeSpans
			m.sub(1, func() {
				m.text(1, scopeName)
				m.text(2, version)
			})
			for i := range spans {
				m.sub(2, func() { m.span(&spans[i]) })
			}
			m.text(3, schemaURL)
		})
		m.text(3, schemaURL)
	})
	return m.b
}

// The bits of a span's flags beside those of its trace context.
const (
	knowsRemote = 1 << 8
	isRemote    = 1 << 9
)

func (m *message) span(s *Span) {
	m.bytes(1, s.Trace[:])
	m.bytes(2, s.ID[:])
	m.text(3, s.State)
	if s.Context.Span != [8]byte{} {
		m.bytes(4, s.Context.Span[:])
	}
	m.text(5, s.Name)
	m.varint(6, uint64(s.Kind))
	m.moment(7, s.Start)
	m.moment(8, s.End)
	m.attrs(9, s.Attrs)
	for i := range s.Events {
		e := &s.Events[i]
		m.sub(11, func() {
			m.moment(1, e.At)
			m.text(2, e.Name)
			m.attrs(3, e.Attrs)
		})
	}
	if s.Unlisted > 0 {
		m.varint(12, uint64(s.Unlisted))
	}
	if s.Failed {
		m.sub(15, func() {
			m.text(2, s.Message)
			m.varint(3, 2) // STATUS_CODE_ERROR
		})
	}
	flags := uint32(s.Flags) | knowsRemote
	if s.Remote {
		flags |= isRemote
	}
	m.fixed4(16, flags)
}

var errAnswer = errors.New("otlp: the collector's answer is no ExportTraceServiceResponse")

// readAnswer reads an ExportTraceServiceResponse: how many spans were rejected, and why.
func readAnswer(b []byte) (rejected int64, why string, err error) {
	err = eachField(b, func(field int, _ uint64, body []byte) error {
		if field != 1 || body == nil {
			return nil
		}
		return eachField(body, func(field int, n uint64, text []byte) error {
			switch {
			case field == 1:
				rejected = int64(n)
			case field == 2 && text != nil:
				why = string(text)
			}
			return nil
		})
	})
	return rejected, why, err
}

// eachField calls f for each field of a message, with its number or its bytes.
func eachField(b []byte, f func(field int, n uint64, body []byte) error) error {
	for len(b) > 0 {
		tag, k := binary.Uvarint(b)
		if k <= 0 {
			return errAnswer
		}
		b = b[k:]
		var n uint64
		var body []byte
		switch tag & 7 {
		case wireVarint:
			if n, k = binary.Uvarint(b); k <= 0 {
				return errAnswer
			}
		case wireFixed8:
			k = 8
		case wireFixed4:
			k = 4
		case wireBytes:
			size, head := binary.Uvarint(b)
			if head <= 0 || size > uint64(len(b)-head) {
				return errAnswer
			}
			k = head + int(size)
			body = b[head:k:k]
		default:
			return errAnswer
		}
		if k > len(b) {
			return errAnswer
		}
		if err := f(int(tag>>3), n, body); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}
