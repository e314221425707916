// Package cypher tells a read from a write by looking at a query's text.
//
// [Classify] is a lexer, not a parser: it follows a query token by token, knows at each point whether a name or a keyword can
// stand there, and calls a write whatever it does not know. Its only certain answer is "read": every clause in the text is one
// that reads, and every CALL is of a procedure known to read. The package uses the standard library alone and does no I/O.
//
// This file owns the package's interface and the handling of \uXXXX; lexer.go owns the scan, words.go the keywords,
// procedures.go and builtin.go what is known of procedures, explain.go what people are shown.
package cypher

import (
	"strings"
	"unicode/utf8"
)

// Access is what a text needs of the member that runs it.
type Access uint8

// The two kinds of access. Read is the zero value.
const (
	Read Access = iota
	Write
)

// String returns "read" or "write".
func (a Access) String() string {
	if a == Read {
		return "read"
	}
	return "write"
}

// Verdict is what [Classify] found. Everything in it errs on the side that is safe for a balancer: a text that cannot be read
// with certainty is a Write, and a text that might commit by itself is SelfCommitting.
type Verdict struct {
	Access Access

	// Reason says in a few words what decided, such as "clause CREATE" or "procedure db.labels is a read". It never holds
	// text of the query, which may carry secrets.
	Reason string

	// Start and End are the byte offsets in the text of the token that decided; both 0 when no single token did.
	Start, End int

	// SelfCommitting: the text commits outside the transaction it runs in (IN TRANSACTIONS, PERIODIC COMMIT, CALL of a
	// procedure outside the table or of one that opens transactions of its own), so it must not be sent twice.
	SelfCommitting bool

	// OneMember: the answer or effect depends on which member is asked (SHOW and TERMINATE TRANSACTIONS, settings, queries,
	// in-memory graphs, files of the member that LOAD CSV may read).
	OneMember bool

	// System: the command belongs to the database named system.
	System bool

	// UsesUse: a USE clause names another database than the session's.
	UsesUse bool

	// UserCommand: users, passwords, roles or privileges change; a remembered login may be out of date after it.
	UserCommand bool
}

// Classify says whether query reads or writes. procs adds to the built-in table of procedures; nil means the built-in table
// alone. query is only read during the call. It never fails: what it cannot read is a Write.
//
// It reads the text once and allocates nothing, except for a text with \uXXXX escapes, which it reads once for each way in
// which server versions understand them.
func Classify(query []byte, procs *Procedures) Verdict {
	return ClassifyString(stringOf(query), procs)
}

// ClassifyString is [Classify] for a string.
func ClassifyString(query string, procs *Procedures) Verdict {
	if !utf8.ValidString(query) {
		return Verdict{Access: Write, Reason: "invalid UTF-8"}
	}
	v, shape := scan(query, procs)
	if i := strings.IndexByte(query, '\\'); i >= 0 && strings.Contains(query[i:], `\u`) {
		v = classifyEscaped(query, procs, v, shape)
	}
	return v
}

// classifyEscaped reads a text with \u escapes in the ways that servers do, and returns the most careful of the verdicts.
//
// Parboiled servers (2.x to 4.2) leave escapes to string literals, which is what raw, the plain scan, has done; a backslash
// outside a literal is an error to them. JavaCC and ANTLR servers (4.3 on) decode escapes before they look for tokens, except
// behind an escaped backslash; we also decode those, in case a version does. What stands before the first clause has a
// parser of its own on all of them, which may see other comments there than the one that follows it, so that an escape in that
// place makes the text unreadable.
func classifyEscaped(query string, procs *Procedures, raw Verdict, s shape) Verdict {
	if i := strings.Index(query[:s.body], `\u`); i >= 0 {
		return merge(raw, Verdict{Access: Write, Reason: `\u escape before the first clause`, Start: i, End: i + 2, SelfCommitting: true})
	}
	d := unescape(query, true)
	v := d.verdict(procs)
	if !s.stray {
		v = merge(raw, v)
	}
	if strings.Contains(query, `\\u`) {
		if d = unescape(query, false); !d.bad {
			v = merge(v, d.verdict(procs))
		}
	}
	return v
}

// verdict reads the decoded text.
func (u *unescaped) verdict(procs *Procedures) Verdict {
	if u.bad {
		return Verdict{Access: Write, Reason: `bad \u escape`, Start: u.badAt, End: u.badAt + 2}
	}
	v, _ := scan(u.text, procs)
	v.Start, v.End = u.offset(v.Start), u.offset(v.End)
	return v
}

// merge returns the more careful of two verdicts about one text: a before b when both say the same.
func merge(a, b Verdict) Verdict {
	if a.Access == Read && b.Access == Write {
		a.Access, a.Reason, a.Start, a.End = b.Access, b.Reason, b.Start, b.End
	}
	a.SelfCommitting = a.SelfCommitting || b.SelfCommitting
	a.OneMember = a.OneMember || b.OneMember
	a.System = a.System || b.System
	a.UsesUse = a.UsesUse || b.UsesUse
	a.UserCommand = a.UserCommand || b.UserCommand
	return a
}
