package cypher

import (
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// This file owns the decoding of \uXXXX and the way back from decoded to original offsets.

// unescaped is a text whose \u escapes have been replaced.
type unescaped struct {
	text  string
	bad   bool // an escape without four hexadecimal digits, at badAt
	badAt int
	cuts  []cut // ordered by both fields
}

// cut says that what lies at the offset to of the decoded text, behind an escape, lies at end in the original.
type cut struct{ to, end int }

// offset returns the original offset of a decoded one that does not lie inside a decoded character.
func (u *unescaped) offset(to int) int {
	i := sort.Search(len(u.cuts), func(i int) bool { return u.cuts[i].to > to })
	if i == 0 {
		return to
	}
	c := u.cuts[i-1]
	return c.end + to - c.to
}

// unescape replaces \uXXXX by its character as Neo4j's character streams do: any number of u's may follow the backslash. With
// pairs, a backslash that follows a backslash escapes nothing; without, every \u counts.
func unescape(s string, pairs bool) unescaped {
	var b strings.Builder
	b.Grow(len(s))
	u := unescaped{}
	for i := 0; i < len(s); {
		n := strings.IndexByte(s[i:], '\\')
		if n < 0 || i+n+1 >= len(s) {
			b.WriteString(s[i:])
			break
		}
		b.WriteString(s[i : i+n])
		i += n
		if s[i+1] != 'u' {
			n = 1
			if pairs {
				n = 2 // the character behind it, first byte only: the rest of a longer one follows as plain text
			}
			b.WriteString(s[i : i+n])
			i += n
			continue
		}
		r, next, ok := decodeEscape(s, i)
		if !ok {
			u.bad, u.badAt = true, i
			return u
		}
		b.WriteRune(r)
		i = next
		u.cuts = append(u.cuts, cut{to: b.Len(), end: i})
	}
	u.text = b.String()
	return u
}

// decodeEscape reads the escape at s[i], and the one behind it when both make a surrogate pair. A lone surrogate becomes U+FFFD.
func decodeEscape(s string, i int) (r rune, next int, ok bool) {
	r, next, ok = decodeUnit(s, i)
	if !ok || !utf16.IsSurrogate(r) {
		return r, next, ok
	}
	if strings.HasPrefix(s[next:], `\u`) {
		if low, after, ok := decodeUnit(s, next); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, after, true
			}
		}
	}
	return utf8.RuneError, next, true
}

// decodeUnit reads one \uXXXX, which begins at s[i].
func decodeUnit(s string, i int) (r rune, next int, ok bool) {
	for i++; i < len(s) && s[i] == 'u'; i++ {
	}
	if i+4 > len(s) {
		return 0, 0, false
	}
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, 0, false
		}
	}
	return r, i + 4, true
}
