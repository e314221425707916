package main

// This file owns the JSON lines of `boltgate classify`. Lines of a single member "query", which is what most programs write, are read without package
// json, at some ten times its speed; all others by it.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/boltgate/boltgate/cypher"
)

// queryOf returns the query of a line, which was read with err; an empty line has an empty one. scratch is what it returned for the line before.
func queryOf(line, scratch []byte, err error) ([]byte, error) {
	switch {
	case err != nil:
		return scratch, err
	case len(line) == 0:
		return scratch[:0], nil
	case !utf8.Valid(line):
		return scratch, errors.New("not UTF-8")
	}
	if query, ok := plainQuery(line, scratch[:0]); ok {
		return query, nil
	}
	var asked map[string]json.RawMessage // a struct would take "Query" as well
	if err := json.Unmarshal(line, &asked); err != nil {
		return scratch, errors.New(`not a JSON object; expected {"query": "…"}`)
	}
	var query *string
	if err := json.Unmarshal(asked["query"], &query); err != nil || query == nil {
		return scratch, errors.New(`no text at "query"; expected {"query": "…"}`)
	}
	return append(scratch[:0], *query...), nil
}

// plainQuery appends the text of {"query": "…"} to dst. ok is false for every other line, be it JSON or not.
func plainQuery(line, dst []byte) (query []byte, ok bool) {
	for _, token := range []string{"{", `"query"`, ":", `"`} {
		line = bytes.TrimLeft(line, " \t")
		if !bytes.HasPrefix(line, []byte(token)) {
			return dst, false
		}
		line = line[len(token):]
	}
	for {
		end := 0
		for end < len(line) && line[end] >= ' ' && line[end] != '"' && line[end] != '\\' {
			end++
		}
		dst = append(dst, line[:end]...)
		line = line[end:]
		if len(line) > 0 && line[0] == '"' {
			return dst, string(bytes.Trim(line[1:], " \t")) == "}"
		}
		if dst, end = appendEscape(dst, line); end == 0 {
			return dst, false
		}
		line = line[end:]
	}
}

// simpleEscapes are what a backslash and one letter stand for (RFC 8259, section 7).
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendEscape appends the character of the escape at the beginning of s, and returns the length of the escape: 0 for one that it does not read.
func appendEscape(dst, s []byte) ([]byte, int) {
	if len(s) < 2 || s[0] != '\\' {
		return dst, 0
	}
	if c := simpleEscapes[s[1]]; c != 0 {
		return append(dst, c), 2
	}
	if s[1] != 'u' || len(s) < 6 {
		return dst, 0
	}
	r, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	if err != nil || utf16.IsSurrogate(rune(r)) {
		return dst, 0
	}
	return utf8.AppendRune(dst, rune(r)), 6
}

// appendAnswer appends the line that answers a query.
func appendAnswer(dst []byte, v cypher.Verdict) []byte {
	dst = append(dst, `{"access":"`...)
	dst = append(dst, v.Access.String()...)
	dst = append(dst, `","reason":`...)
	dst = appendString(dst, v.Reason)
	dst = append(dst, `,"self_committing":`...)
	return append(strconv.AppendBool(dst, v.SelfCommitting), "}\n"...)
}

// appendProblem appends the line that answers a line which is no question.
func appendProblem(dst []byte, number int, problem error) []byte {
	dst = append(dst, `{"error":`...)
	return append(appendString(dst, fmt.Sprintf("line %d: %v", number, problem)), "}\n"...)
}

// appendString appends s in quotes.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf || s[i] == '"' || s[i] == '\\' {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.Encode(s) //nolint:errcheck // a string always can be
			return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"')
}
