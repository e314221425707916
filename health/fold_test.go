package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func TestFold(t *testing.T) {
	for name, c := range map[string]struct {
		answers    string // g or b, one a check
		rise, fall int
		up         string // u or d, after each
	}{
		"one good answer is enough for rise 1":    {"g", 1, 2, "u"},
		"one bad answer is too few for fall 2":    {"gbgbg", 1, 2, "uuuuu"},
		"two bad answers in a row":                {"gbbg", 1, 2, "uudu"},
		"rise 3 counts answers in a row":          {"ggbggg", 3, 1, "dddddu"},
		"a member that never answered stays down": {"bbb", 1, 2, "ddd"},
		"fall 1 takes it out at the first":        {"gb", 1, 1, "ud"},
		"an interrupted fall begins anew":         {"gbbgbb", 1, 3, "uuuuuu"},
	} {
		t.Run(name, func(t *testing.T) {
			var s streak
			got := ""
			for _, a := range c.answers {
				s = fold(s, a == 'g', c.rise, c.fall)
				got += map[bool]string{true: "u", false: "d"}[s.Up]
			}
			if got != c.up {
				t.Errorf("got %s, want %s", got, c.up)
			}
		})
	}
}

// Whatever members say, a View made of it has at most one leader for each database.
func TestNoViewHasTwoLeaders(t *testing.T) {
	databases := []string{cluster.AnyDatabase, "neo4j", "orders", "system"}
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var words []word
		for i := range 1 + rnd.IntN(5) {
			w := word{member: fmt.Sprint("s", i), fresh: rnd.IntN(3) > 0, roles: map[string]cluster.Role{}, names: map[string]string{}}
			for _, db := range databases {
				if rnd.IntN(2) == 0 {
					w.roles[db] = cluster.Role(rnd.IntN(4))
				}
				if rnd.IntN(2) == 0 {
					w.names[db] = fmt.Sprint("s", rnd.IntN(6))
				}
			}
			words = append(words, w)
		}
		settled, _ := settle(words)
		for _, db := range databases {
			var leaders []string
			for _, w := range words {
				s := cluster.Status{Member: &cluster.Member{Name: w.member}, Up: true, Roles: settled[w.member]}
				if s.Role(db) == cluster.Leader {
					leaders = append(leaders, w.member)
				}
			}
			if len(leaders) > 1 {
				t.Fatalf("seed %d: %q is led by %v; words %+v", seed, db, leaders, words)
			}
		}
	}
}

func TestConclude(t *testing.T) {
	const u, ha, causal, auto, alone = cluster.UnknownGeneration, cluster.HA, cluster.Causal, cluster.Autonomous, cluster.Standalone
	type list = []cluster.Generation
	for name, c := range map[string]struct {
		configured, was cluster.Generation
		evidence        list
		members         int
		want            cluster.Generation
	}{
		"nothing known, nothing shown":               {u, u, list{u, u}, 2, u},
		"what one member shows":                      {u, u, list{u, ha}, 2, ha},
		"a conclusion survives silence":              {u, causal, nil, 3, causal},
		"a conclusion survives a stray member":       {u, causal, list{auto, causal, causal}, 3, causal},
		"a conclusion survives half of another kind": {u, causal, list{auto, auto}, 4, causal},
		"a conclusion yields to more than half":      {u, causal, list{auto, auto}, 3, auto},
		"standalone takes exactly one member":        {u, u, list{alone, alone}, 2, u},
		"standalone":                                 {u, u, list{alone}, 1, alone},
		"what is configured holds against evidence":  {ha, ha, list{causal}, 1, ha},
		"most members decide":                        {u, u, list{ha, causal, causal}, 3, causal},
	} {
		t.Run(name, func(t *testing.T) {
			if got := conclude(c.configured, c.was, c.evidence, c.members); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestCommonVersions(t *testing.T) {
	type list = []bolt.Version
	for name, c := range map[string]struct {
		lists []list
		want  list
	}{
		"none known":                       {[]list{nil, nil}, nil},
		"unknown ones do not count":        {[]list{nil, {bolt.V5_0, bolt.V4_4}}, list{bolt.V5_0, bolt.V4_4}},
		"what all share":                   {[]list{{bolt.V5_8, bolt.V5_0, bolt.V4_4}, {bolt.V5_0, bolt.V4_4, bolt.V3}}, list{bolt.V5_0, bolt.V4_4}},
		"nothing in common is not unknown": {[]list{{bolt.V3}, {bolt.V5_0}, {bolt.V3}}, list{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := common(c.lists)
			if !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestParseVersion(t *testing.T) {
	for agent, want := range map[string][3]int{
		"Neo4j/5.26.0": {5, 26, 0}, "4.4.48": {4, 4, 48}, "Neo4j/2026.08.1": {2026, 8, 1}, "Neo4j/3.5.0-beta03": {3, 5, 0}, "Neo4j/4.0": {4, 0, 0},
		"Neo4j/v5.11.0 compatible graph database server - Memgraph": {}, "": {}, "NornicDB/0.1.0": {}, "Neo4j/99999999999999999999.1": {},
	} {
		major, minor, patch := parseVersion(agent)
		if got := [3]int{major, minor, patch}; got != want {
			t.Errorf("%q: got %v, want %v", agent, got, want)
		}
	}
}

func TestEvidenceOfShowDatabases(t *testing.T) {
	row := func(db, address string, role cluster.Role) hosting {
		return hosting{db: db, address: address, addressed: address != "", role: role, online: true}
	}
	for name, c := range map[string]struct {
		rows  []hosting
		major int
		want  cluster.Generation
	}{
		"nothing seen":               {nil, 5, cluster.UnknownGeneration},
		"5.x: system at one address": {[]hosting{row("neo4j", "a", cluster.Leader), row("system", "a", cluster.Leader)}, 5, cluster.Standalone},
		"5.x: one database at one address may be in a cluster": {[]hosting{row("neo4j", "a", cluster.Leader)}, 5, cluster.UnknownGeneration},
		"5.x: system at two addresses":                         {[]hosting{row("system", "a", cluster.Leader), row("system", "b", cluster.Follower)}, 5, cluster.Autonomous},
		"5.x: two servers that share an address":               {[]hosting{{db: "system", address: "a", addressed: true, ambiguous: true}}, 2026, cluster.Autonomous},
		"4.x: a leader, though it lists nobody else":           {[]hosting{row("system", "a", cluster.Leader)}, 4, cluster.Causal},
		"4.x: role standalone":                                 {[]hosting{{db: "system", standalone: true}}, 4, cluster.Standalone},
		"rows without addresses":                               {[]hosting{row("system", "", cluster.Unknown)}, 5, cluster.UnknownGeneration},
	} {
		t.Run(name, func(t *testing.T) {
			if got := evidenceOf(c.rows, c.major); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
