package e2e

import (
	"reflect"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/labs/exchange"
)

func TestOnlyKnownDifferencesPass(t *testing.T) {
	scenario := func(name string, lines ...string) exchange.Scenario {
		return exchange.Scenario{Name: name, Lines: lines}
	}
	for _, test := range []struct {
		name      string
		got, want exchange.Scenario
		says      string // part of what is unexpected; "" for nothing
	}{
		{"the same answers", scenario("read", "C: x", "S: SUCCESS {a}"), scenario("read", "C: x", "S: SUCCESS {a}"), ""},
		{"a missing key", scenario("read", "C: x", "S: SUCCESS {}"), scenario("read", "C: x", "S: SUCCESS {a}"), "line 2"},
		{"a missing answer", scenario("read", "C: x"), scenario("read", "C: x", "S: SUCCESS {a}"), "(nothing)"},
		{"an answer too many", scenario("read", "C: x", "S: IGNORED"), scenario("read", "C: x"), "IGNORED"},
		{"a known difference in kind ends the comparison", scenario("NOOP", "C: x", "S: SUCCESS {}", "C: y"), scenario("NOOP", "C: x", "S: closed"), ""},
		{"a known difference elsewhere is none", scenario("read", "C: x", "S: SUCCESS {}", "C: y"), scenario("read", "C: x", "S: closed"), "line 2"},
		{"behind a known difference of the same kind it goes on", scenario("route", "S: SUCCESS {fields}", "S: IGNORED"),
			scenario("route", "S: SUCCESS {fields, t_first}", "S: RECORD"), "line 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := unexpected(test.got, test.want, func(int) {})
			if test.says == "" && got != "" || !strings.Contains(got, test.says) {
				t.Fatalf("got %q; want %q", got, test.says)
			}
		})
	}
}

func TestAFlawIsHeldToItsSteps(t *testing.T) {
	report := func(failed ...string) drivers.Report {
		var r drivers.Report
		for _, name := range drivers.Steps {
			s := drivers.Step{Step: name, OK: true}
			for i, f := range failed {
				if f == name && i == 0 {
					s.OK, s.Error = false, "it says so"
				} else if f == name {
					s.OK, s.Error = false, "something else"
				}
			}
			r.Steps = append(r.Steps, s)
		}
		return r
	}
	f := &flaw{steps: []string{"write", "managed"}, says: "says so"}
	if !f.match(report("write", "managed")) {
		t.Error("the flaw itself does not match")
	}
	for _, failed := range [][]string{nil, {"write"}, {"write", "managed", "reset"}, {"managed", "write"}} {
		if f.match(report(failed...)) {
			t.Errorf("steps %v failed, and that passed for the flaw", failed)
		}
	}
	if (*flaw)(nil).match(report()) {
		t.Error("no flaw matched")
	}
}

func TestThePageWantsEveryCell(t *testing.T) {
	var m matrix
	pass := func(d drivers.Driver, version string) drivers.Report {
		r := drivers.Report{Driver: d}
		for _, name := range drivers.Steps {
			r.Steps = append(r.Steps, drivers.Step{Step: name, OK: true, Detail: "Neo4j/1 over Bolt " + version})
		}
		return r
	}
	for _, gate := range []bool{true, false} {
		for _, lab := range labs.All() {
			for _, d := range drivers.All() {
				if _, err := m.page(); err == nil {
					t.Fatalf("a page without %s on %s", d.Name, lab.Name)
				}
				m.driver(gate, lab, pass(d, "5.8"))
			}
		}
	}
	worse := pass(drivers.Named("Go"), "5.8")
	worse.Steps[3].OK = false
	m.driver(true, labs.HA, worse)
	m.driver(true, labs.HA, pass(drivers.Named("Go"), "5.8"))
	text, err := m.page()
	if err != nil || !strings.Contains(text, "| Go v5.28.4 | fails | Bolt 5.8 |") {
		t.Fatalf("%v\n%s", err, text)
	}
}

func TestAListOfProceduresIsHeldAgainstTheTable(t *testing.T) {
	got := holdAgainstTable(map[string]string{
		"db.labels": "READ", "db.createLabel": "WRITE", "dbms.killQuery": "DBMS", "db.checkpoint": "READ",
		"db.indexes": "SCHEMA", "db.propertyKeys": "WRITE", "dbms.components": "DBMS", "my.look": "READ", "my.change": "WRITE",
	})
	want := tableFindings{missed: []string{"db.indexes", "db.propertyKeys"}, dbms: []string{"dbms.components"}, unknown: []string{"my.change", "my.look"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}
