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
	text   string // in lower case
	key    uint64 // of text
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
)

// dictionary holds the keywords. slots is an open hash table of indexes into list, small enough to stay in the fastest cache.
type dictionary struct {
	slots    [1 << slotBits]uint8
	list     [160]word   // list[0] is no keyword: what every other word is
	prefixes [256]uint32 // by first byte, a bit for each length that a prefix word of that byte has
}

const (
	slotBits = 10
	minWord  = 2
	maxWord  = 16
)

var words = newDictionary()

func newDictionary() *dictionary {
	d := new(dictionary)
	n := 0
	for _, group := range wordList {
		for _, text := range strings.Fields(group.words) {
			n++
			d.list[n] = word{text: text, key: keyAt(text, 0, len(text)), kind: group.kind, reason: "clause " + strings.ToUpper(text)}
			if group.kind >= account {
				d.list[n].reason = "command " + strings.ToUpper(text)
			}
			h := slot(d.list[n].key)
			for d.slots[h] != 0 {
				h = (h + 1) % uint32(len(d.slots))
			}
			d.slots[h] = uint8(n)
		}
	}
	for _, text := range strings.Fields(prefixWords) {
		d.find(text).prefix = true
		d.prefixes[text[0]] |= 1 << len(text)
		d.prefixes[text[0]-'a'+'A'] |= 1 << len(text)
	}
	for _, text := range strings.Fields(beginWords) {
		d.find(text).begins = true
	}
	for _, text := range strings.Fields(bodyWords) {
		d.find(text).body = true
	}
	d.find("define").reason = "local procedure or function"
	d.find("periodic").reason = "PERIODIC COMMIT"
	d.find("concurrent").reason = reasonTransactions
	return d
}

// find returns what is known of s, in any case of letters.
func (d *dictionary) find(s string) *word { return d.at(s, 0, len(s)) }

// at is find for the word text[i:j].
func (d *dictionary) at(text string, i, j int) *word {
	n := j - i
	if n < minWord || n > maxWord {
		return &d.list[0]
	}
	key := keyAt(text, i, n)
	for h := slot(key); ; h = (h + 1) % uint32(len(d.slots)) {
		w := &d.list[d.slots[h]]
		if w.key == key && (n <= 8 && len(w.text) <= 8 || foldEqual(text[i:j], w.text)) || w.kind == unknown {
			return w
		}
	}
}

// mayPrefix says whether a word of n bytes that begins with c can be one that stands before a name; it rules out nearly all.
func (d *dictionary) mayPrefix(c byte, n int) bool {
	return n <= maxWord && d.prefixes[c]>>n&1 != 0
}

// keyAt packs the first 8 bytes of the n at text[i:], letters in lower case, so that most words compare in one step.
func keyAt(text string, i, n int) uint64 {
	const lower = 0x2020202020202020
	if s := text[i:]; len(s) >= 8 {
		key := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		return (key | lower) & (^uint64(0) >> (64 - 8*min(n, 8)))
	}
	key := uint64(0)
	for k := range min(n, 8) {
		key |= uint64(text[i+k]|0x20) << (8 * k)
	}
	return key
}

// slot hashes a key.
func slot(key uint64) uint32 { return uint32(key * 0x9E3779B97F4A7C15 >> (64 - slotBits)) }

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
