package proxy

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds every Bolt version to the very same exchange made with a member directly.

// releases are servers which between them speak every version, and whose versions a test is to use.
var releases = []struct {
	server   string
	kind     cluster.Generation
	versions []bolt.Version
}{
	{"3.5.35", cluster.Causal, []bolt.Version{bolt.V1, bolt.V2, bolt.V3}},
	{"4.4.48", cluster.Causal, []bolt.Version{bolt.V3, bolt.V4_0, bolt.V4_1, bolt.V(4, 2), bolt.V4_3, bolt.V4_4}},
	{"5.26.30", cluster.Autonomous, []bolt.Version{bolt.V4_4, bolt.V5_0, bolt.V5_1, bolt.V5_2, bolt.V5_3, bolt.V5_4, bolt.V5_6, bolt.V5_7, bolt.V5_8}},
	{"2026.08.1", cluster.Autonomous, []bolt.Version{bolt.V5_8, bolt.V6_0, bolt.V6_1}},
}

func TestTheReleasesCoverEveryVersion(t *testing.T) {
	for _, v := range bolt.Versions {
		if !slices.ContainsFunc(releases, func(r struct {
			server   string
			kind     cluster.Generation
			versions []bolt.Version
		}) bool {
			return slices.Contains(r.versions, v)
		}) {
			t.Errorf("no test speaks Bolt %v", v)
		}
	}
}

// eachVersion runs f for every version, on one gate a release.
func eachVersion(t *testing.T, from bolt.Version, f func(t *testing.T, g *gate, v bolt.Version)) {
	for _, r := range releases {
		t.Run("Neo4j "+r.server, func(t *testing.T) {
			g := startGate(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Members: 3, Seed: 1}})
			for _, v := range r.versions {
				if v >= from {
					t.Run("Bolt "+v.String(), func(t *testing.T) { f(t, g, v) })
				}
			}
		})
	}
}

// direct is the Bolt address of the leader of the default database.
func (g *gate) direct() string {
	g.t.Helper()
	l := g.current.View().Leader("")
	if l == nil {
		g.t.Fatal("no leader is known")
	}
	return l.Bolt
}

// exchange is a conversation in steps: each step's messages are sent together and answered before the next.
type exchange struct {
	name  string
	from  bolt.Version // first version that has it
	until bolt.Version // first that has it no more; 0: still there
	steps func(v bolt.Version) [][][]byte
}

func message(tag byte, fields ...any) []byte { return bolt.AppendMessage(nil, tag, fields...) }

func join(lists ...[][]byte) [][]byte { return slices.Concat(lists...) }

const (
	someRows  = "MATCH (n) RETURN n /*standin rows=5*/"
	oneRow    = "MATCH (n) RETURN n"
	aWrite    = "CREATE (n) RETURN n"
	failRun   = "MATCH (n) RETURN n /*standin fail=Neo.ClientError.Statement.TypeError*/"
	failPull  = "MATCH (n) RETURN n /*standin fail=Neo.ClientError.Statement.TypeError fail_at=pull*/"
	failRow   = "MATCH (n) RETURN n /*standin rows=9 fail=Neo.ClientError.Statement.TypeError fail_at=3*/"
	endless   = "MATCH (n) RETURN n /*standin rows=1000000 row_delay=1ms*/"
	notCypher = "THIS IS NOT CYPHER"
)

func auto(v bolt.Version, text string) [][]byte { return [][]byte{run(v, text, nil, nil), pull(v)} }

var exchanges = []exchange{
	{"auto-commit read", 0, 0, func(v bolt.Version) [][][]byte { return [][][]byte{auto(v, someRows)} }},
	{"auto-commit write", 0, 0, func(v bolt.Version) [][][]byte { return [][][]byte{auto(v, aWrite)} }},
	{"RUN and PULL apart", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{run(v, aWrite, nil, nil)}, {pull(v)}, {run(v, oneRow, nil, nil)}, {discard(v)}}
	}},
	{"transaction with commit, step by step", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), {run(v, aWrite, nil, nil)}, {pull(v)}, auto(v, someRows), commitTx(v), auto(v, oneRow)}
	}},
	{"transaction with rollback", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), auto(v, aWrite), rollbackTx(v), auto(v, oneRow)}
	}},
	{"a whole transaction pipelined", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{join(beginTx(v, nil), auto(v, aWrite), auto(v, someRows), commitTx(v)), auto(v, oneRow)}
	}},
	{"units of work pipelined", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{join(auto(v, oneRow), auto(v, aWrite), beginTx(v, nil), auto(v, aWrite), commitTx(v), auto(v, someRows))}
	}},
	{"failure at RUN, ignored until RESET", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, failRun), auto(v, oneRow), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"failure at PULL", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, failPull), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"failure between records", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, failRow), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"failure of text that is none", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, notCypher), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"failure in a transaction", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), auto(v, failRun), commitTx(v), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"failure in a pipelined transaction", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{join(beginTx(v, nil), auto(v, failRun), commitTx(v)), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"ACK_FAILURE", bolt.V1, bolt.V3, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, failRun), {message(bolt.TagAckFailure)}, auto(v, oneRow)}
	}},
	{"RESET in a transaction", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), auto(v, aWrite), {bolt.Reset}, auto(v, oneRow)}
	}},
	{"RESET before PULL", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{run(v, someRows, nil, nil)}, {bolt.Reset}, auto(v, oneRow)}
	}},
	{"RESET when ready", 0, 0, func(v bolt.Version) [][][]byte { return [][][]byte{{bolt.Reset}, {bolt.Reset}, auto(v, oneRow)} }},
	{"PULL in batches", bolt.V4_0, 0, func(v bolt.Version) [][][]byte {
		two := stream(v, bolt.TagPull, m{"n": 2})
		return [][][]byte{{run(v, someRows, nil, nil), two}, {two}, {two}, {run(v, someRows, nil, nil), two}, {discard(v)}}
	}},
	{"several open results", bolt.V4_0, 0, func(v bolt.Version) [][][]byte {
		part := func(tag byte, n, qid int) []byte { return stream(v, tag, m{"n": n, "qid": qid}) }
		return [][][]byte{beginTx(v, nil), {run(v, someRows, nil, nil), part(bolt.TagPull, 2, 0)}, {run(v, someRows, nil, nil)},
			{part(bolt.TagPull, 2, 0), part(bolt.TagPull, -1, 1)}, {part(bolt.TagDiscard, -1, 0)}, commitTx(v)}
	}},
	{"COMMIT with an open result", bolt.V4_0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), {run(v, someRows, nil, nil)}, commitTx(v)}
	}},
	{"TELEMETRY", bolt.V5_4, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{join([][]byte{message(bolt.TagTelemetry, 1)}, auto(v, oneRow)), {message(bolt.TagTelemetry, 0)}}
	}},
	{"LOGOFF and LOGON", bolt.V5_1, bolt.V5_8, func(v bolt.Version) [][][]byte {
		logon := logonMessages(v, standin.DefaultUser, standin.DefaultPassword)[1]
		return [][][]byte{{message(bolt.TagLogoff)}, {logon}, auto(v, oneRow), join([][]byte{message(bolt.TagLogoff), logon}, auto(v, oneRow))}
	}},
	{"refused LOGON", bolt.V5_1, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{message(bolt.TagLogoff)}, {logonMessages(v, standin.DefaultUser, "wrong")[1]}, {bolt.Reset}}
	}},
	{"database that does not exist", bolt.V4_0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{run(v, oneRow, nil, m{"db": "nowhere"}), pull(v)}, {bolt.Reset}, beginTx(v, m{"db": "nowhere"})}
	}},

	// What no server goes on after.
	{"PULL without a result", 0, 0, func(v bolt.Version) [][][]byte { return [][][]byte{{pull(v)}, {bolt.Reset}} }},
	{"COMMIT without a transaction", bolt.V3, 0, func(v bolt.Version) [][][]byte { return [][][]byte{commitTx(v), {bolt.Reset}} }},
	{"RUN while streaming", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{run(v, someRows, nil, nil)}, {run(v, oneRow, nil, nil)}, {bolt.Reset}}
	}},
	{"BEGIN in a transaction", bolt.V3, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), beginTx(v, nil), {bolt.Reset}}
	}},
	{"PULL in a transaction without a result", bolt.V3, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{beginTx(v, nil), {pull(v)}, {bolt.Reset}}
	}},
	{"BEGIN after a failure", bolt.V3, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{auto(v, failRun), beginTx(v, nil), {bolt.Reset}}
	}},
	{"a second HELLO", 0, 0, func(v bolt.Version) [][][]byte {
		return [][][]byte{{logonMessages(v, standin.DefaultUser, standin.DefaultPassword)[0]}, {bolt.Reset}}
	}},
	{"a tag that no version has", 0, 0, func(bolt.Version) [][][]byte { return [][][]byte{{message(0x55)}, {bolt.Reset}} }},
	{"RUN with a field too many", 0, 0, func(bolt.Version) [][][]byte {
		return [][][]byte{{message(bolt.TagRun, "RETURN 1", m{}, m{}, m{})}, {bolt.Reset}}
	}},
	{"ROUTE before there was one", bolt.V1, bolt.V4_3, func(bolt.Version) [][][]byte {
		return [][][]byte{{message(bolt.TagRoute, m{}, []any{}, m{})}, {bolt.Reset}}
	}},
	{"LOGOFF before there was one", bolt.V1, bolt.V5_1, func(bolt.Version) [][][]byte { return [][][]byte{{message(bolt.TagLogoff)}, {bolt.Reset}} }},
	{"TELEMETRY before there was one", bolt.V1, bolt.V5_4, func(bolt.Version) [][][]byte {
		return [][][]byte{{message(bolt.TagTelemetry, 1)}, {bolt.Reset}}
	}},
	{"GOODBYE", bolt.V3, 0, func(bolt.Version) [][][]byte { return [][][]byte{{bolt.Goodbye}} }},
}

// play makes the exchange with a new connection and shows what came, a line a step.
func (e exchange) play(t *testing.T, address string, v bolt.Version) []string {
	t.Helper()
	w := loggedWire(t, address, v)
	defer w.conn.Close()
	var lines []string
	for _, step := range e.steps(v) {
		if _, err := w.conn.Write(slices.Concat(step...)); err != nil {
			lines = append(lines, "CLOSED")
			break
		}
		list := w.answers(len(step))
		lines = append(lines, show(list))
		if list[len(list)-1].tag == 0 {
			break
		}
	}
	return lines
}

func TestEveryVersionAnswersAsAMemberDoes(t *testing.T) {
	eachVersion(t, bolt.V1, func(t *testing.T, g *gate, v bolt.Version) {
		for _, e := range exchanges {
			if v < e.from || e.until != 0 && v >= e.until {
				continue
			}
			t.Run(e.name, func(t *testing.T) {
				want, got := e.play(t, g.direct(), v), e.play(t, g.address, v)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("\ngate   %q\nmember %q", got, want)
				}
			})
		}
	})
}

// TestAMembersRefusalPassesWhole: what a member says to a login or to a request for a routing table reaches the client
// with all that the version has, cause and diagnostic record included.
func TestAMembersRefusalPassesWhole(t *testing.T) {
	refusals := []struct {
		name  string
		login bool // the login itself is refused
		from  bolt.Version
		ask   func(v bolt.Version) [][]byte
	}{
		{"a wrong password", true, 0, func(v bolt.Version) [][]byte { return logonMessages(v, standin.DefaultUser, "wrong") }},
		{"a routing table of an unknown database", false, bolt.V4_3, func(v bolt.Version) [][]byte {
			extra := any(m{"db": "nowhere"})
			if v < bolt.V4_4 {
				extra = "nowhere"
			}
			return [][]byte{message(bolt.TagRoute, m{}, []any{}, extra)}
		}},
		{"the same, by a procedure", false, bolt.V4_0, func(v bolt.Version) [][]byte {
			call := "CALL dbms.routing.getRoutingTable($context, $database)"
			return [][]byte{run(v, call, m{"context": m{}, "database": "nowhere"}, m{"db": "system"})}
		}},
	}
	records := 0
	eachVersion(t, 0, func(t *testing.T, g *gate, v bolt.Version) {
		for _, r := range refusals {
			if v < r.from {
				continue
			}
			said := func(address string) any {
				w := openWire(t, address, v)
				if !r.login {
					w.logOn(standin.DefaultUser, standin.DefaultPassword)
				}
				list := w.ask(r.ask(v)...)
				last := list[len(list)-1]
				if last.tag != bolt.TagFailure {
					t.Fatalf("%s: got %s, want it refused", r.name, show(list))
				}
				return last.value
			}
			got, want := said(g.address), said(g.direct())
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got  %v\nwant %v", r.name, got, want)
			}
			if _, ok := want.(m)["diagnostic_record"]; ok {
				records++
			}
		}
	})
	if records < len(refusals) {
		t.Errorf("only %d refusals had a diagnostic record: this has shown little", records)
	}
}
