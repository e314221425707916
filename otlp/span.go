// Package otlp sends spans to a collector over OTLP/HTTP, in protobuf, beside the work that they tell of: a bounded queue, one goroutine,
// batches. It is a leaf that uses the standard library alone: docs/design/2026-11-22-spans.md says why it is not OpenTelemetry's SDK.
//
// This file owns what a span is; context.go owns what clients say of traces, encode.go the bytes, exporter.go and sender.go the way out.
package otlp

import "time"

// Kind is what a span stands for (SpanKind).
type Kind uint8

// The kinds that the gate has, with their numbers in the protocol.
const (
	Server Kind = 2 // work that a client asked for
	Client Kind = 3 // work that a member is asked for
)

// Span is one piece of work that is over. It is not changed once it was offered.
type Span struct {
	Context          // the trace; Context.Span is the parent, zero for none
	Remote   bool    // the parent is the client's
	ID       [8]byte // see NewSpan
	State    string  // tracestate
	Kind     Kind
	Name     string
	Start    time.Time
	End      time.Time
	Attrs    []Attr
	Events   []Event
	Failed   bool   // its status is an error,
	Message  string // which is this
	Unlisted int    // events for which there was no room
}

// Event is something that happened within a span.
type Event struct {
	At    time.Time
	Name  string
	Attrs []Attr
}

// Attr is an attribute: a text, or a number.
type Attr struct {
	Key    string
	text   string
	number int64
	is     bool // a number
}

// Text is an attribute with a text.
func Text(key, text string) Attr { return Attr{Key: key, text: text} }

// Number is an attribute with a number.
func Number[N int | int64 | uint64](key string, n N) Attr {
	return Attr{Key: key, number: int64(n), is: true}
}
