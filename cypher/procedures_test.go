package cypher

import (
	"regexp"
	"strings"
	"testing"
)

func TestProcedures(t *testing.T) {
	type entry struct{ how, name, mode string }
	for _, tc := range []struct {
		name    string
		entries []entry
		call    string
		want    string
	}{
		{"an unknown procedure", nil, "my.proc", "write s"},
		{"one that asks a service about texts", nil, "apoc.nlp.gcp.entities.stream", "read"},
		{"its kin that may store the answer", nil, "apoc.nlp.gcp.entities.graph", "write"},
		{"a listed read", []entry{{"add", "my.proc", "READ"}}, "my.proc", "read"},
		{"a listed read in another case", []entry{{"add", "my.proc", "READ"}}, "My.Proc", "write s"},
		{"a listed write", []entry{{"add", "my.proc", "WRITE"}}, "my.proc", "write s"},
		{"a listed schema write", []entry{{"add", "my.proc", "schema"}}, "my.proc", "write s"},
		{"mode dbms says nothing", []entry{{"add", "my.proc", "DBMS"}}, "my.proc", "write s"},
		{"mode dbms leaves a built-in read", []entry{{"add", "dbms.components", "DBMS"}}, "dbms.components", "read"},
		{"mode read leaves a built-in write", []entry{{"add", "apoc.cypher.runTimeboxed", "READ"}}, "apoc.cypher.runTimeboxed", "write s"},
		{"mode read leaves the rule for algorithms", []entry{{"add", "gds.graph.drop", "READ"}}, "gds.graph.drop", "write so"},
		{"mode write makes a built-in read a write", []entry{{"add", "db.labels", "WRITE"}}, "db.labels", "write s"},
		{"the operator's read wins over the table", []entry{{"set", "apoc.export.csv.query", "read"}}, "apoc.export.csv.query", "read so"},
		{"the operator's read wins over a listing", []entry{{"set", "my.proc", "read"}, {"add", "my.proc", "WRITE"}}, "my.proc", "read"},
		{"the operator's write wins over a listing", []entry{{"add", "my.proc", "READ"}, {"set", "my.proc", "write"}}, "my.proc", "write s"},
		{"a namespace", []entry{{"set", "my.*", "read"}}, "my.a.b", "read"},
		{"the inner namespace wins", []entry{{"set", "my.*", "read"}, {"set", "my.a.*", "write"}}, "my.a.b", "write s"},
		{"a name wins over its namespace", []entry{{"set", "my.*", "read"}, {"set", "my.x", "write"}}, "my.x", "write s"},
		{"a namespace is no prefix", []entry{{"set", "my.*", "read"}}, "mine.x", "write s"},
		{"a namespace does not stand for itself", []entry{{"set", "my.*", "read"}}, "my", "write s"},
		{"a star is no wildcard in the middle", []entry{{"set", "m*.x", "read"}}, "my.x", "write s"},
		{"members that differ: a write", []entry{{"add", "my.proc", "READ"}, {"add", "my.proc", "WRITE"}}, "my.proc", "write s"},
		{"members that differ, in the other order", []entry{{"add", "my.proc", "WRITE"}, {"add", "my.proc", "READ"}}, "my.proc", "write s"},
		{"a listing leaves flags", []entry{{"add", "dbms.listQueries", "READ"}}, "dbms.listQueries", "read o"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			procs := new(Procedures)
			for _, e := range tc.entries {
				put := procs.Add
				if e.how == "set" {
					put = procs.Set
				}
				if err := put(e.name, e.mode); err != nil {
					t.Fatal(err)
				}
			}
			if got := ClassifyString("CALL "+tc.call+"()", procs).flags(); got != tc.want {
				t.Errorf("got %s; want %s", got, tc.want)
			}
		})
	}
}

// The operator's namespace wins over a member's list, which names procedures one by one.
func TestProceduresOver(t *testing.T) {
	var operator, members Procedures
	for _, err := range []error{operator.Set("my.*", "write"), members.Add("my.look", "READ"), members.Add("other.look", "READ")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		table  *Procedures
		mine   string
		others string
		n      int
	}{
		{"both", operator.Over(&members), "write s", "read", 3},
		{"the operator alone", operator.Over(nil), "write s", "write s", 1},
		{"the members alone", (*Procedures)(nil).Over(&members), "read", "read", 2},
		{"neither", (*Procedures)(nil).Over(nil), "write s", "write s", 0},
	} {
		mine, others := ClassifyString("CALL my.look()", tc.table).flags(), ClassifyString("CALL other.look()", tc.table).flags()
		if mine != tc.mine || others != tc.others || tc.table.Len() != tc.n {
			t.Errorf("%s: my.look is a %s, other.look a %s, of %d; want %s, %s, %d", tc.name, mine, others, tc.table.Len(), tc.mine, tc.others, tc.n)
		}
	}
}

func TestProceduresRefuse(t *testing.T) {
	var procs Procedures
	for _, tc := range []struct{ name, mode string }{{"", "read"}, {"a.b", ""}, {"a.b", "readonly"}, {strings.Repeat("a", maxProcedure+1), "read"}} {
		if err := procs.Add(tc.name, tc.mode); err == nil {
			t.Errorf("Add(%q, %q) succeeded", tc.name, tc.mode)
		}
		if err := procs.Set(tc.name, tc.mode); err == nil {
			t.Errorf("Set(%q, %q) succeeded", tc.name, tc.mode)
		}
	}
	if n := procs.Len(); n != 0 {
		t.Errorf("%d procedures were added", n)
	}
}

func TestBuiltinTable(t *testing.T) {
	n, prefix := 0, ""
	for _, group := range builtinProcedures {
		if group.access == Read && (group.commits || group.users) {
			t.Errorf("a group of reads commits or changes users: %.40s", group.names)
		}
		for _, name := range strings.Fields(group.names) {
			if strings.HasSuffix(name, ".") {
				prefix = name
				continue
			}
			n++
			name = prefix + name
			if len(name) > maxProcedure || strings.Contains(name, "..") || strings.ToLower(name[:1]) != name[:1] {
				t.Errorf("malformed name %q", name)
			}
			if e := builtin()[name]; e.access != group.access {
				t.Errorf("%s stands in two groups", name)
			}
		}
	}
	if got := len(builtin()); got != n || n < 700 {
		t.Errorf("the table has %d names, its source %d", got, n)
	}
}

// Names of those families that only read must not be joined by one whose name says that it acts.
func TestBuiltinReadsAreNamedLikeReads(t *testing.T) {
	acts := []string{"delete", "remove", "drop", "kill", "upsert", "insert", "setproperty", "addlabels", "install", "refactor.", "merge.node",
		"periodic.commit", "periodic.iterate", "runmany", "runwrite", "doit", "createindex", "grant", "password"}
	pure := []string{"apoc.map.", "apoc.coll."} // functions of old versions, which only compute
	// Of mode DBMS nothing but the name tells who acts. What tx.setMetaData sets is of its own transaction.
	own := regexp.MustCompile(`^(dbms|db|fleetManagement)\..*\b(add|activate|change|clear|collect|cordon|create|deallocate|debug|disable|enable|move|prepare|quarantine|reallocate|recreate|register|resample|restart|set|start|stop|suspend|switch|terminate|toggle|uncordon|unquarantine|upgrade$)[^.]*$`)
	for name, e := range builtin() {
		if e.access == Write {
			continue
		}
		if own.MatchString(name) {
			t.Errorf("%s counts as a read", name)
		}
		for _, word := range acts {
			if strings.Contains(strings.ToLower(name), word) && !strings.HasPrefix(name, pure[0]) && !strings.HasPrefix(name, pure[1]) {
				t.Errorf("%s counts as a read", name)
			}
		}
	}
}

func TestACarefulTableTakesNoMembersWordForARead(t *testing.T) {
	listed, operator := new(Procedures), new(Procedures)
	for name, mode := range map[string]string{"their.read": "read", "their.write": "write", "ours.read": "read", "ours.late": "write", "db.labels": "write"} {
		if err := listed.Add(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := operator.Set("ours.*", "read"); err != nil {
		t.Fatal(err)
	}
	both := operator.Over(listed)
	careful := both.Careful()
	for name, want := range map[string]Access{"their.read": Write, "their.write": Write, "ours.read": Read, "ours.late": Read, "db.labels": Write, "db.propertyKeys": Read} {
		if v := ClassifyString("CALL "+name+"()", careful); v.Access != want {
			t.Errorf("%s is a %v: %s", name, v.Access, v.Reason)
		}
	}
	if v := ClassifyString("CALL their.read()", both); v.Access != Read {
		t.Errorf("the table itself has changed: %s", v.Reason)
	}
	if (*Procedures)(nil).Careful() != nil {
		t.Error("nothing became something")
	}
}
