package health

import (
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// says makes a word on the database neo4j.
func says(member string, fresh bool, role cluster.Role, names string) word {
	w := word{member: member, fresh: fresh, roles: map[string]cluster.Role{"neo4j": role}, names: map[string]string{}}
	if names != "" {
		w.names["neo4j"] = names
	}
	return w
}

// in adds the term that the member tells.
func (w word) in(term int64) word {
	w.terms = map[string]int64{"neo4j": term}
	return w
}

// when adds when it answered, and since when it names whom it names, or claims, in seconds.
func (w word) when(answered, since int) word {
	second := func(n int) time.Time { return time.Unix(int64(n), 0) }
	w.at, w.since, w.leads = second(answered), map[string]time.Time{"neo4j": second(since)}, map[string]time.Time{"neo4j": second(since)}
	return w
}

func TestLeaders(t *testing.T) {
	const l, f, r, none = cluster.Leader, cluster.Follower, cluster.Replica, cluster.Unknown
	for name, c := range map[string]struct {
		words    []word
		want     string
		disputed bool
	}{
		"one claimant needs no votes":                           {[]word{says("s1", true, l, ""), says("s2", true, f, "")}, "s1", false},
		"nobody claims, whatever others say":                    {[]word{says("s1", true, f, "s2"), says("s2", true, f, "s1")}, "", false},
		"of two, the one that most name":                        {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2"), says("s3", true, f, "s2")}, "s2", true},
		"of two, equally named, neither":                        {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2")}, "", true},
		"of two that name nobody, neither":                      {[]word{says("s1", true, l, ""), says("s2", true, l, ""), says("s3", true, f, "")}, "", true},
		"votes for a third who does not claim decide nothing":   {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2"), says("s3", true, f, "s3")}, "", true},
		"a claimant that stopped answering gives way":           {[]word{says("s1", false, l, "s1"), says("s2", true, l, "s2")}, "s2", false},
		"a claimant that stopped answering holds if alone":      {[]word{says("s1", false, l, "s1"), says("s2", true, f, "s1")}, "s1", false},
		"what a member that stopped answering named is no vote": {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2"), says("s3", false, f, "s2")}, "", true},
		"a claimant may itself name the other":                  {[]word{says("s1", true, l, "s2"), says("s2", true, l, "s2")}, "s2", true},
		"of three, a strict majority is not needed":             {[]word{says("s1", true, l, ""), says("s2", true, l, ""), says("s3", true, l, "s1")}, "s1", true},
		"replicas hear late and have no vote": {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2"), says("s3", true, f, "s2"),
			says("r1", true, r, "s1"), says("r2", true, r, "s1"), says("r3", true, r, "s1")}, "s2", true},
		"nor have members that do not host the database": {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2"), says("s3", true, none, "s1")}, "", true},

		"equally named: the higher term":         {[]word{says("s1", true, l, "s1").in(3), says("s2", true, l, "s2").in(4)}, "s2", true},
		"equal terms too: neither":               {[]word{says("s1", true, l, "s1").in(4), says("s2", true, l, "s2").in(4)}, "", true},
		"one tells its term, the other does not": {[]word{says("s1", true, l, "s1"), says("s2", true, l, "s2").in(1)}, "s2", true},
		"votes come before terms":                {[]word{says("s1", true, l, "s1").in(9), says("s2", true, l, "s2").in(4), says("s3", true, f, "s2").in(4)}, "s2", true},
		"a follower's term is no claim":          {[]word{says("s1", true, l, "s1").in(3), says("s2", true, l, "s2").in(4), says("s3", true, none, "s1").in(9)}, "s2", true},

		"outvoted by those who name one not heard yet": {[]word{says("s1", true, l, "s1").when(12, 0), says("s2", true, f, "s1").when(10, 0),
			says("s3", true, f, "s2").when(11, 11), says("s4", true, f, "s2").when(11, 11), says("s5", true, f, "s2").when(11, 11)}, "", true},
		"who is named has answered since, and does not claim": {[]word{says("s1", true, l, "s1").when(12, 0), says("s2", true, f, "s1").when(13, 0),
			says("s3", true, f, "s2").when(11, 11), says("s4", true, f, "s2").when(11, 11), says("s5", true, f, "s2").when(11, 11)}, "s1", false},
		"as many for another": {[]word{says("s1", true, l, "s1").when(12, 0), says("s3", true, f, "s2").when(11, 11)}, "", true},
		"one for another, two for the claimant: they are asked again, and writes go on": {[]word{says("s1", true, l, "s1").when(12, 0),
			says("s2", true, f, "s1").when(10, 0), says("s3", true, f, "s2").when(11, 11)}, "s1", true},
		"the new leader was heard to claim, and is not heard any more": {[]word{says("s1", true, l, "s1").when(14, 0), says("s2", false, l, "s2").when(12, 11),
			says("s3", true, f, "s2").when(14, 11)}, "", true},
		"more name one that nobody reaches": {[]word{says("s1", true, l, "s1").when(12, 0), says("s2", true, f, "s9").when(12, 5), says("s3", true, f, "s9").when(12, 5)}, "", true},
		"the lost leader's old followers do not hold up its successor": {[]word{says("s1", false, l, "s1").when(10, 0), says("s2", true, l, "s2").when(15, 15),
			says("s3", true, f, "s1").when(9, 1), says("s4", true, f, "s1").when(9, 1)}, "s2", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range []string{"as given", "in reverse"} {
				if v := leaders(c.words)["neo4j"]; v.leader != c.want || v.disputed() != c.disputed {
					t.Errorf("%s: got %q, disputed %v; want %q, %v (%+v)", order, v.leader, v.disputed(), c.want, c.disputed, v)
				}
				slices.Reverse(c.words)
			}
		})
	}
}

func TestNamingsSayHowLongTheyHold(t *testing.T) {
	at := func(second int, id string) *answer {
		a := newAnswer("s1", time.Unix(int64(second), 0))
		a.named["neo4j"], a.namedIDs["neo4j"], a.named["orders"] = "s1:7687", id, "s2:7687"
		return a
	}
	n := namings(nil).after(at(1, "one")).after(at(2, "one")).after(at(3, "two")).after(at(4, "two"))
	if since := n.since(); since["neo4j"] != time.Unix(3, 0) || since["orders"] != time.Unix(1, 0) {
		t.Errorf("got %v; want neo4j since 3, orders since 1", since)
	}
}

// TestADatabaseWhoseLeaderIsDisputedIsStillHosted: with no entry at all it would look like one that nobody knows, and work on such
// a database is sent to anybody, for the refusal.
func TestADatabaseWhoseLeaderIsDisputedIsStillHosted(t *testing.T) {
	settled, _ := settle([]word{says("s1", true, cluster.Leader, "s1"), says("s2", true, cluster.Leader, "s2")})
	for _, name := range []string{"s1", "s2"} {
		if role, ok := settled[name]["neo4j"]; !ok || role != cluster.Unknown {
			t.Errorf("%s: got %v, %v; want an entry that says unknown", name, role, ok)
		}
	}
}
