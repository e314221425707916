// Package exchange has conversations in Bolt as text: what a raw client sends, and what a server answers. The same scenario is run
// against a real server to record it, against it again to see that it still answers so, and against a stand-in or a gate to hold that to the
// record. A recording looks like this, with values that differ from run to run as <words>:
//
//	== commit
//	C: BEGIN {}
//	S: SUCCESS {}
//	C: RUN "RETURN 1" {} {}
//	C: PULL {n: -1}
//	S: SUCCESS {fields: ["1"], qid: 0, t_first: <ms>}
//	S: RECORD [1]
//	S: SUCCESS {t_last: <ms>, type: "r"}
//
// Requests without an answer between them are sent in one write. Every scenario begins on a connection that is logged on, unless it begins
// with the line "bare". "S: closed" says that the server ended the connection.
//
// This file owns how values are written; script.go owns files of scenarios, scenarios.go their text, run.go the raw client.
package exchange

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// format appends a value as text: maps with their keys sorted, strings quoted, bytes and structures as calls.
func format(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case string:
		b.WriteString(strconv.Quote(v))
	case masked:
		b.WriteString(string(v))
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".eIN") {
			text += ".0"
		}
		b.WriteString(text)
	case []byte:
		b.WriteString("bytes(" + hex.EncodeToString(v) + ")")
	case []any:
		b.WriteByte('[')
		formatList(b, v)
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(key + ": ")
			format(b, v[key])
		}
		b.WriteByte('}')
	case packstream.Structure:
		fmt.Fprintf(b, "struct(%02X", v.Tag)
		for _, field := range v.Fields {
			b.WriteString(", ")
			format(b, field)
		}
		b.WriteByte(')')
	default: // bool, int64
		fmt.Fprint(b, v)
	}
}

func formatList(b *strings.Builder, list []any) {
	for i, v := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		format(b, v)
	}
}

// masked is a value that differs from run to run.
type masked string

// parser reads what format writes, except structures, which no request needs. Its first error sticks.
type parser struct {
	rest string
	err  error
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// accept takes a piece of text if it is next.
func (p *parser) accept(text string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, text)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) fail(what string) {
	if p.err == nil {
		p.err = fmt.Errorf("exchange: %s at %.40q", what, p.rest)
	}
	p.rest = ""
}

func (p *parser) value() any {
	switch {
	case p.accept("["):
		list := []any{}
		for p.err == nil && !p.accept("]") {
			list = append(list, p.value())
			p.accept(",")
		}
		return list
	case p.accept("{"):
		m := map[string]any{}
		for p.err == nil && !p.accept("}") {
			key := p.word()
			if !p.accept(":") {
				p.fail("a key without a colon")
			}
			m[key] = p.value()
			p.accept(",")
		}
		return m
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	}
	return p.atom()
}

// word takes a name: of a key or a request.
func (p *parser) word() string {
	p.space()
	n := strings.IndexAny(p.rest, " :,{}[]\"")
	if n < 0 {
		n = len(p.rest)
	}
	if n == 0 {
		p.fail("no name")
		return ""
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *parser) quoted() string {
	quoted, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		p.fail("a string without its end")
		return ""
	}
	p.rest = p.rest[len(quoted):]
	text, _ := strconv.Unquote(quoted) // QuotedPrefix has checked it
	return text
}

func (p *parser) atom() any {
	switch word := p.word(); word {
	case "null":
		return nil
	case "true", "false":
		return word == "true"
	default:
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(word, 64)
		if err != nil {
			p.fail("no value in " + word)
		}
		return f
	}
}

// values reads what is left as values beside each other.
func (p *parser) values() []any {
	var list []any
	for p.space(); p.rest != "" && p.err == nil; p.space() {
		list = append(list, p.value())
	}
	return list
}
