package proxy

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// This file owns the reading of statement bodies: a strict JSON scanner that finds the few strings a decision needs in a
// body that is there whole, and gives up on anything that two parsers could read differently.

const maxJSONDepth = 512

// jsonScan reads one JSON text. Its first fault sticks: bad is set, and nothing that was found counts.
type jsonScan struct {
	b   []byte
	i   int
	bad bool
}

func (s *jsonScan) fail() { s.bad, s.i = true, len(s.b) }

// space skips white space and returns the byte behind it; 0 at the end.
func (s *jsonScan) space() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *jsonScan) expect(c byte) bool {
	if s.space() != c || s.bad {
		s.fail()
		return false
	}
	s.i++
	return true
}

// str reads a string and returns what stands between its quotes, escapes and all.
func (s *jsonScan) str() (raw []byte, escaped bool) {
	if !s.expect('"') {
		return nil, false
	}
	from := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[from : s.i-1], escaped
		case c == '\\':
			escaped = true
			s.i++
			if !s.escape() {
				s.fail()
				return nil, false
			}
		case c < 0x20:
			s.fail()
			return nil, false
		default:
			s.i++
		}
	}
	s.fail()
	return nil, false
}

// escape reads what follows a backslash.
func (s *jsonScan) escape() bool {
	if s.i >= len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		if s.i+5 > len(s.b) {
			return false
		}
		for _, c := range s.b[s.i+1 : s.i+5] {
			if unhex(c) < 0 {
				return false
			}
		}
		s.i += 5
		return true
	}
	return false
}

// members walks an object: each gets every key, and has to read its value. A key with escapes, or one that seen says came
// before, is a fault, for parsers differ on them.
func (s *jsonScan) members(each func(key []byte)) {
	if !s.expect('{') {
		return
	}
	if s.space() == '}' {
		s.i++
		return
	}
	for !s.bad {
		key, escaped := s.str()
		if escaped {
			s.fail()
		}
		if !s.expect(':') {
			return
		}
		each(key)
		switch s.space() {
		case ',':
			s.i++
		case '}':
			s.i++
			return
		default:
			s.fail()
		}
	}
}

// elements walks an array; each has to read its element.
func (s *jsonScan) elements(each func()) {
	if !s.expect('[') {
		return
	}
	if s.space() == ']' {
		s.i++
		return
	}
	for !s.bad {
		each()
		switch s.space() {
		case ',':
			s.i++
		case ']':
			s.i++
			return
		default:
			s.fail()
		}
	}
}

// skip reads over any value.
func (s *jsonScan) skip() {
	var closers [maxJSONDepth]byte
	depth := 0
	for !s.bad {
		c := s.space()
		switch {
		case c == '{' || c == '[':
			if depth == maxJSONDepth {
				s.fail()
				return
			}
			closers[depth] = c + 2 // '}' and ']'
			depth++
			s.i++
			if s.space() == closers[depth-1] {
				break // closed below
			}
			if c == '{' && !s.key() {
				return
			}
			continue
		case c == '"':
			s.str()
		default:
			s.scalar()
		}
		if s.afterValue(&closers, &depth) {
			return
		}
	}
}

// afterValue closes what ends behind a value and steps over the comma to the next; true when all is closed.
func (s *jsonScan) afterValue(closers *[maxJSONDepth]byte, depth *int) bool {
	for *depth > 0 && !s.bad {
		c := s.space()
		if c == ',' {
			s.i++
			if closers[*depth-1] == '}' {
				s.key()
			}
			return false
		}
		if c != closers[*depth-1] {
			s.fail()
			return true
		}
		s.i++
		*depth--
	}
	return true
}

func (s *jsonScan) key() bool {
	s.str()
	return s.expect(':')
}

// scalar reads a number, true, false or null.
func (s *jsonScan) scalar() {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
			s.i += len(word)
			return
		}
	}
	if s.take("-"); !s.take("0") && s.digits() == 0 {
		s.fail()
	}
	if s.take(".") && s.digits() == 0 {
		s.fail()
	}
	if s.take("eE") {
		if s.take("+-"); s.digits() == 0 {
			s.fail()
		}
	}
}

// take steps over one byte that is in set.
func (s *jsonScan) take(set string) bool {
	if s.i < len(s.b) && strings.IndexByte(set, s.b[s.i]) >= 0 {
		s.i++
		return true
	}
	return false
}

func (s *jsonScan) digits() (n int) {
	for s.take("0123456789") {
		n++
	}
	return n
}

// end tells whether the whole text was read without a fault.
func (s *jsonScan) end() bool { return s.space() == 0 && s.i == len(s.b) && !s.bad }

// appendUnescaped appends the text that a JSON string's raw inside stands for. ok is false for half a surrogate pair.
func appendUnescaped(dst, raw []byte) (out []byte, ok bool) {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...), true
		}
		dst = append(dst, raw[:i]...)
		if c := raw[i+1]; c != 'u' {
			dst = append(dst, plainEscape(c))
			raw = raw[i+2:]
			continue
		}
		r := hex4(raw[i+2:])
		raw = raw[i+6:]
		if r >= 0xDC00 && r < 0xE000 {
			return dst, false
		}
		if r >= 0xD800 && r < 0xDC00 {
			if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
				return dst, false
			}
			low := hex4(raw[2:])
			if low < 0xDC00 || low >= 0xE000 {
				return dst, false
			}
			r = (r-0xD800)<<10 | (low - 0xDC00) + 0x10000
			raw = raw[6:]
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(unhex(c))
	}
	return r
}

// appendQuoted appends s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
