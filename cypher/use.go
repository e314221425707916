package cypher

import (
	"strings"
	"unsafe"
)

// This file owns the name behind a leading USE: which database a text sends itself to.

// UsedDatabase returns the name of the database, alias or constituent (composite.alias) that the USE at the beginning of
// query names, as the text spells it and without back-ticks. ok is false when the text does not begin with USE, and when
// only a server can tell the name: graph.byName(…), a parameter, escapes. For texts that [Verdict.UsesUse] says have one.
func UsedDatabase(query []byte) (name string, ok bool) {
	text := unsafe.String(unsafe.SliceData(query), len(query))
	l := lexer{text: text}
	i, found := l.leadingUse()
	if !found {
		return "", false
	}
	if start, end := l.peekWord(i); foldEqual(text[start:end], "graph") { // USE GRAPH name
		if c := l.peekByte(end); c != '.' && c != '(' && !l.endsName(end) {
			i = end
		}
	}
	var parts [4]string
	n := 0
	for {
		part, end := l.namePart(l.skipBlank(i))
		if part == "" || n == len(parts) || end < len(text) && text[end] == '\\' || strings.IndexByte(text[:end], '\\') >= 0 {
			return "", false
		}
		parts[n] = part
		n++
		if l.peekByte(end) != '.' {
			i = end
			break
		}
		i = l.skipBlank(end) + 1
	}
	if l.peekByte(i) == '(' { // graph.byName, graph.byElementId
		return "", false
	}
	return strings.Clone(strings.Join(parts[:n], ".")), true
}

// leadingUse returns the offset behind the USE with which the text begins, options before it skipped.
func (l *lexer) leadingUse() (i int, ok bool) {
	for {
		start, end := l.peekWord(i)
		switch s := l.text[start:end]; {
		case foldEqual(s, "use"):
			return end, true
		case foldEqual(s, "explain"), foldEqual(s, "profile"):
			i = end
		case foldEqual(s, "cypher"):
			i = l.options(end)
		default:
			return 0, false
		}
	}
}

// endsName tells whether the token at i cannot be the name of a graph: then the word before i is that name.
func (l *lexer) endsName(i int) bool {
	start, end := l.peekWord(i)
	if start == end {
		c := l.peekByte(i)
		return c != '`' && c < 0x80
	}
	return words.at(l.text, start, end).kind != unknown
}
