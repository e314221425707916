package exchange

// This file owns the scenarios: what the raw client asks of every server, in each version's own messages.

import (
	"fmt"

	"github.com/boltgate/boltgate/bolt"
)

// Scenarios returns the conversations that are recorded in a version of Bolt.
func Scenarios(v bolt.Version) []Scenario {
	w := words{v}
	all := append(w.logins(), w.queries()...)
	all = append(all, w.transactions()...)
	all = append(all, w.failures()...)
	all = append(all, w.resets()...)
	if v >= bolt.V4_0 {
		all = append(all, w.streams()...)
		all = append(all, w.databases()...)
	}
	return append(append(all, w.routes()...), w.refusals()...)
}

// words writes requests as a version has them.
type words struct{ v bolt.Version }

func (w words) run(query string, extra ...string) string { return w.runWith(query, "{}", extra...) }

func (w words) runWith(query, params string, extra ...string) string {
	line := fmt.Sprintf("C: RUN %q %s", query, params)
	if w.v < bolt.V3 {
		return line
	}
	if len(extra) == 0 {
		extra = []string{"{}"}
	}
	return line + " " + extra[0]
}

func (w words) pull(n int) string {
	if w.v < bolt.V4_0 {
		return "C: PULL_ALL"
	}
	return fmt.Sprintf("C: PULL {n: %d}", n)
}

func (w words) discard() string {
	if w.v < bolt.V4_0 {
		return "C: DISCARD_ALL"
	}
	return "C: DISCARD {n: -1}"
}

// begin, commit and rollback are texts before version 3.
func (w words) begin() []string { return w.control("BEGIN", "C: BEGIN {}") }

func (w words) commit() []string { return w.control("COMMIT", "C: COMMIT") }

func (w words) rollback() []string { return w.control("ROLLBACK", "C: ROLLBACK") }

func (w words) control(text, message string) []string {
	if w.v < bolt.V3 {
		return []string{w.run(text), w.discard()}
	}
	return []string{message}
}

// lines joins lines and groups of lines.
func lines(parts ...any) []string {
	var all []string
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			all = append(all, p)
		case []string:
			all = append(all, p...)
		}
	}
	return all
}

const (
	wait   = "--"
	create = "CREATE (n:Raw {x: 1}) RETURN n.x"
	count  = "MATCH (n:Raw) RETURN count(n) AS n"
	clear  = "MATCH (n:Raw) DELETE n"
	wrong  = "THIS IS NOT CYPHER"
)

// big is a result that takes seconds, for servers differ in how soon they notice a RESET: with 300,000 rows, or with 20 MB in fewer, 2026.08.1 had
// sent all of them before it looked.
func (w words) big() string { return w.run("UNWIND range(1, 1000000) AS n RETURN n") }

func (w words) hello(password string) []string {
	auth := fmt.Sprintf(`credentials: "%s", principal: "<user>", scheme: "basic"`, password)
	switch {
	case w.v < bolt.V3:
		return []string{fmt.Sprintf(`C: INIT "raw/1" {%s}`, auth)}
	case w.v < bolt.V5_1:
		return []string{fmt.Sprintf(`C: HELLO {%s, user_agent: "raw/1"}`, auth)}
	}
	hello := `C: HELLO {user_agent: "raw/1"}`
	if w.v >= bolt.V5_3 {
		hello = `C: HELLO {bolt_agent: {product: "raw/1"}, user_agent: "raw/1"}`
	}
	return []string{hello, fmt.Sprintf(`C: LOGON {%s}`, auth)}
}

func (w words) logins() []Scenario {
	all := []Scenario{
		{"logon", "the opening of a connection", lines("bare", w.hello("<password>"))},
		{"wrong password", "the refusal of a login ends the connection", lines("bare", w.hello("wrong"), wait, "C: RESET")},
		{"request before login", "a query of somebody unknown", lines("bare", w.run("RETURN 1"), wait, w.pull(-1))},
	}
	if w.v >= bolt.V3 {
		all = append(all, Scenario{"goodbye", "a polite end", lines("C: GOODBYE")})
	}
	if w.v == bolt.V4_3 || w.v == bolt.V4_4 {
		all = append(all, Scenario{"utc patch", "a patch is echoed", lines("bare",
			`C: HELLO {credentials: "<password>", patch_bolt: ["utc"], principal: "<user>", scheme: "basic", user_agent: "raw/1"}`)})
	}
	if w.v >= bolt.V5_1 {
		again := `C: LOGON {credentials: "<password>", principal: "<user>", scheme: "basic"}`
		all = append(all,
			Scenario{"another login", "LOGOFF and LOGON on one connection, pipelined", lines("C: LOGOFF", again, wait, w.run("RETURN 1 AS n"), w.pull(-1))},
			Scenario{"logged off", "a query between LOGOFF and LOGON", lines("C: LOGOFF", wait, w.run("RETURN 1"), wait, w.pull(-1))},
			Scenario{"logon twice", "LOGON while logged on", lines(again)},
			Scenario{"logoff in a transaction", "LOGOFF is for the ready state", lines(w.begin(), wait, "C: LOGOFF")})
	}
	if w.v >= bolt.V5_4 {
		all = append(all, Scenario{"telemetry", "a known and an unknown kind of use", lines("C: TELEMETRY 1", wait, "C: TELEMETRY 99", wait, "C: RESET")})
	}
	return all
}

func (w words) queries() []Scenario {
	return []Scenario{
		{"read", "an auto-commit read", lines(w.run("UNWIND [1, 2, 3] AS n RETURN n, 'text' AS t"), wait, w.pull(-1))},
		{"write", "an auto-commit write, its counters, and the way back", lines(w.run(create), w.pull(-1), wait, w.run(clear), w.pull(-1))},
		{"values", "parameters come back as they went", lines(
			w.runWith("RETURN $p AS p", `{p: [null, true, 1, -9223372036854775808, 1.5, "text", [1], {k: "v"}]}`), w.pull(-1))},
		{"discard", "a result that nobody wants", lines(w.run("UNWIND [1, 2, 3] AS n RETURN n"), w.discard())},
		{"no rows", "a query without columns", lines(w.run("MATCH (n:Absent) DELETE n"), w.pull(-1))},
		{"many rows", "rows come before their summary", lines(w.run("UNWIND range(1, 5) AS n RETURN n"), w.pull(-1), w.run("RETURN 'second' AS s"), w.pull(-1))},
		{"explain", "a plan is metadata, nothing runs", lines(w.run("EXPLAIN "+clear), w.discard())},
	}
}

func (w words) transactions() []Scenario {
	all := []Scenario{
		{"commit", "an explicit transaction, a request at a time", lines(w.begin(), wait, w.run(create), wait, w.pull(-1), wait, w.commit(), wait,
			w.run(count), w.pull(-1), wait, w.run(clear), w.pull(-1))},
		{"rollback", "what was rolled back is gone", lines(w.begin(), w.run(create), w.pull(-1), wait, w.rollback(), wait, w.run(count), w.pull(-1))},
		{"pipelined transaction", "all of a transaction in one write", lines(w.begin(), w.run(create), w.pull(-1), w.run(count), w.pull(-1), w.run(clear), w.pull(-1), w.commit())},
		{"empty transaction", "BEGIN and COMMIT alone", lines(w.begin(), w.commit())},
		{"begin twice", "a transaction in a transaction", lines(w.begin(), wait, w.begin(), wait, "C: RESET")},
		{"commit without begin", "COMMIT in the ready state", lines(w.commit(), wait, "C: RESET")},
		{"bookmark", "a transaction that waits for the one before", w.bookmarked()},
		{"bad bookmark", "a bookmark that is none", w.badBookmark()},
	}
	if w.v >= bolt.V3 {
		all = append(all,
			Scenario{"metadata and timeout", "extra of BEGIN", lines(`C: BEGIN {mode: "w", tx_metadata: {app: "raw"}, tx_timeout: 5000}`, w.run("RETURN 1 AS n"), w.pull(-1), w.commit())},
			Scenario{"bad timeout", "tx_timeout must be an integer", lines(`C: BEGIN {tx_timeout: "soon"}`, wait, "C: RESET")},
			Scenario{"commit with an open result", "COMMIT while rows wait", lines(w.begin(), w.run("UNWIND [1, 2] AS n RETURN n"), wait, "C: COMMIT", wait, "C: RESET")})
	}
	return all
}

func (w words) bookmarked() []string {
	write := lines(w.run(create), w.pull(-1), wait)
	if w.v < bolt.V3 {
		return lines(w.begin(), write[:2], w.commit(), wait, w.runWith("BEGIN", `{bookmark: "<bookmark>", bookmarks: ["<bookmark>"]}`), w.discard(),
			w.run(clear), w.pull(-1), w.commit())
	}
	return lines(write, `C: BEGIN {bookmarks: ["<bookmark>"]}`, w.run(clear), w.pull(-1), w.commit())
}

func (w words) badBookmark() []string {
	if w.v < bolt.V3 {
		return lines(w.runWith("BEGIN", `{bookmarks: ["nonsense"]}`), w.discard(), wait, "C: RESET")
	}
	return lines(`C: BEGIN {bookmarks: ["nonsense"]}`, wait, "C: RESET")
}

func (w words) failures() []Scenario {
	all := []Scenario{
		{"failure", "everything behind a failure is ignored until RESET", lines(w.run(wrong), w.pull(-1), wait, w.run("RETURN 1"), w.pull(-1), wait, "C: RESET", wait,
			w.run("RETURN 1 AS n"), w.pull(-1))},
		{"failure, RESET behind it", "failure and RESET in one write, then the next query", lines(w.run(wrong), w.pull(-1), wait, "C: RESET", w.run("RETURN 1 AS n"), w.pull(-1))},
		{"failure among rows", "a query that fails after it has sent rows", lines(w.run("UNWIND [1, 2, 0] AS n RETURN 10 / n AS q"), w.pull(-1), wait, "C: RESET")},
		{"failure in a transaction", "the transaction is lost", lines(w.begin(), w.run(create), w.pull(-1), wait, w.run(wrong), w.pull(-1), w.commit(), wait, "C: RESET", wait,
			w.run(count), w.pull(-1))},
		{"rollback after a failure", "ROLLBACK does not leave the failed state", lines(w.begin(), w.run(wrong), wait, w.rollback(), wait, "C: RESET")},
		{"constraint", "a failure at COMMIT or before", lines(w.run("CREATE (n:Raw {x: 1}) WITH n RETURN n.x / 0"), w.pull(-1), wait, "C: RESET", wait, w.run(count), w.pull(-1))},
		{"missing parameter", "", lines(w.run("RETURN $absent"), w.pull(-1), wait, "C: RESET")},
		{"unknown procedure", "", lines(w.run("CALL no.such.procedure()"), w.pull(-1), wait, "C: RESET")},
	}
	if w.v < bolt.V3 {
		return append(all,
			Scenario{"ACK_FAILURE", "it leaves the failed state", lines(w.run(wrong), w.pull(-1), wait, "C: ACK_FAILURE", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
			Scenario{"ACK_FAILURE in a transaction", "drivers send ROLLBACK after it", lines(w.begin(), w.run(wrong), w.pull(-1), wait, "C: ACK_FAILURE", wait, w.rollback(), wait,
				w.run("RETURN 1 AS n"), w.pull(-1))},
			Scenario{"ACK_FAILURE without a failure", "", lines("C: ACK_FAILURE", wait, "C: RESET")})
	}
	return append(all, Scenario{"BEGIN while failed", "", lines(w.run(wrong), wait, "C: BEGIN {}", wait, "C: RESET")})
}

func (w words) resets() []Scenario {
	all := []Scenario{
		{"reset when ready", "", lines("C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
		{"reset in a transaction", "RESET rolls back", lines(w.begin(), w.run(create), w.pull(-1), wait, "C: RESET", wait, w.run(count), w.pull(-1))},
		{"reset before PULL", "a result that nobody asked for", lines(w.run("UNWIND [1, 2, 3] AS n RETURN n"), wait, "C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
		{"reset in mid-stream", "RESET overtakes the rows that are still to come", lines(w.big(), w.pull(-1), "W: 100", "C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
		{"reset in a transaction's stream", "", lines(w.begin(), w.big(), w.pull(-1), "W: 100", "C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
	}
	if w.v >= bolt.V4_0 {
		all = append(all, Scenario{"reset in mid-result", "after a batch of rows", lines(w.big(), w.pull(2), wait, "C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
			Scenario{"reset in a transaction's result", "", lines(w.begin(), w.big(), w.pull(2), wait, "C: RESET", wait, w.run("RETURN 1 AS n"), w.pull(-1))})
	}
	return all
}

// streams are results in batches, several at once.
func (w words) streams() []Scenario {
	three := w.run("UNWIND [1, 2, 3] AS n RETURN n")
	return []Scenario{
		{"batches", "rows a batch at a time", lines(three, w.pull(1), wait, w.pull(1), wait, w.pull(5))},
		{"exact batch", "as many rows as there are", lines(three, w.pull(3), wait, "C: RESET")},
		{"discard the rest", "", lines(three, w.pull(1), wait, w.discard())},
		{"two results", "in one transaction, read in turn", lines(w.begin(), three, three, wait, "C: PULL {n: 1, qid: 0}", "C: PULL {n: 1, qid: 1}", wait,
			"C: PULL {n: -1, qid: 0}", "C: DISCARD {n: -1, qid: 1}", wait, "C: COMMIT")},
		{"unknown qid", "", lines(w.begin(), three, wait, "C: PULL {n: 1, qid: 7}", wait, "C: RESET")},
		{"PULL without n", "", lines(three, wait, "C: PULL {}", wait, "C: RESET")},
		{"PULL of 0 rows", "", lines(three, wait, "C: PULL {n: 0}", wait, "C: RESET")},
		{"RUN while rows wait", "auto-commit has one result at a time", lines(three, wait, three, wait, "C: RESET")},
	}
}

func (w words) databases() []Scenario {
	all := []Scenario{
		{"named database", "", lines(w.run("RETURN 1 AS n", `{db: "neo4j"}`), w.pull(-1))},
		{"system database", "", lines(w.run("SHOW DATABASES YIELD name", `{db: "system"}`), w.pull(-1))},
		{"unknown database", "", lines(w.run("RETURN 1", `{db: "absent"}`), w.pull(-1), wait, "C: RESET")},
		{"unknown database in BEGIN", "", lines(`C: BEGIN {db: "absent"}`, wait, "C: RESET")},
		{"write in read mode", "the server holds a client to its word", lines(w.run(create, `{mode: "r"}`), w.pull(-1), wait, "C: RESET")},
		{"write in a read transaction", "", lines(`C: BEGIN {mode: "r"}`, w.run(create), w.pull(-1), wait, "C: RESET")},
	}
	if w.v >= bolt.V4_4 {
		all = append(all, Scenario{"impersonation", "of nobody", lines(w.run("RETURN 1", `{imp_user: "absent"}`), w.pull(-1), wait, "C: RESET")})
	}
	return all
}

func (w words) routes() []Scenario {
	switch {
	case w.v >= bolt.V4_4:
		return []Scenario{
			{"route", "", lines(`C: ROUTE {address: "localhost:7687"} [] {}`)},
			{"route of a database", "", lines(`C: ROUTE {address: "localhost:7687"} [] {db: "neo4j"}`)},
			{"route of an unknown database", "", lines(`C: ROUTE {address: "localhost:7687"} [] {db: "absent"}`, wait, "C: RESET")},
			{"route with a bad bookmark", "", lines(`C: ROUTE {address: "localhost:7687"} ["nonsense"] {}`, wait, "C: RESET")},
			{"route in a transaction", "", lines(w.begin(), wait, `C: ROUTE {address: "localhost:7687"} [] {}`, wait, "C: RESET")},
		}
	case w.v >= bolt.V4_3:
		return []Scenario{
			{"route", "", lines(`C: ROUTE {address: "localhost:7687"} [] null`)},
			{"route of an unknown database", "", lines(`C: ROUTE {address: "localhost:7687"} [] "absent"`, wait, "C: RESET")},
		}
	case w.v >= bolt.V4_0:
		return []Scenario{{"route", "the procedure", lines(w.runWith("CALL dbms.routing.getRoutingTable($context)", `{context: {address: "localhost:7687"}}`,
			`{db: "system", mode: "r"}`), w.pull(-1), wait, "C: RESET")}}
	}
	return []Scenario{
		{"route", "the procedure; a HA cluster has none", lines(w.runWith("CALL dbms.cluster.routing.getRoutingTable($context)", `{context: {address: "localhost:7687"}}`), w.pull(-1), wait, "C: RESET")},
		{"getServers", "the procedure of 3.1", lines(w.run("CALL dbms.cluster.routing.getServers()"), w.pull(-1), wait, "C: RESET")},
	}
}

// refusals are requests that are not legal where they stand.
func (w words) refusals() []Scenario {
	return []Scenario{
		{"PULL without a result", "", lines(w.pull(-1), wait, "C: RESET")},
		{"DISCARD without a result", "", lines(w.discard(), wait, "C: RESET")},
		{"login twice", "", lines(w.hello("<password>")[0], wait, "C: RESET")},
		{"unknown tag", "a structure that is no request", lines("C: raw 0002 B055 0000", wait, "C: RESET")},
		{"no structure", "a message that is a string", lines("C: raw 0005 8474657874 0000", wait, "C: RESET")},
		{"RUN with too few fields", "", lines("C: raw 000B B110 8852455455524E2031 0000", wait, "C: RESET")},
		{"NOOP", "an empty chunk between messages", lines("C: raw 0000 0002 B00F 0000", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
		{"chunks", "one message in many chunks", lines("C: raw 0001 B0 0001 0F 0000", wait, w.run("RETURN 1 AS n"), w.pull(-1))},
	}
}
