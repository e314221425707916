package cypher

import (
	"bytes"
	"unicode/utf8"
	"unsafe"
)

// This file owns the normal form of a text: what texts have in common that differ only in literals, white space and comments. Statistics are
// kept, and operators shown texts, in this form, so that it must never hold a literal: those carry data and passwords.

// AppendNormal appends the normal form of query to dst: each literal becomes ?, a list of literals [?], white space and comments one
// space, or nothing at the ends. A text in which a \u escape may open or end a literal is cut there, for versions differ on what follows; what is cut
// ends with …, as does a text that ends in the middle of a literal, name or comment. It is never longer than query by more than that. It
// reads the text once and allocates only to grow dst.
func AppendNormal(dst, query []byte) []byte {
	end := readableEnd(query)
	text := query[:end]
	n := normaliser{dst: dst, from: len(dst), text: text, open: end < len(query)}
	n.lexer = lexer{text: stringOf(text), pos: atKeyword}
	n.run()
	return n.dst
}

// normaliser is one pass over one text.
type normaliser struct {
	dst  []byte
	from int // of dst: where the normal form begins
	text []byte
	gap  bool // white space or a comment stands before what comes next
	open bool // the text goes on behind what can be read

	lexer lexer // over text: it knows where words and numbers end
}

func (n *normaliser) run() {
	for i := 0; i < len(n.text); {
		c := n.text[i]
		switch classes[c] {
		case classLetter:
			j := i + 1
			for j < len(n.text) && parts[n.text[j]] {
				j++
			}
			if j < len(n.text) && n.text[j] >= utf8.RuneSelf {
				j = n.lexer.identEnd(j)
			}
			i = n.copy(i, j)
		case classHigh:
			i = n.high(i)
		case classBlank:
			n.gap = true
			i++
		case classDigit:
			i = n.number(i)
		case classQuote:
			i = n.str(i, c)
		case classTick:
			i = n.tick(i)
		case classSlash:
			i = n.slash(i)
		default:
			i = n.sign(i, c)
		}
	}
	n.finish()
}

// finish drops what says nothing at the end, and marks a text that is not all there.
func (n *normaliser) finish() {
	for len(n.dst) > n.from && (n.dst[len(n.dst)-1] == ';' || n.dst[len(n.dst)-1] == ' ') {
		n.dst = n.dst[:len(n.dst)-1]
	}
	if n.open {
		n.dst = append(n.dst, "…"...)
	}
}

// space separates what comes next from what stands there.
func (n *normaliser) space() {
	if n.gap && len(n.dst) > n.from {
		n.dst = append(n.dst, ' ')
	}
	n.gap = false
}

// copy takes text[i:j] as it is.
func (n *normaliser) copy(i, j int) int {
	n.space()
	n.dst = append(n.dst, n.text[i:j]...)
	return j
}

// high takes a character outside ASCII, with the name that it may begin, as it is, but for white space.
func (n *normaliser) high(i int) int {
	r, size := utf8.DecodeRune(n.text[i:])
	if isBlank(r) {
		n.gap = true
		return i + size
	}
	return n.copy(i, n.lexer.identEnd(i+size))
}

// sign takes a character of punctuation. The digits of $1 are a name.
func (n *normaliser) sign(i int, c byte) int {
	j := i + 1
	if c == '$' {
		for j < len(n.text) && parts[n.text[j]] {
			j++
		}
	}
	return n.copy(i, j)
}

func (n *normaliser) number(i int) int {
	j := n.lexer.number(i)
	n.literal()
	return j
}

// str takes a string literal, in which a backslash escapes any character.
func (n *normaliser) str(i int, quote byte) int {
	n.literal()
	for j := i + 1; j < len(n.text); j++ {
		switch n.text[j] {
		case quote:
			return j + 1
		case '\\':
			j++
		}
	}
	n.open = true
	return len(n.text)
}

func (n *normaliser) tick(i int) int {
	j := tickEnd(n.lexer.text, i)
	if j < 0 {
		n.open = true
		return n.copy(i, len(n.text))
	}
	return n.copy(i, j)
}

// slash takes a comment, or a division.
func (n *normaliser) slash(i int) int {
	j := skipComment(n.lexer.text, i)
	switch {
	case j < 0:
		n.open = true
		return len(n.text)
	case j == i:
		return n.copy(i, i+1)
	}
	n.gap = true
	return j
}

// literal puts ? for a literal, with its sign. One that follows another in a list adds nothing: lists of any length are alike.
func (n *normaliser) literal() {
	n.unsign()
	if head, ok := n.before(",", "?", "["); ok {
		n.dst, n.gap = n.dst[:head], false
		return
	}
	n.space()
	n.dst = append(n.dst, '?')
}

// unsign drops a minus that belongs to the literal behind it: one in whose front an operand cannot end.
func (n *normaliser) unsign() {
	b := n.dst[n.from:]
	if len(b) == 0 || b[len(b)-1] != '-' {
		return
	}
	left := bytes.TrimRight(b[:len(b)-1], " ")
	if len(left) > 0 && bytes.IndexByte([]byte("[(,=:<>+*/%^{"), left[len(left)-1]) >= 0 {
		n.gap = len(left) < len(b)-1
		n.dst = n.dst[:n.from+len(left)]
	}
}

// before tells whether the normal form ends with these tokens, the last first, spaces between them or not; head is the length up to the end of
// the second, which stays.
func (n *normaliser) before(last, second, third string) (head int, ok bool) {
	b := bytes.TrimRight(n.dst[n.from:], " ")
	if b, ok = bytes.CutSuffix(b, []byte(last)); !ok {
		return 0, false
	}
	b = bytes.TrimRight(b, " ")
	head = n.from + len(b)
	if b, ok = bytes.CutSuffix(b, []byte(second)); !ok {
		return 0, false
	}
	return head, bytes.HasSuffix(bytes.TrimRight(b, " "), []byte(third))
}

// readableEnd is how much of a text reads the same to all versions: up to a \u escape of something that can open or end a literal, a name or
// a comment. Some decode it before they read the text, some within strings, some not behind another backslash.
func readableEnd(query []byte) int {
	for from := 0; ; {
		n := bytes.Index(query[from:], []byte(`\u`))
		if n < 0 {
			return len(query)
		}
		from += n
		r, next, ok := decodeUnit(stringOf(query), from)
		if ok && r < 0x80 && !parts[r] {
			return from
		}
		if from += 2; ok {
			from = next
		}
	}
}

// stringOf is b as a string, without a copy; for as long as b does not change.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
