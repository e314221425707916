package cypher

import "strings"

// This file owns the question whether a text can be run a second time and give the same: it is asked before a transaction is replayed.

// perRun are functions whose value is another one each time, or at each server: random numbers, the clock, and ids that a server hands out.
var perRun = map[string]bool{
	"rand": true, "randomuuid": true, "timestamp": true, "date": true, "datetime": true, "time": true, "localtime": true, "localdatetime": true,
	"id": true, "elementid": true, "file": true, "linenumber": true,
}

// Repeatable tells whether nothing in the text makes a second run differ from the first on equal data: no procedure, no function of a name space
// or of perRun, no file, no command, nothing spelled with escapes, nothing that commits by itself. In doubt it is false.
func Repeatable(query []byte, procs *Procedures) bool {
	v := Classify(query, procs)
	if v.SelfCommitting || v.OneMember || v.System || v.UserCommand || v.UsesUse {
		return false
	}
	t := repeatScan{text: string(query)}
	return t.run()
}

// repeatScan walks a text by its names, over strings and comments.
type repeatScan struct {
	text string
	i    int
}

func (t *repeatScan) run() bool {
	for t.i < len(t.text) {
		switch c := t.text[t.i]; {
		case c == '\\':
			return false
		case c == '\'' || c == '"':
			if !t.quoted(c) {
				return false
			}
		case t.comment():
		case c == '`' || nameByte(c):
			name, ok := t.name()
			if !ok || !t.allowed(name) {
				return false
			}
		default:
			t.i++
		}
	}
	return true
}

// quoted skips a string; false when it does not end.
func (t *repeatScan) quoted(quote byte) bool {
	for t.i++; t.i < len(t.text); t.i++ {
		switch t.text[t.i] {
		case '\\':
			if t.i++; t.i < len(t.text) && t.text[t.i] == 'u' { // decoded before anything else: it may end the string
				return false
			}
		case quote:
			t.i++
			return true
		}
	}
	return false
}

// comment skips one, if one begins here.
func (t *repeatScan) comment() bool {
	rest := t.text[t.i:]
	end := ""
	switch {
	case strings.HasPrefix(rest, "//"):
		end = "\n"
	case strings.HasPrefix(rest, "/*"):
		end = "*/"
	default:
		return false
	}
	if n := strings.Index(rest[2:], end); n >= 0 {
		t.i += 2 + n + len(end)
	} else {
		t.i = len(t.text)
	}
	return true
}

func nameByte(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
}

// name reads a word, or one in back-ticks, with all that is joined to it by dots.
func (t *repeatScan) name() (name string, ok bool) {
	var b strings.Builder
	for t.i < len(t.text) {
		switch c := t.text[t.i]; {
		case c == '`':
			n := strings.IndexByte(t.text[t.i+1:], '`')
			if n < 0 {
				return "", false
			}
			b.WriteString(t.text[t.i+1 : t.i+1+n])
			t.i += n + 2
		case nameByte(c) || c == '.':
			b.WriteByte(c)
			t.i++
		default:
			return strings.ToLower(b.String()), true
		}
	}
	return strings.ToLower(b.String()), true
}

// allowed looks at a name: what follows it makes it a function.
func (t *repeatScan) allowed(name string) bool {
	t.blanks()
	next := byte(0)
	if t.i < len(t.text) {
		next = t.text[t.i]
	}
	switch {
	case name == "call":
		return next == '{' || next == '('
	case name == "load" || name == "show" || name == "terminate":
		return false
	case next == '.': // a dot behind blanks joins as well
		return false
	case next == '(':
		return !perRun[name] && !strings.Contains(name, ".")
	}
	return true
}

// blanks skips blanks and comments.
func (t *repeatScan) blanks() {
	for t.i < len(t.text) {
		switch t.text[t.i] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
			t.i++
		default:
			if !t.comment() {
				return
			}
		}
	}
}
