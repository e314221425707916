package cypher

import "unicode/utf8"

// This file owns what needs a look at the tokens behind a keyword: options before a statement, CALL, SHOW, admin commands, and
// whether a word that spells a clause can be one.

// classes and parts sort the bytes.
type class uint8

const (
	classSymbol class = iota
	classBlank
	classPlain // punctuation that always leaves the same to follow: after
	classLetter
	classDigit
	classQuote
	classTick
	classSlash
	classHigh
)

var classes, parts = buildClasses()

// after is what plain punctuation leaves to follow. A > may end an operand, as in x IS :: LIST<INTEGER> SET …
var after = [256]position{
	'(': atOperand, '[': atOperand, ',': atOperand, ':': atOperand, '=': atOperand, '<': atOperand, '^': atOperand,
	'|': atOperand, '&': atOperand, '-': atOperand,
	')': atKeyword, ']': atKeyword, '}': atKeyword,
	'>': atEither,
}

func buildClasses() (classes [256]class, parts [256]bool) {
	for c := range 256 {
		b := byte(c)
		switch {
		case b == ' ', '\t' <= b && b <= '\r', 0x1C <= b && b <= 0x1F:
			classes[b] = classBlank
		case 'a' <= b|0x20 && b|0x20 <= 'z', b == '_':
			classes[b], parts[b] = classLetter, true
		case isDigit(b):
			classes[b], parts[b] = classDigit, true
		case b == '\'', b == '"':
			classes[b] = classQuote
		case b == '`':
			classes[b] = classTick
		case b == '/':
			classes[b] = classSlash
		case after[b] != atStart:
			classes[b] = classPlain
		case b >= utf8.RuneSelf:
			classes[b] = classHigh
		}
	}
	parts['$'] = true
	return classes, parts
}

// skipBlank returns the offset of the next token from i on. A comment that does not end is left for the scan to find.
func (l *lexer) skipBlank(i int) int {
	s := l.text
	for i < len(s) {
		switch classes[s[i]] {
		case classBlank:
			i++
			continue
		case classSlash:
			if j := skipComment(s, i); j > i {
				i = j
				continue
			}
		case classHigh:
			if r, n := utf8.DecodeRuneInString(s[i:]); isBlank(r) {
				i += n
				continue
			}
		}
		break
	}
	return i
}

// peekWord returns the bounds of the next token if it is a word without back-ticks, else an empty range.
func (l *lexer) peekWord(i int) (start, end int) {
	i = l.skipBlank(i)
	if i < len(l.text) && (classes[l.text[i]] == classLetter) {
		return i, l.identEnd(i + 1)
	}
	return i, i
}

// peekByte returns the first byte of the next token, or 0 at the end.
func (l *lexer) peekByte(i int) byte {
	if i = l.skipBlank(i); i < len(l.text) {
		return l.text[i]
	}
	return 0
}

// endsOperand says that the token at i can follow a name but no word that begins a clause, for none of those begins an
// expression or a pattern.
func (l *lexer) endsOperand(i int) bool {
	i = l.skipBlank(i)
	if i == len(l.text) {
		return true
	}
	switch l.text[i] {
	case '.', ',', ')', ']', '}', ':', '=', '<', '>', '|', '&', '^', ';', '*', '%':
		return true
	}
	return false
}

// commits says whether PERIODIC or CONCURRENT before i is followed by what makes it one.
func (l *lexer) commits(i int) bool {
	i, j := l.peekWord(i)
	s := l.text[i:j]
	return foldEqual(s, "commit") || foldEqual(s, "transactions") || foldEqual(s, "transaction")
}

// isEntry says that the word before i, first behind a {, is a key, a projected variable, an old parameter or a path variable.
func (l *lexer) isEntry(i int) bool {
	switch l.peekByte(i) {
	case ':', ',', '}', '=', '.':
		return true
	}
	return false
}

// begin handles the first word of a statement: options, and words that begin none. done says that the word is dealt with, and k
// where to go on.
func (l *lexer) begin(w *word, i, j int) (done bool, k int) {
	if w.kind < write && !w.begins {
		l.fail(reasonNoClause, i, j)
	}
	if w.kind != option {
		l.starts(i)
		return false, j
	}
	switch w.text {
	case "explain":
		if !l.profile {
			l.explain = true
			l.note(reasonExplain, i, j)
		}
	case "profile":
		l.profile, l.explain = true, false
	case "cypher":
		j = l.options(j)
	default: // PLANNER COST, RUNTIME INTERPRETED of 2.x
		_, j = l.peekWord(j)
	}
	return true, j
}

// options skips the version and the key=value pairs behind CYPHER.
func (l *lexer) options(i int) int {
	if k := l.skipBlank(i); k < len(l.text) && isDigit(l.text[k]) {
		for i = k; i < len(l.text) && (parts[l.text[i]] || l.text[i] == '.'); i++ {
		}
	}
	for {
		start, end := l.peekWord(i)
		if start == end {
			return i
		}
		k := l.skipBlank(end)
		if k == len(l.text) || l.text[k] != '=' {
			return i
		}
		k = l.skipBlank(k + 1)
		for i = k; i < len(l.text) && (parts[l.text[i]] || l.text[i] == '.'); i++ {
		}
		if i == k {
			return i
		}
	}
}

// isDatabase says whether the next word is DATABASE and no variable of that name.
func (l *lexer) isDatabase(i int) bool {
	i, j := l.peekWord(i)
	return foldEqual(l.text[i:j], "database") && l.peekByte(j) != '='
}

// adminObject notes what CREATE, ALTER, DROP or RENAME is about, when it is not about nodes or a schema.
func (l *lexer) adminObject(i int) {
	for range 3 { // OR REPLACE, IMMUTABLE, CURRENT, COMPOSITE, REPLICA stand before the object
		start, end := l.peekWord(i)
		switch s := l.text[start:end]; {
		case l.peekByte(end) == '=': // a path variable
			return
		case foldEqual(s, "user"), foldEqual(s, "users"), foldEqual(s, "role"), foldEqual(s, "auth"):
			l.v.System = true
			l.v.UserCommand = l.v.UserCommand || !l.explain
			return
		case foldEqual(s, "database"), foldEqual(s, "alias"), foldEqual(s, "server"):
			l.v.System = true
			return
		case foldEqual(s, "or"), foldEqual(s, "replace"), foldEqual(s, "immutable"), foldEqual(s, "current"),
			foldEqual(s, "composite"), foldEqual(s, "replica"):
			i = end
		default:
			return
		}
	}
}

// show handles SHOW: no form of it writes, some concern one member and some database system.
func (l *lexer) show(i, j int) {
	l.pos, l.shows = atKeyword, true
	l.note(reasonShow, i, j)
	for range 2 {
		start, end := l.peekWord(j)
		switch s := l.text[start:end]; {
		case foldEqual(s, "all"), foldEqual(s, "current"), foldEqual(s, "default"), foldEqual(s, "home"), foldEqual(s, "populated"),
			foldEqual(s, "supported"):
			j = end
			continue
		case foldEqual(s, "transaction"), foldEqual(s, "transactions"), foldEqual(s, "setting"), foldEqual(s, "settings"):
			l.v.OneMember = true
		case foldEqual(s, "user"):
			from, to := l.peekWord(end)
			l.v.System = l.v.System || !foldEqual(l.text[from:to], "defined")
		case foldEqual(s, "database"), foldEqual(s, "databases"), foldEqual(s, "users"), foldEqual(s, "role"), foldEqual(s, "roles"),
			foldEqual(s, "privilege"), foldEqual(s, "privileges"), foldEqual(s, "alias"), foldEqual(s, "aliases"),
			foldEqual(s, "server"), foldEqual(s, "servers"), foldEqual(s, "auth"):
			l.v.System = true
		}
		return
	}
}

// call handles CALL, of a subquery or of a procedure, and returns where to go on.
func (l *lexer) call(i, j int) int {
	l.pos, l.shows = atKeyword, false
	switch l.peekByte(j) {
	case '{', '(':
		return j
	}
	var buf [maxProcedure]byte
	start, end, name := l.procedureName(j, &buf)
	if len(name) == 0 {
		l.decide("CALL of no readable name", i, j)
		l.v.SelfCommitting = l.v.SelfCommitting || !l.explain
		return j
	}
	p, known := l.procs.find(name)
	l.last = 'a'
	l.v.OneMember = l.v.OneMember || p.oneMember
	l.v.System = l.v.System || p.system
	if !l.explain {
		l.v.UserCommand = l.v.UserCommand || p.users
		l.v.SelfCommitting = l.v.SelfCommitting || p.commits || !known
	}
	switch {
	case !known:
		l.decide("procedure outside the table", start, end)
	case p.access == Write:
		l.decide(p.reason, start, end)
	default:
		l.note(p.reason, start, end)
	}
	return end
}

// maxProcedure is the length that a procedure's name may have to be known.
const maxProcedure = 128

// procedureName reads the dotted name from i on, white space, comments and back-ticks taken out; name is empty when there is none,
// or it is too long for buf to hold.
func (l *lexer) procedureName(i int, buf *[maxProcedure]byte) (start, end int, name []byte) {
	start = l.skipBlank(i)
	name, i = buf[:0], start
	for {
		part, to := l.namePart(i)
		if part == "" || len(name)+len(part)+1 > len(buf) {
			return start, max(to, start), nil
		}
		name = append(name, part...)
		dot := l.skipBlank(to)
		if dot == len(l.text) || l.text[dot] != '.' {
			return start, to, name
		}
		name = append(name, '.')
		i = l.skipBlank(dot + 1)
	}
}

// namePart returns the name at i without its back-ticks, and its end.
func (l *lexer) namePart(i int) (part string, end int) {
	if i >= len(l.text) {
		return "", i
	}
	switch classes[l.text[i]] {
	case classTick:
		end = tickEnd(l.text, i)
		if end < 0 || end < len(l.text) && l.text[end] == '`' {
			return "", i
		}
		return l.text[i+1 : end-1], end
	case classLetter, classHigh:
		end = l.identEnd(i)
		return l.text[i:end], end
	}
	return "", i
}
