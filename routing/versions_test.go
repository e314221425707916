package routing

import (
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func TestOutdated(t *testing.T) {
	tests := []struct {
		name    string
		policy  Policy
		view    []string
		version bolt.Version
		utc     bool
		want    string // the member that does not speak it
	}{
		{"all speak it", Policy{}, []string{"a leader", "b follower"}, bolt.V5_8, false, ""},
		{"the leader does not", Policy{}, []string{"b follower", "a leader v4.4"}, bolt.V5_8, false, "a"},
		{"only a follower does not", Policy{}, []string{"a leader", "b follower v4.4"}, bolt.V5_8, false, ""},
		{"a leader that is down has no say", Policy{}, []string{"a leader v4.4 down", "b follower"}, bolt.V5_8, false, ""},
		{"nor has one that is drained", Policy{}, []string{"a leader v4.4 drain", "b follower"}, bolt.V5_8, false, ""},
		{"nor one whose versions are not known", Policy{}, []string{"a leader mute"}, bolt.V5_8, false, ""},
		{"the leader does not take the patch", Policy{}, []string{"a leader v4.4", "b follower utc"}, bolt.V4_4, true, "a"},
		{"it does", Policy{}, []string{"a leader v4.4 utc"}, bolt.V4_4, true, ""},
		{"without the patch it does not matter", Policy{}, []string{"a leader v4.4"}, bolt.V4_4, false, ""},
		{"from 5.0 on there is no patch", Policy{}, []string{"a leader"}, bolt.V5_8, true, ""},
		{"the frontend's member counts", Policy{Member: "b"}, []string{"a leader", "b follower v4.4"}, bolt.V5_8, false, "b"},
		{"and nobody else", Policy{Member: "b"}, []string{"a leader v4.4", "b follower"}, bolt.V5_8, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if s := (&Router{Policy: test.policy}).Outdated(view(test.view...), test.version, test.utc); s != nil {
				got = s.Name
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestLeadersOfWhichDatabasesMakeASessionOutdated(t *testing.T) {
	for db, want := range map[string]bool{"neo4j": true, "movies": true, cluster.AnyDatabase: true, "system": false} {
		v := view("a", "b v4.4")
		v.Members[1].Roles[db] = cluster.Leader
		if got := new(Router).Outdated(v, bolt.V5_8, false) != nil; got != want {
			t.Errorf("a leader of %q that speaks 4.4 alone: got %v, want %v", db, got, want)
		}
	}
}

// TestAnOfferedVersionIsNeverOutdated: a session that has just agreed on a version must not be sent away for it, or its
// driver would come back for ever.
func TestAnOfferedVersionIsNeverOutdated(t *testing.T) {
	v := view("a leader v4.4", "b follower", "c replica mute")
	for _, offered := range bolt.Common(v.Members[0].Versions, v.Members[1].Versions) {
		if s := new(Router).Outdated(v, offered, false); s != nil {
			t.Errorf("%v is outdated by %s", offered, s.Name)
		}
	}
}
