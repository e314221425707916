package routing

import (
	"testing"

	"github.com/boltgate/boltgate/cluster"
)

func TestMoved(t *testing.T) {
	write, read := Intent{DB: "Neo4j"}, Intent{DB: "neo4j", Mode: Read}
	for _, c := range []struct {
		name   string
		view   *cluster.View
		in     Intent
		policy Policy
		want   bool
	}{
		{"the leader still leads", view("a leader", "b follower"), write, Policy{}, false},
		{"another leads", view("a follower", "b leader"), write, Policy{}, true},
		{"nobody leads", view("a follower", "b follower"), write, Policy{}, true},
		{"a reader may lead by now", view("a leader", "b follower"), read, Policy{}, false},
		{"or be another's follower", view("a follower", "b leader"), read, Policy{}, false},
		{"a read that belongs at the leader", view("a follower", "b leader"), Intent{DB: "neo4j", Mode: Read, AtLeader: true}, Policy{}, true},
		{"a database that nobody knows has no leader", view("a follower", "b leader"), Intent{DB: "strange"}, Policy{}, false},
		{"the frontend has this member only", view("a follower", "b leader"), write, Policy{Member: "a"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Router{Policy: c.policy}
			if got := r.Moved(c.view, c.in, members(c.view, "a")[0]); got != c.want {
				t.Errorf("got %v; want %v", got, c.want)
			}
		})
	}
}
