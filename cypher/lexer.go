package cypher

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file owns the scan: tokens, the position that each of them leaves behind, and the flags of the verdict.
//
// Cypher has hardly a reserved word, so a word alone says nothing: n.set, :CREATE, {delete: 1}, AS merge and a variable called
// remove all occur in reads. What tells is the place. After an operator, an opening bracket, a comma or a word such as RETURN, an
// operand must come, and a word there is a name. After a complete operand only an operator or a keyword can come, so that a
// word there is a keyword, and one that we do not know is a write. Where both are possible (THEN, MATCH, a closing > …) a word
// counts as the keyword it spells, unless what follows it can follow no clause word.

// position is what can stand next.
type position uint8

const (
	atStart   position = iota // the first word of a statement, or an option before it
	atKeyword                 // an operand is complete: an operator or a keyword
	atEither                  // an operand or a keyword
	atOperand                 // an operand
	atName                    // a name: behind a dot or a $
	atBrace                   // behind {, which opens a map, a projection, a quantifier, an old parameter or a subquery
)

// lexer is one scan over one text.
type lexer struct {
	text  string
	procs *Procedures
	pos   position
	last  byte // of the token before: its last byte, 'a' for a word, '0' for a number; 0 at the beginning

	began   bool // a statement has begun
	shows   bool // within the head of SHOW, whose words are many and harmless
	explain bool // EXPLAIN stands before this statement
	profile bool // PROFILE does, which runs it
	bodied  bool // shape.body is set
	shape

	v Verdict
}

// Reasons that several places give.
const (
	reasonReads        = "only clauses that read"
	reasonExplain      = "EXPLAIN does not write"
	reasonShow         = "SHOW reads"
	reasonEmpty        = "no statement"
	reasonNoClause     = "no known clause at the beginning"
	reasonUnknown      = "unknown keyword"
	reasonOpenString   = "unterminated string"
	reasonOpenName     = "unterminated back-tick"
	reasonOpenComment  = "unterminated comment"
	reasonTransactions = "IN TRANSACTIONS"
	reasonCharacter    = "a character that is no part of the language"
)

// shape is what matters of a text for its \u escapes.
type shape struct {
	body  int  // offset of the first token that is no option
	stray bool // a backslash stands outside every literal, name and comment
}

// scan reads text once.
func scan(text string, procs *Procedures) (Verdict, shape) {
	l := lexer{text: text, procs: procs}
	for i := 0; i < len(text); {
		c := text[i]
		switch k := classes[c]; {
		case k == classLetter:
			j := i + 1
			for j < len(text) && parts[text[j]] {
				j++
			}
			if j < len(text) && text[j] >= utf8.RuneSelf {
				j = l.identEnd(j)
			}
			if l.pos == atName || l.pos == atOperand && !words.mayPrefix(c, j-i) {
				l.pos, l.last = atKeyword, 'a'
			} else {
				j = l.word(i, j)
			}
			i = j
		case k == classBlank:
			i++
		case k == classPlain && l.pos != atStart:
			l.pos, l.last = after[c], c
			i++
		default:
			i = l.other(i, c)
		}
	}
	if !l.bodied {
		l.body = len(text)
	}
	return l.finish(), l.shape
}

// other handles the tokens that are neither words nor plain punctuation.
func (l *lexer) other(i int, c byte) int {
	switch classes[c] {
	case classDigit:
		return l.number(i)
	case classQuote:
		return l.str(i, c)
	case classTick:
		return l.tick(i)
	case classSlash:
		return l.slash(i)
	case classHigh:
		return l.high(i)
	}
	l.symbol(i, c)
	return i + 1
}

// finish gives the verdict its reason where no token has decided.
func (l *lexer) finish() Verdict {
	if !l.began {
		l.fail(reasonEmpty, 0, 0)
	}
	if l.v.Reason == "" {
		l.v.Reason = reasonReads
	}
	return l.v
}

// decide records the first write. Under EXPLAIN a statement does not run, so nothing in it decides.
func (l *lexer) decide(reason string, start, end int) {
	if !l.explain {
		l.fail(reason, start, end)
	}
}

// fail is decide for what makes the text unreadable, EXPLAIN or not.
func (l *lexer) fail(reason string, start, end int) {
	if l.v.Access == Read {
		l.v.Access, l.v.Reason, l.v.Start, l.v.End = Write, reason, start, end
	}
}

// open is fail for a token that does not end. It takes the place of earlier reasons: what stands before it may have been misread
// as well.
func (l *lexer) open(reason string, start int) int {
	l.v.Access, l.v.Reason, l.v.Start, l.v.End = Write, reason, start, len(l.text)
	l.starts(start)
	return len(l.text)
}

// note records why a read is one, which any later write replaces.
func (l *lexer) note(reason string, start, end int) {
	if l.v.Reason == "" {
		l.v.Reason, l.v.Start, l.v.End = reason, start, end
	}
}

// ended records a token that is an operand, or its end.
func (l *lexer) ended(last byte, i, j int) {
	if l.pos == atStart {
		l.badStart(i, j)
	}
	l.pos, l.last = atKeyword, last
}

// starts notes that a statement has begun, with the token at i.
func (l *lexer) starts(i int) {
	l.began = true
	if !l.bodied {
		l.bodied, l.body = true, i
	}
}

// badStart calls a statement that begins with text[i:j] unreadable.
func (l *lexer) badStart(i, j int) {
	l.starts(i)
	l.fail(reasonNoClause, i, j)
}

// str reads a string literal, in which a backslash escapes any character.
func (l *lexer) str(i int, quote byte) int {
	for j := i + 1; j < len(l.text); j++ {
		switch l.text[j] {
		case quote:
			l.ended(quote, i, j+1)
			return j + 1
		case '\\':
			j++
		}
	}
	return l.open(reasonOpenString, i)
}

// tick reads a name in back-ticks. A doubled back-tick inside needs no care: it reads as two names side by side.
func (l *lexer) tick(i int) int {
	j := tickEnd(l.text, i)
	if j < 0 {
		return l.open(reasonOpenName, i)
	}
	l.ended('`', i, j)
	return j
}

// tickEnd returns the offset behind the next back-tick after the one at i, or -1.
func tickEnd(s string, i int) int {
	n := strings.IndexByte(s[i+1:], '`')
	if n < 0 {
		return -1
	}
	return i + n + 2
}

// number reads digits with their point, exponent or base. Letters glued to it are left to be read as a word: 1CREATE is one
// token to new servers and two to old ones.
func (l *lexer) number(i int) int {
	s, j := l.text, i
	j = digitsEnd(s, j)
	if j+1 < len(s) && s[j] == '.' && isDigit(s[j+1]) {
		j = digitsEnd(s, j+1)
	}
	if j < len(s) && s[j]|0x20 == 'e' {
		k := j + 1
		if k < len(s) && (s[k] == '-' || s[k] == '+') {
			k++
		}
		if k < len(s) && isDigit(s[k]) {
			j = digitsEnd(s, k)
		}
	} else if j == i+1 && s[i] == '0' && j < len(s) && (s[j]|0x20 == 'x' || s[j]|0x20 == 'o') {
		for j++; j < len(s) && (isHex(s[j]) || s[j] == '_'); j++ {
		}
	}
	l.ended('0', i, j)
	return j
}

func digitsEnd(s string, i int) int {
	for i < len(s) && (isDigit(s[i]) || s[i] == '_') {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// slash reads a comment or a division.
func (l *lexer) slash(i int) int {
	j := skipComment(l.text, i)
	switch {
	case j < 0:
		return l.open(reasonOpenComment, i)
	case j == i:
		l.symbol(i, '/')
		return i + 1
	}
	return j
}

// skipComment returns the offset behind the comment at i, i itself when none begins there, or -1 when it does not end.
func skipComment(s string, i int) int {
	if i+1 >= len(s) || s[i] != '/' {
		return i
	}
	switch s[i+1] {
	case '/': // ends at a line feed or carriage return; nothing else ends it in any version
		for i += 2; i < len(s) && s[i] != '\n' && s[i] != '\r'; i++ {
		}
	case '*':
		n := strings.Index(s[i+2:], "*/")
		if n < 0 {
			return -1
		}
		i += n + 4
	}
	return i
}

// high reads a character outside ASCII that is not inside a word.
func (l *lexer) high(i int) int {
	r, n := utf8.DecodeRuneInString(l.text[i:])
	switch {
	case isBlank(r):
	case isPart(r):
		return l.word(i, l.identEnd(i+n))
	default:
		l.symbol(i, 0)
		if !isSign(r) {
			l.fail(reasonCharacter, i, i+n)
		}
	}
	return i + n
}

// identEnd returns the end of the word whose first character ends at i. A $ inside a word belongs to it, as in Java.
func (l *lexer) identEnd(i int) int {
	s := l.text
	for i < len(s) {
		if parts[s[i]] {
			i++
			continue
		}
		if s[i] < utf8.RuneSelf {
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !isPart(r) {
			break
		}
		i += n
	}
	return i
}

// isPart says whether r, outside ASCII, can be part of a name. It must say no to everything that a server takes for white space;
// beyond that a difference is harmless, for it only ever splits or glues names into what is no keyword.
func isPart(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nd, unicode.Nl, unicode.Mn, unicode.Mc, unicode.Pc, unicode.Sc)
}

// isSign says whether r, outside ASCII, is a dash or an arrow head that patterns may be drawn with. Any other character that is neither white space nor
// part of a name makes a text unreadable: to one server n-AS, with a soft hyphen for the -, is a name and what follows it a clause, where another
// would see n AS and a name.
func isSign(r rune) bool {
	return unicode.In(r, unicode.Pd, unicode.Ps, unicode.Pe, unicode.Sm)
}

// isBlank says whether r, outside ASCII, is white space to every server. U+0085 is not: servers that read Java's names take it for a part of one.
func isBlank(r rune) bool {
	switch {
	case r == 0xA0, r == 0x1680, 0x2000 <= r && r <= 0x200A, r == 0x2028, r == 0x2029, r == 0x202F, r == 0x205F, r == 0x3000:
		return true
	}
	return false
}

// symbol notes what punctuation leaves to follow, where that depends on more than itself. c is 0 for a character outside ASCII.
func (l *lexer) symbol(i int, c byte) {
	if l.pos == atStart && c != ';' {
		l.starts(i)
		if c != '{' {
			l.badStart(i, i+1)
		}
	}
	switch c {
	case '/':
		l.pos = atOperand
	case '.':
		l.pos = atName
		if l.last == '0' { // "1." might be a number to some version
			l.pos = atEither
		}
	case '$':
		l.pos = atEither
		if i+1 < len(l.text) && (parts[l.text[i+1]] || l.text[i+1] >= utf8.RuneSelf || l.text[i+1] == '`') {
			l.pos = atName
		}
	case '{':
		l.pos = atBrace
	case ';':
		l.pos, l.shows, l.explain, l.profile = atStart, false, false, false
	case '+', '*', '%', '!', '?':
		l.pos = l.afterSign(c)
	default:
		l.stray = l.stray || c == '\\'
		if l.pos != atKeyword {
			l.pos = atEither
		}
		if b := l.text[i]; b < ' ' || b == 0x7F {
			l.fail(reasonCharacter, i, i+1) // as with isSign
		}
	}
	l.last = c
}

// afterSign is for the signs that are operators in one place and operands or their ends in another: the quantifiers of
// ((a)-->(b))+ and *, RETURN *, the label %, the type INTEGER!, the n.x? and n.x! of 1.9.
func (l *lexer) afterSign(c byte) position {
	complete := l.pos == atKeyword
	switch c {
	case '!', '?':
		if complete || l.pos == atOperand {
			return l.pos
		}
		return atEither
	case '+':
		if complete && l.last != ')' || l.pos == atOperand {
			return atOperand
		}
		return atEither
	}
	switch { // * and %
	case !complete:
		return atKeyword
	case l.last == ')':
		return atEither
	}
	return atOperand
}

// word handles the word text[i:j] and returns where to go on.
func (l *lexer) word(i, j int) int {
	pos := l.pos
	before := l.last
	l.last = 'a'
	switch pos {
	case atName:
		l.pos = atKeyword
		return j
	case atOperand:
		l.pos = atKeyword
		if words.at(l.text, i, j).prefix {
			l.pos = atEither
		}
		return j
	case atBrace:
		if l.isEntry(j) {
			l.pos = atKeyword
			return j
		}
		pos = atKeyword
	}
	w := words.at(l.text, i, j)
	if pos == atEither {
		if w.kind == unknown || w.kind >= call && l.endsOperand(j) || w.kind == selfward && !l.commits(j) {
			l.pos = atKeyword
			return j
		}
		if w.kind < call {
			return j // an operator here would be out of place, so that it may be a name as well: decide nothing
		}
	}
	if pos == atStart {
		if done, k := l.begin(w, i, j); done {
			return k
		}
	}
	return l.keyword(w, i, j, before)
}

// keyword handles a word that can only be a keyword, or is best taken for one.
func (l *lexer) keyword(w *word, i, j int, before byte) int {
	switch w.kind {
	case unknown, option:
		l.pos = atKeyword
		if !l.shows {
			l.decide(reasonUnknown, i, j)
		}
	case operand:
		l.pos, l.shows = atOperand, l.shows && !w.body
	case either:
		l.pos, l.shows = atEither, l.shows && !w.body
	case keyword:
		l.pos = atKeyword
	case within:
		l.pos = atOperand
		l.within(j, before)
	case next:
		l.pos = atStart
	case starting:
		l.pos = atEither
		if l.isDatabase(j) {
			l.v.System = true
			l.decide("command START DATABASE", i, j)
		}
	case use:
		l.pos, l.v.UsesUse = atOperand, true
	case load:
		l.pos, l.v.OneMember = atKeyword, true
	case call:
		return l.call(i, j)
	case show:
		l.show(i, j)
	default:
		l.writes(w, i, j)
	}
	return j
}

// writes handles the words that write, and what the commands among them concern.
func (l *lexer) writes(w *word, i, j int) {
	l.pos, l.shows = atEither, false
	l.decide(w.reason, i, j)
	switch w.kind {
	case admin:
		l.adminObject(j)
	case account:
		l.v.System = true
		l.v.UserCommand = l.v.UserCommand || !l.explain
	case command:
		l.v.System = true
	case selfward:
		l.v.SelfCommitting = l.v.SelfCommitting || !l.explain
	case killing:
		l.v.OneMember = true
	}
}

// within looks for CALL {…} IN TRANSACTIONS behind an IN; behind a number, the word CONCURRENT gives it away by itself.
func (l *lexer) within(j int, before byte) {
	if before != '}' {
		return
	}
	i, k := l.peekWord(j)
	if s := l.text[i:k]; foldEqual(s, "transactions") || foldEqual(s, "transaction") || foldEqual(s, "concurrent") {
		l.decide(reasonTransactions, i, k)
		l.v.SelfCommitting = l.v.SelfCommitting || !l.explain
	}
}
