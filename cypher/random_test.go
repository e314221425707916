package cypher

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// This file owns statements made at random: reads whose names are keywords, with every place marked at which a clause may stand.

// A write at any place where a clause may stand makes a read a write, whatever its names are.
func TestRandomReadsWithAWrite(t *testing.T) {
	const statements = 4000
	careful, tried := 0, 0
	for seed := range uint64(statements) {
		g := &generator{r: rand.New(rand.NewPCG(seed, 1))}
		parts := strings.Split(g.query(3), place)
		read := strings.Join(parts, "")
		if v := ClassifyString(read, nil); v.Access == Write {
			careful++
			if careful <= 3 {
				t.Logf("seed %d, a read that goes to the leader:\n%s", seed, Underline(read, v))
			}
		}
		for i := 1; i < len(parts); i++ {
			tried++
			w := insertions[g.r.IntN(len(insertions))]
			text := strings.Join(parts[:i], "") + w + g.space() + strings.Join(parts[i:], "")
			if v := ClassifyString(text, nil); v.Access != Write {
				t.Errorf("seed %d: got %s for %q, inserted: %s", seed, v.flags(), text, w)
			}
		}
	}
	t.Logf("%d writes inserted into %d reads, of which %d go to the leader", tried, statements, careful)
	if tried < 3*statements {
		t.Errorf("only %d places were tried", tried)
	}
	if careful*20 > statements { // with names as perverse as these; those of the corpus are held to 1 %
		t.Errorf("%d of %d reads go to the leader", careful, statements)
	}
}

// place marks where a clause may stand.
const place = "\x00"

// generator makes reads.
type generator struct{ r *rand.Rand }

func (g *generator) pick(choices ...string) string { return choices[g.r.IntN(len(choices))] }

// space separates two words.
func (g *generator) space() string {
	return g.pick(" ", " ", " ", " ", "\n", "\t", "\u00a0", "/**/", " /* SET n.x = 1 */ ", " // it's `CREATE\n", "/* ' \" */")
}

// join puts white space between words.
func (g *generator) join(words ...string) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w)
		b.WriteString(g.space())
	}
	return b.String()
}

// name is a name of a variable, label, property or key: an ordinary one, a keyword, something in back-ticks.
func (g *generator) name() string {
	switch g.r.IntN(6) {
	case 0:
		return g.pick("n", "m", "größe", "_x", "a1", "名前", "a$b")
	case 1:
		return g.pick("`SET n.x = 1`", "`a``b`", "`'`", "`/*`", "`create`", "`\"`")
	}
	return g.pick("set", "create", "MERGE", "delete", "detach", "remove", "foreach", "Call", "insert", "load", "show", "start", "drop", "alter", "return",
		"WITH", "where", "match", "unwind", "union", "limit", "skip", "order", "by", "as", "and", "or", "xor", "in", "is", "when", "then", "else",
		"end", "any", "on", "using", "let", "for", "filter", "next", "FINISH", "yield", "explain", "profile", "cypher", "transactions", "concurrent",
		"periodic", "exists", "count", "collect", "terminate", "grant", "search", "contains", "starts", "ends", "use", "desc", "asc")
}

// query is a whole query, or the body of a subquery.
func (g *generator) query(depth int) string {
	var b strings.Builder
	for range g.r.IntN(3) {
		b.WriteString(place + g.clause(depth))
	}
	b.WriteString(place + g.returns(depth))
	if g.r.IntN(6) == 0 {
		b.WriteString(g.join(g.pick("UNION", "union all", "NEXT")) + g.query(depth-1))
	}
	return b.String()
}

func (g *generator) returns(depth int) string {
	s := g.join(g.pick("RETURN", "return", "RETURN DISTINCT"), g.expr(depth), "AS", g.name())
	if g.r.IntN(2) == 0 {
		s += g.join("ORDER BY", g.operand(depth), g.pick("", "ASC", "DESC", "descending"))
	}
	if g.r.IntN(3) == 0 {
		s += g.join(g.pick("SKIP", "OFFSET"), g.pick("1", "$set", "$`a`")) + g.join("LIMIT", g.pick("2", "$limit", "0x1F"))
	}
	return s
}

func (g *generator) clause(depth int) string {
	where := ""
	if g.r.IntN(2) == 0 {
		where = g.join("WHERE", g.expr(depth))
	}
	switch n := g.r.IntN(10); {
	case n < 3:
		return g.join(g.pick("MATCH", "match", "OPTIONAL MATCH"), g.pattern(depth)) + where
	case n < 5:
		return g.join("WITH", g.pick("", "DISTINCT"), g.expr(depth), "AS", g.name(), ",", g.operand(depth), "AS", g.name()) + where
	case n == 5:
		return g.join("UNWIND", g.expr(depth), "AS", g.name())
	case n == 6:
		return g.join("CALL db.labels() YIELD label AS", g.name())
	case n == 7 && depth > 0:
		return g.join(g.pick("CALL", "call", "OPTIONAL CALL"), g.pick("", "(*)", "()", "("+g.name()+")"), "{", g.query(depth-1), "}")
	case n == 8:
		return g.join("LET", g.name(), "=", g.expr(depth)) + g.join("FILTER", g.operand(depth))
	}
	return g.join("WITH", "*") + where
}

func (g *generator) pattern(depth int) string {
	node := func() string {
		return "(" + g.pick("", g.name()) + g.pick("", ":"+g.name(), ":"+g.name()+"|"+g.name(), ":"+g.name()+"&!"+g.name()) + g.pick("", "{"+g.name()+":"+g.operand(depth)+"}") + ")"
	}
	rel := g.pick("-->", "<--", "--", "-["+g.name()+"]->", "-[:"+g.name()+"]-", "<-["+g.name()+":"+g.name()+"|"+g.name()+"*1..3]-", "-[*]->", "-[:"+g.name()+"]->{1,2}")
	return g.pick("", g.name()+"="+g.pick("", "shortestPath", "SHORTEST 2 ")) + g.pick(node()+rel+node(), node(), "(("+g.name()+")-->())+")
}

// operand is an expression that is complete in itself.
func (g *generator) operand(depth int) string {
	n := g.name
	if depth > 0 && g.r.IntN(4) == 0 {
		inner := g.expr(depth - 1)
		return g.pick("("+inner+")", "["+inner+", "+n()+"]", "{"+n()+": "+inner+"}", "my."+n()+"("+inner+")",
			"["+n()+" IN "+g.operand(depth-1)+" WHERE "+inner+" | "+n()+"."+n()+"]", "CASE WHEN "+inner+" THEN 1 ELSE "+n()+".x END",
			"CASE "+n()+".y WHEN 1 THEN 'SET' END", "EXISTS {"+g.query(depth-1)+"}", "COUNT {"+g.pattern(depth-1)+"}",
			"COLLECT {"+g.query(depth-1)+"}", "reduce("+n()+" = 0, "+n()+" IN [] | "+inner+")", "all("+n()+" IN [1] WHERE "+inner+")")
	}
	return g.pick("1", "1.5", "1e3", "0x1F", "'CREATE (n)'", `"it's"`, `'\'' `, `'\\'`, "$"+n(), n()+"."+n(), n()+"."+n()+"."+n(), "count(*)", "null",
		n()+"[0]", n()+"[1.."+n()+"]", n()+"{."+n()+", "+n()+": 1, .*}", "{}", "[]", "("+n()+")")
}

// expr is any expression. A name does not stand alone behind >, where Classify takes a keyword for a clause.
func (g *generator) expr(depth int) string {
	left := g.operand(depth)
	switch g.r.IntN(8) {
	case 0:
		return g.join(left, g.pick("+", "-", "*", " / ", "%", "^", "=", "<>", "<", "<=", ">=", "=~", "AND", "or", "XOR", "IN", "STARTS WITH", "ENDS WITH", "CONTAINS", "||"), g.operand(depth))
	case 1:
		return g.join(left, g.pick("IS NULL", "IS NOT NULL", "IS :: INTEGER", "IS :: LIST<STRING NOT NULL>", "IS NOT TYPED ZONED DATETIME", ":: INT | FLOAT", "IS NFC NORMALIZED"))
	case 2:
		return g.join("NOT", left)
	case 3:
		return g.join(left, ">", g.pick("1", "$x", "a.b", "'x'"))
	case 4:
		return g.join(fmt.Sprintf("%s:%s", g.name(), g.name()), "AND", left)
	}
	return left
}
