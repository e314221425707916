package otlp

import (
	"encoding/hex"
	"math/rand/v2"
)

// This file owns W3C trace context, version 00 of level 1 and 2 (https://www.w3.org/TR/trace-context-2/): what a client says of the trace
// that its work belongs to.

// Context is what a traceparent says. The zero value is none.
type Context struct {
	Trace [16]byte
	Span  [8]byte // the client's, which is the parent of the gate's
	Flags byte
}

// flagSampled is the only flag that decides something: who made the trace records it.
const flagSampled = 1

// Valid tells whether there is a trace.
func (c *Context) Valid() bool { return c.Trace != [16]byte{} }

// Sampled tells whether the trace is recorded.
func (c *Context) Sampled() bool { return c.Flags&flagSampled != 0 }

// ID is the trace's id in hexadecimal; "" without one.
func (c *Context) ID() string {
	if !c.Valid() {
		return ""
	}
	return hex.EncodeToString(c.Trace[:])
}

const traceparentSize = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// ParseTraceparent reads a traceparent: version, trace, parent and flags. What is malformed is no context, as the specification wants it;
// a later version may have more behind its flags.
func ParseTraceparent(b []byte) (c Context) {
	if len(b) < traceparentSize || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return Context{}
	}
	var version, flags [1]byte
	ok := unhex(version[:], b[:2]) && unhex(c.Trace[:], b[3:35]) && unhex(c.Span[:], b[36:52]) && unhex(flags[:], b[53:55])
	switch {
	case !ok || version[0] == 0xff || c.Trace == [16]byte{} || c.Span == [8]byte{}:
		return Context{}
	case len(b) > traceparentSize && (version[0] == 0 || b[traceparentSize] != '-'):
		return Context{}
	}
	c.Flags = flags[0]
	return c
}

// unhex decodes lower-case hexadecimal, the only one that the specification allows.
func unhex(dst, b []byte) bool {
	for i := range dst {
		hi, lo := digit(b[2*i]), digit(b[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// maxState is how long a tracestate may be that goes on with a span; the specification asks for 512 bytes at least.
const maxState = 512

// State is a tracestate for Span.State: "" for one that is too long or holds what no header may.
func State(b []byte) string {
	if len(b) > maxState {
		return ""
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(b)
}

// NewTrace begins a trace of the gate's own, which is recorded.
func NewTrace() (c Context) {
	for c.Trace == [16]byte{} {
		fill(c.Trace[:8])
		fill(c.Trace[8:])
	}
	c.Flags = flagSampled
	return c
}

// NewSpan is the id of a span.
func NewSpan() (id [8]byte) {
	for id == [8]byte{} {
		fill(id[:])
	}
	return id
}

func fill(b []byte) {
	n := rand.Uint64()
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
}
