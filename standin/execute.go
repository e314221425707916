package standin

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// result is a statement's answer as it is streamed: rows given one by one, or one row repeated.
type result struct {
	fields  []string
	columns []string // what YIELD may name, when that is more than fields; rows have all of them
	rows    [][]any
	make    func(i int64) ([]any, *bolt.Failure) // when set: the rows, of which there are repeat
	repeat  int64                                // when rows holds one row: how often it comes
	payload int64                                // bytes of a further column; 0 none
	kind    string
	stats   map[string]any
	ask     directives
	plan    bool          // only explained
	compute time.Duration // that the first row takes
	seen    bool          // a row was delivered
	refusal *bolt.Failure // comes at PULL
	sent    int64
	qid     int64

	old      string // on Bolt 1-2: BEGIN, COMMIT or ROLLBACK, whose result this is
	bookmark string // of such a COMMIT
}

func (r *result) total() int64 {
	if r.make != nil || r.repeat > 0 || len(r.rows) == 1 {
		return r.repeat
	}
	return int64(len(r.rows))
}

func (r *result) row(i int64) ([]any, *bolt.Failure) {
	switch {
	case r.make != nil:
		return r.make(i)
	case len(r.rows) == 1:
		return r.rows[0], nil
	}
	return r.rows[i], nil
}

func table(fields []string, rows ...[]any) *result {
	r := &result{fields: fields, rows: rows, kind: "r"}
	if len(rows) == 1 {
		r.repeat = 1
	}
	return r
}

// run executes one statement in t. Delays and faults of RUN are the caller's, by result.ask, except a failure, which is
// answered here.
func (t *transaction) run(text string, params map[string]any, done <-chan struct{}) (*result, *bolt.Failure) {
	list := words(text)
	ask := parseDirectives(text, params, t.m.name)
	list = stripPrefix(list)
	if hook := t.m.c.opt.OnQuery; hook != nil {
		hook(Query{t.m.name, t.exec.name, t.user, t.db, t.mode, t.v, t.routed, text, ask.mark})
	}
	if f := t.check(text, list); f != nil {
		return nil, f
	}
	if f := t.expired(); f != nil {
		return nil, f
	}
	if f := t.use(list, done); f != nil {
		return nil, f
	}
	if at(list, 0) == "USE" {
		if _, rest := graphName(list); len(rest) > 0 {
			list = stripPrefix(rest)
		}
	}
	if ask.delayAt == "run" {
		if f := t.pause(ask.delay, done); f != nil {
			return nil, f
		}
	}
	if ask.fail != "" && ask.failAt == "run" {
		return nil, failure(ask.fail, "The stand-in was asked to fail.")
	}
	explain := at(list, 0) == "EXPLAIN"
	if explain {
		list = stripPrefix(list[1:])
	}
	r, f := t.answer(text, list, params, ask, explain)
	if f != nil {
		return nil, f
	}
	r.ask = ask
	if explain {
		r.rows, r.make, r.repeat, r.plan = nil, nil, 0, true
	}
	t.rememberEnd(ask)
	return r, nil
}

// rememberEnd keeps what a statement asked of its transaction's commit.
func (t *transaction) rememberEnd(ask directives) {
	if ask.failAt == "commit" && ask.fail != "" || ask.delayAt == "commit" || strings.HasPrefix(ask.close, "commit") {
		t.end = ask
	}
}

// stripPrefix takes "CYPHER 25 runtime=slotted" and PROFILE from the front.
func stripPrefix(list []string) []string {
	if at(list, 0) == "CYPHER" {
		list = list[1:]
		for len(list) > 0 && !clauses[list[0]] && !updating[list[0]] {
			list = list[1:]
		}
	}
	if at(list, 0) == "PROFILE" {
		list = list[1:]
	}
	return list
}

func (t *transaction) check(text string, list []string) *bolt.Failure {
	switch first := at(list, 0); {
	case first == "":
		return failure(codeSyntaxError, "Unexpected end of input: expected CYPHER, EXPLAIN, PROFILE or Query (line 1, column 1 (offset: 0))\n\"%s\"", text)
	case !clauses[first] && !updating[first]:
		return failure(codeSyntaxError, "Invalid input '%s': expected a clause (line 1, column 1 (offset: 0))\n\"%s\"", first, text)
	}
	return nil
}

// use follows a leading USE clause to another database.
func (t *transaction) use(list []string, done <-chan struct{}) *bolt.Failure {
	if at(list, 0) != "USE" || !t.m.release().multi() {
		return nil
	}
	name, _ := graphName(list)
	if foldName(name) == foldName(t.db) {
		return nil
	}
	if t.writes > 0 {
		return failure("Neo.ClientError.Statement.AccessMode", "Writing to more than one database per transaction is not allowed. Attempted write to %s, currently writing to %s", name, t.db)
	}
	if f := t.open(name, done); f != nil {
		return f
	}
	return t.exec.awaitBookmarks(t.v, t.bookmarks, done)
}

// answer is the statement's result: a system query's, a RETURN's of plain values, or the member describing itself.
func (t *transaction) answer(text string, list []string, params map[string]any, ask directives, explain bool) (*result, *bolt.Failure) {
	if r, f, known := t.ownPassword(text, params); known {
		return r, f
	}
	if !explain {
		if r, f, known := t.system(text, list, params); known {
			return r, f
		}
	}
	r := t.describe(ask)
	if f := t.returns(r, text, params, ask); f != nil {
		return nil, f
	}
	if !writes(list) {
		return r, nil
	}
	var refusal *bolt.Failure
	if !explain {
		refusal = t.canWrite()
	}
	if refusal != nil && (!t.m.c.opt.LateRefusal || refusal.Code == bolt.CodeAccessMode) {
		return nil, refusal
	}
	r.refusal = refusal
	if r.make == nil && byZero.MatchString(text) {
		if r.refusal = divisionByZero(); !t.m.release().multi() {
			return nil, r.refusal // 3.x runs what writes at once
		}
	}
	deleted := t.note(list, ask.mark, refusal == nil && !explain)
	r.kind, r.stats = writeKind(list, t.v, deleted)
	if r.kind != "rw" {
		r.fields, r.rows, r.make, r.repeat = []string{}, nil, nil, 0
	}
	return r, nil
}

// note keeps what a write does to the nodes of its mark: one more, or none left. It returns how many it deletes.
func (t *transaction) note(list []string, mark any, allowed bool) (deleted int64) {
	if !allowed {
		return 0
	}
	t.writes++
	if !hasWord(list, "DELETE") {
		t.marks = append(t.marks, mark)
		return 0
	}
	deleted = t.count(mark)
	t.dropped = append(t.dropped, mark)
	t.marks = slices.DeleteFunc(t.marks, func(m any) bool { return reflect.DeepEqual(m, mark) })
	return deleted
}

// describe is the answer to an ordinary query.
func (t *transaction) describe(ask directives) *result {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	role, applied := "unknown", int64(0)
	if d := c.find(t.db); d != nil {
		role, applied = d.role(t.exec).String(), d.applied[t.exec]
	}
	r := &result{
		fields: []string{"member", "role", "applied", "db", "user", "mode", "mark"},
		rows:   [][]any{{t.exec.name, role, applied, t.db, t.user, t.mode, ask.mark}},
		repeat: ask.rows, payload: min(ask.bytes, math.MaxUint32), kind: "r",
	}
	if r.payload > 0 {
		r.fields = append(r.fields, "payload")
	}
	return r
}

func writeKind(list []string, v bolt.Version, deleted int64) (string, map[string]any) {
	stats := map[string]any{"nodes-created": int64(1)}
	if hasWord(list, "DELETE") {
		stats = map[string]any{"nodes-deleted": deleted}
	}
	if hasWord(list, "DELETE") && deleted == 0 {
		return "w", nil
	}
	if v >= bolt.V5_0 {
		stats["contains-updates"] = true
	}
	switch {
	case isSchema(list):
		delete(stats, "nodes-created")
		stats["indexes-added"] = int64(1)
		return "s", stats
	case hasWord(list, "RETURN") || hasWord(list, "YIELD"):
		return "rw", stats
	}
	return "w", stats
}

func hasWord(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// pullDelay is how long the first row takes.
func (r *result) pullDelay() time.Duration {
	if r.ask.delayAt == "pull" {
		return r.compute + r.ask.delay
	}
	return r.compute
}

// summary is what the end of a result says in every version and over HTTP; a plan goes only to those who pulled it.
func (r *result) summary(pulled bool) map[string]any {
	s := map[string]any{"type": r.kind}
	if len(r.stats) > 0 && !r.plan {
		s["stats"] = maps.Clone(r.stats)
	}
	if r.plan && pulled {
		s["plan"] = map[string]any{"operatorType": "ProduceResults", "identifiers": []any{}, "args": map[string]any{}, "children": []any{}}
	}
	return s
}

// statuses are the GQL statuses at the end of a result (5.6+).
func (r *result) statuses() []any {
	status, text := "00000", "note: successful completion"
	switch {
	case len(r.fields) == 0:
		status, text = "00001", "note: successful completion - omitted result"
	case r.total() == 0:
		status, text = "02000", "note: no data"
	case !r.seen:
		status, text = "02N42", "note: no data - unknown subcondition. Unknown GQLSTATUS from old server."
	}
	return []any{map[string]any{"gql_status": status, "status_description": text}}
}
