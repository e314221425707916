package cypher

import "strings"

// This file owns the keywords: which words the lexer knows, and what each of them lets follow.

// kind is what a keyword means where a keyword can stand.
type kind uint8

const (
	unknown  kind = iota
	operand       // an expression or a name must follow: AND, RETURN, AS …
	either        // an expression, a name or another keyword may follow: THEN, MATCH, NOT …
	keyword       // only another keyword or punctuation may follow: ORDER, END …
	within        // IN
	next          // NEXT: a statement begins behind it
	option        // CYPHER, EXPLAIN, PROFILE and older words that stand before a statement, and nowhere else
	call          // from here on: words that begin a clause which may matter. CALL
	show          // SHOW
	starting      // START: a read of 2.x, or START DATABASE
	use           // USE
	load          // LOAD CSV
	write         // a clause that writes
	admin         // CREATE, ALTER, DROP, RENAME: they write, and what follows tells to what
	account       // a command that writes roles or privileges
	command       // a command that writes and belongs to database system
	selfward      // words of IN TRANSACTIONS and PERIODIC COMMIT
	killing       // TERMINATE
)

// word is what is known of one keyword.
type word struct {
	text   string // in lower case; empty in a free slot of the table
	kind   kind
	prefix bool   // may stand where a name is expected without being that name: RETURN DISTINCT n, WHERE NOT x, (WHERE n.x)
	begins bool   // may begin a statement that reads
	body   bool   // ends the head of SHOW
	reason string // what decides when it decides: "clause CREATE"
}

// wordList is by kind, so that the language can be read off it. Sources: Neo4j's published grammars of Cypher 5 and 25,
// openCypher 9, and the manuals of 2.x to 4.x.
var wordList = []struct {
	kind  kind
	words string
}{
	{operand, "and or xor with return where by unwind as contains yield skip limit offset from fieldterminator to via"},
	{either, "match when then else case not is on using index scan seek join expand into text range point typed labeled " +
		"shortest any path paths walk trail acyclic repeatable different element elements relationship relationships bindings " +
		"let for filter search distinct all both leading trailing graph"},
	{keyword, "optional order group groups starts ends union end asc ascending desc descending finish csv score " +
		"normalized without zone timezone time datetime integer node vertex edge map list array value property " +
		"shortestpath allshortestpaths"},
	{within, "in"},
	{next, "next"},
	{option, "cypher explain profile planner runtime"},
	{call, "call"},
	{show, "show"},
	{starting, "start"},
	{use, "use"},
	{load, "load"},
	{write, "merge set delete detach nodetach remove foreach insert define"},
	{admin, "create alter drop rename"},
	{account, "grant deny revoke"},
	{command, "stop enable deallocate reallocate dryrun"},
	{selfward, "periodic concurrent"},
	{killing, "terminate"},
}

const (
	prefixWords = "not distinct case all where both leading trailing graph"
	beginWords  = "match optional unwind with return call load show start use using when let for filter finish " +
		"order skip limit offset cypher explain profile planner runtime"
	bodyWords = "yield where return match optional unwind let for filter"
	minWord   = 2
	maxWord   = 16
	wordBits  = 11
)

// words is an open hash table of the keywords.
var words = buildWords()

func buildWords() *[1 << wordBits]word {
	t := new([1 << wordBits]word)
	for _, group := range wordList {
		for _, w := range strings.Fields(group.words) {
			h := hashWord(w)
			for t[h].text != "" {
				h = (h + 1) & (1<<wordBits - 1)
			}
			t[h] = word{text: w, kind: group.kind, reason: "clause " + strings.ToUpper(w)}
			if group.kind >= admin {
				t[h].reason = "command " + strings.ToUpper(w)
			}
		}
	}
	for _, w := range strings.Fields(prefixWords) {
		lookup(t, w).prefix = true
	}
	for _, w := range strings.Fields(beginWords) {
		lookup(t, w).begins = true
	}
	for _, w := range strings.Fields(bodyWords) {
		lookup(t, w).body = true
	}
	lookup(t, "create").reason = "clause CREATE"
	lookup(t, "define").reason = "local procedure or function"
	lookup(t, "periodic").reason = "PERIODIC COMMIT"
	lookup(t, "concurrent").reason = "IN TRANSACTIONS"
	return t
}

// noWord is what lookup finds for every word that is no keyword.
var noWord = new(word)

// lookup finds s, in any case of letters, or noWord.
func lookup(t *[1 << wordBits]word, s string) *word {
	if len(s) < minWord || len(s) > maxWord {
		return noWord
	}
	for h := hashWord(s); ; h = (h + 1) & (1<<wordBits - 1) {
		w := &t[h]
		if w.text == "" {
			return noWord
		}
		if foldEqual(s, w.text) {
			return w
		}
	}
}

// hashWord mixes the length with three letters; it only has to keep keywords apart, and ignores case.
func hashWord(s string) uint32 {
	n := len(s)
	h := uint32(s[0]|0x20)*0x9E3779B1 ^ uint32(s[n-1]|0x20)*0x85EBCA6B ^ uint32(s[n/2]|0x20)*0xC2B2AE35 ^ uint32(n)*0x27D4EB2F
	return h >> (32 - wordBits)
}

// foldEqual says whether s is lower in any case. lower holds letters a-z only; servers fold no other letter to them.
func foldEqual(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		if s[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}
