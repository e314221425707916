package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/standin"
)

// access is what a CALL of the stand-ins' own procedure is taken for.
func access(v *cluster.View, name string) cypher.Access {
	return cypher.ClassifyString("CALL "+name+"()", v.Procedures).Access
}

func TestProceduresAreLearnedFromMembers(t *testing.T) {
	for _, so := range []standin.Options{
		{Generation: cluster.HA}, {Generation: cluster.Causal, ServerVersion: "3.5.35"}, {Generation: cluster.Causal, ServerVersion: "4.1.9"},
		{Generation: cluster.Causal, ServerVersion: "4.4.48"}, {Generation: cluster.Autonomous}, {Generation: cluster.Standalone},
	} {
		t.Run(so.Generation.String()+" "+so.ServerVersion, func(t *testing.T) {
			over(t, so, Options{Interval: 20 * time.Second}, func(s *stand) {
				time.Sleep(time.Minute)
				v := s.current.View()
				if v.Procedures.Len() == 0 || access(v, "standin.read") != cypher.Read || access(v, "standin.write") != cypher.Write {
					t.Fatalf("%d procedures are known; standin.read is a %v, standin.write a %v",
						v.Procedures.Len(), access(v, "standin.read"), access(v, "standin.write"))
				}
				time.Sleep(3 * listEvery)
				if s.current.View().Procedures != v.Procedures {
					t.Error("the same lists made another table: what is kept by table is made anew")
				}
			})
		})
	}
}

// A list that members do not agree on is as careful as the most careful of them, and the table changes only with the lists.
func TestTheTableOfProcedures(t *testing.T) {
	var table procedureTable
	if table.of(nil) != nil {
		t.Error("no lists make a table")
	}
	read, write := []procedure{{"my.own", "READ"}}, []procedure{{"my.own", "WRITE"}, {"", "READ"}, {"odd", "SOMETHING"}}
	first := table.of([][]procedure{read})
	if table.of([][]procedure{read}) != first {
		t.Error("the same lists make another table")
	}
	for lists, want := range map[*[][]procedure]cypher.Access{
		{read}: cypher.Read, {read, write}: cypher.Write, {write, read}: cypher.Write, {read, read}: cypher.Read,
	} {
		if got := cypher.ClassifyString("CALL my.own()", table.of(*lists)).Access; got != want {
			t.Errorf("%v: a %v; want a %v", *lists, got, want)
		}
	}
}
