package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// mute are four members that tell roles to nobody without a login.
func mute(agent string, versions ...bolt.Version) []*fakeMember {
	var all []*fakeMember
	for _, name := range []string{"s1", "s2", "s3", "r1"} {
		all = append(all, &fakeMember{name: name, bolt: name + ":7687", login: "neo4j:secret", agent: agent, versions: versions})
	}
	return all
}

// tell is a table as member gives it to a client's login.
func (r *rig) tell(member, server, db string, writer string, others ...string) *cluster.Table {
	t := &cluster.Table{Asked: time.Now(), Member: member, Server: server, DB: db, Home: db == "neo4j", Routers: []string{"s1:7687", "s2:7687", "s3:7687"}}
	if writer != "" {
		t.Writers = []string{writer + ":7687"}
	}
	for _, name := range others {
		t.Readers = append(t.Readers, name+":7687")
	}
	r.current.Tell(t)
	return t
}

func TestTablesTellRolesWhereChecksAreTurnedAway(t *testing.T) {
	run(t, Options{}, mute("Neo4j/5.0.0", bolt.V5_0), func(r *rig) {
		v := r.after(5 * time.Second)
		if !v.Blind || v.Generation != cluster.UnknownGeneration || v.Leader("neo4j") != nil {
			r.Fatalf("got blind %v, generation %v", v.Blind, v.Generation)
		}
		r.tell("s2", "Neo4j/5.0.0", "neo4j", "s1", "s2", "s3", "r1")
		v = r.after(time.Second)
		r.want(v, "neo4j", "s1=leader s2=follower s3=follower r1=replica")
		if v.Generation != cluster.Autonomous || v.Default != "neo4j" || !v.Blind {
			r.Errorf("got generation %v, default %q, blind %v", v.Generation, v.Default, v.Blind)
		}
		if v.Member("s2").Agent != "Neo4j/5.0.0" || !v.Member("s2").UTC {
			r.Errorf("got agent %q, UTC %v; the table says who was asked", v.Member("s2").Agent, v.Member("s2").UTC)
		}
		r.tell("s2", "Neo4j/5.0.0", "orders", "s3", "s2")
		r.want(r.after(time.Second), "orders", "s1=unknown s2=follower s3=leader r1=unknown")
		if r.logs.with("cluster.check.user is not set") != 1 {
			r.Errorf("the missing login is not warned of: %q", r.logs.lines)
		}
	})
}

func TestTablesOf3xAreForAllDatabases(t *testing.T) {
	run(t, Options{}, mute("Neo4j/3.5.35", bolt.V3), func(r *rig) {
		r.after(5 * time.Second)
		r.tell("s2", "Neo4j/3.5.35", "", "s1", "s2", "s3", "r1")
		v := r.after(time.Second)
		r.want(v, "", "s1=leader s2=follower s3=follower r1=replica")
		if v.Generation != cluster.Causal {
			r.Errorf("got generation %v", v.Generation)
		}
		r.current.Report("s1", "", cluster.NotALeader)
		r.want(r.after(0), "", "s1=follower s2=follower s3=follower r1=replica")
	})
}

func TestATableWithoutADatabaseIsTheDefaultOnes(t *testing.T) {
	run(t, Options{}, mute("Neo4j/4.1.0", bolt.V(4, 1)), func(r *rig) {
		r.after(5 * time.Second)
		r.tell("s2", "Neo4j/4.1.0", "", "s1", "s2")
		v := r.after(time.Second)
		r.want(v, "", "s1=leader s2=follower s3=unknown r1=unknown")
		if v.Default != "neo4j" {
			r.Errorf("got default %q", v.Default)
		}
	})
}

func TestASingleAddressIsNoEvidence(t *testing.T) {
	run(t, Options{}, mute("Neo4j/5.26.0", bolt.V5_0), func(r *rig) {
		r.after(5 * time.Second)
		r.current.Tell(&cluster.Table{Asked: time.Now(), Member: "s1", Server: "Neo4j/5.26.0", DB: "neo4j",
			Writers: []string{"s1:7687"}, Readers: []string{"s1:7687"}, Routers: []string{"s1:7687"}})
		v := r.after(time.Second)
		r.want(v, "neo4j", "s1=unknown s2=unknown s3=unknown r1=unknown")
		if v.Generation != cluster.UnknownGeneration {
			r.Errorf("got generation %v", v.Generation)
		}
	})
}

func TestARefusalCountsAgainstOlderTables(t *testing.T) {
	run(t, Options{Interval: time.Hour}, mute("Neo4j/5.0.0", bolt.V5_0), func(r *rig) {
		r.after(time.Second)
		old := r.tell("s2", "Neo4j/5.0.0", "neo4j", "s1", "s2", "s3")
		r.after(time.Second)
		r.current.Report("s1", "", cluster.NotALeader)
		r.want(r.after(0), "neo4j", "s1=follower s2=follower s3=follower r1=unknown")
		r.current.Tell(old) // asked before, answered late
		r.want(r.after(0), "neo4j", "s1=follower s2=follower s3=follower r1=unknown")
		r.after(time.Millisecond)
		r.tell("s2", "Neo4j/5.0.0", "neo4j", "s1", "s2", "s3") // it was elected again
		r.want(r.after(0), "neo4j", "s1=leader s2=follower s3=follower r1=unknown")
	})
}

func TestTablesThatDisagreeAreVotes(t *testing.T) {
	run(t, Options{Interval: time.Hour}, mute("Neo4j/5.0.0", bolt.V5_0), func(r *rig) {
		r.after(time.Second)
		r.tell("s1", "Neo4j/5.0.0", "neo4j", "s1", "s2", "s3") // cut off, it still takes itself for the leader
		r.want(r.after(0), "neo4j", "s1=leader s2=follower s3=follower r1=unknown")
		r.tell("s2", "Neo4j/5.0.0", "neo4j", "s2", "s3")
		r.want(r.after(0), "neo4j", "s1=unknown s2=unknown s3=follower r1=unknown") // a tie: nobody
		r.tell("s3", "Neo4j/5.0.0", "neo4j", "s2", "s3")
		r.want(r.after(0), "neo4j", "s1=unknown s2=leader s3=follower r1=unknown")
	})
}

func TestTablesDoNotCountForEverNorFromMembersThatAreDown(t *testing.T) {
	run(t, Options{}, mute("Neo4j/5.0.0", bolt.V5_0), func(r *rig) {
		r.after(5 * time.Second)
		r.tell("s2", "Neo4j/5.0.0", "neo4j", "s1", "s2", "s3")
		r.want(r.after(time.Second), "neo4j", "s1=leader s2=follower s3=follower r1=unknown")
		r.cut(r.members[1], true)
		r.want(r.after(5*time.Second), "neo4j", "s1=unknown s2=down s3=unknown r1=unknown")
		r.cut(r.members[1], false)
		r.want(r.after(5*time.Second), "neo4j", "s1=leader s2=follower s3=follower r1=unknown")
		r.want(r.after(30*time.Second), "neo4j", "s1=unknown s2=unknown s3=unknown r1=unknown")
	})
}

func TestMembersThatTellChecksAreBelievedBeforeTables(t *testing.T) {
	run(t, Options{}, three("5.26.0").fakes(), func(r *rig) {
		v := r.after(5 * time.Second)
		if v.Blind {
			r.Error("checks that learn roles are called blind")
		}
		r.current.Tell(&cluster.Table{Asked: time.Now(), Member: "s3", Server: "Neo4j/5.26.0", DB: "neo4j",
			Writers: []string{"s3:7687"}, Readers: []string{"s1:7687"}, Routers: []string{"s1:7687"}})
		r.want(r.after(time.Second), "neo4j", "s1=leader s2=follower s3=follower s4=replica")
	})
}

func TestAStrangerInATableIsWarnedOf(t *testing.T) {
	run(t, Options{}, mute("Neo4j/5.0.0", bolt.V5_0), func(r *rig) {
		r.after(5 * time.Second)
		r.tell("s2", "Neo4j/5.0.0", "neo4j", "inside-1", "s2", "s3")
		r.want(r.after(time.Second), "neo4j", "s1=unknown s2=follower s3=follower r1=unknown")
		if r.logs.with("address=inside-1:7687") != 1 {
			r.Errorf("nobody was told which address is unknown: %q", r.logs.lines)
		}
	})
}
