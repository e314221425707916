package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

const discovery3 = `{"data":"http://h:7474/db/data/","management":"http://h:7474/db/manage/","bolt":"bolt://h:7687"}`

func discovery(version, edition string) page {
	return page{200, fmt.Sprintf(`{"bolt_direct":"bolt://h:7687","neo4j_version":%q,"neo4j_edition":%q}`, version, edition)}
}

// haMember is a 3.5 HA member in the given role: master, slave, or UNKNOWN.
func haMember(name, role string) *fakeMember {
	f := &fakeMember{name: name, bolt: name + ":7687", http: name + ":7474", agent: "Neo4j/3.5.0",
		versions: []bolt.Version{bolt.V3, bolt.V2, bolt.V1}, queries: map[string]func() scriptedResult{}}
	f.setHA(role)
	return f
}

func (f *fakeMember) setHA(role string) {
	says := func(yes bool) page {
		if yes {
			return page{200, "true"}
		}
		return page{404, "false"}
	}
	f.set(func() {
		f.pages = map[string]page{"/": {200, discovery3}}
		for _, p := range []string{"causalclustering/available", "causalclustering/writable", "core/available", "read-replica/available"} {
			f.pages[manage+p] = page{403, ""}
		}
		f.pages[manage+"ha/available"] = page{200, role}
		f.pages[manage+"ha/master"], f.pages[manage+"ha/slave"] = says(role == "master"), says(role == "slave")
		if role == "UNKNOWN" {
			for _, p := range []string{"available", "master", "slave"} {
				f.pages[manage+"ha/"+p] = page{404, "UNKNOWN"}
			}
		}
		f.queries[haBean] = func() scriptedResult {
			value := func(v any) map[string]any { return map[string]any{"description": "", "value": v} }
			attributes := map[string]any{"Role": value(role), "Available": value(role != "UNKNOWN")}
			return scriptedResult{fields: []string{"attributes"}, rows: [][]any{{attributes}}}
		}
		f.queries["CALL dbms.components()"] = components("enterprise")
	})
}

func components(edition string) func() scriptedResult {
	return func() scriptedResult {
		return scriptedResult{fields: []string{"name", "versions", "edition"}, rows: [][]any{{"Neo4j Kernel", []any{"x"}, edition}}}
	}
}

// causal3 is a member of a causal cluster of 3.5: LEADER, FOLLOWER or READ_REPLICA; leader is whom it takes for the leader.
func causal3(name, role, leader string) *fakeMember {
	f := &fakeMember{name: name, bolt: name + ":7687", http: name + ":7474", agent: "Neo4j/3.5.0",
		versions: []bolt.Version{bolt.V3, bolt.V2, bolt.V1}, queries: map[string]func() scriptedResult{}}
	f.setCausal3(role, leader)
	return f
}

func (f *fakeMember) setCausal3(role, leader string) {
	f.set(func() {
		f.pages = map[string]page{"/": {200, discovery3}}
		for _, p := range []string{"available", "master", "slave"} {
			f.pages[manage+"ha/"+p] = page{403, ""}
		}
		yes, no, other := page{200, "true"}, page{404, "false"}, page{403, ""}
		of := func(l, fo, rr page) page {
			return map[string]page{"LEADER": l, "FOLLOWER": fo, "READ_REPLICA": rr}[role]
		}
		for path, p := range map[string]page{
			"core/writable": of(yes, no, other), "core/read-only": of(no, yes, other), "core/available": of(yes, yes, other),
			"read-replica/available": of(other, other, yes), "causalclustering/writable": of(yes, no, no),
			"causalclustering/read-only": of(no, yes, yes), "causalclustering/available": yes,
			"causalclustering/status": {200, fmt.Sprintf(`{"memberId":"id-%s","leader":"id-%s","core":%v,"healthy":true}`, f.name, leader, role != "READ_REPLICA")},
		} {
			f.pages[manage+path] = p
		}
		f.queries["CALL dbms.cluster.role()"] = func() scriptedResult {
			return scriptedResult{fields: []string{"role"}, rows: [][]any{{role}}}
		}
		f.queries["CALL dbms.cluster.overview()"] = func() scriptedResult {
			addresses := []any{"bolt://" + leader + ":7687", "http://" + leader + ":7474"}
			return scriptedResult{fields: []string{"id", "addresses", "role"}, rows: [][]any{{"id-" + leader, addresses, "LEADER"}}}
		}
		f.queries["CALL dbms.components()"] = components("enterprise")
	})
}

// without returns the members with one of their protocols taken away.
func without(protocol string, members ...*fakeMember) []*fakeMember {
	for _, f := range members {
		if protocol == "http" {
			f.http = ""
		} else {
			f.bolt = ""
		}
	}
	return members
}

func TestGenerationsAreFoundOut(t *testing.T) {
	ha := func() []*fakeMember {
		return []*fakeMember{haMember("s1", "slave"), haMember("s2", "master"), haMember("s3", "slave")}
	}
	causal := func() []*fakeMember {
		return []*fakeMember{causal3("s1", "LEADER", "s1"), causal3("s2", "FOLLOWER", "s1"), causal3("s3", "READ_REPLICA", "s1")}
	}
	old := func() []*fakeMember { // 3.1-3.3 have neither causalclustering/… nor status
		members := causal()
		for _, f := range members {
			for _, p := range []string{"writable", "read-only", "available", "status"} {
				delete(f.pages, manage+"causalclustering/"+p)
			}
		}
		return members
	}
	neither := func() []*fakeMember { // a store copy, for example
		members := causal()
		members[1].pages[manage+"causalclustering/read-only"] = page{404, "false"}
		return members
	}
	noStatus := func() []*fakeMember { // 3.4
		members := causal()
		for _, f := range members {
			delete(f.pages, manage+"causalclustering/status")
		}
		return members
	}
	for name, c := range map[string]struct {
		members    []*fakeMember
		generation cluster.Generation
		roles      string
	}{
		"HA by HTTP and Bolt":              {ha(), cluster.HA, "s1=follower s2=leader s3=follower"},
		"HA by HTTP alone":                 {without("bolt", ha()...), cluster.HA, "s1=follower s2=leader s3=follower"},
		"HA by Bolt alone":                 {without("http", ha()...), cluster.HA, "s1=follower s2=leader s3=follower"},
		"an HA member that elects is down": {[]*fakeMember{haMember("s1", "UNKNOWN"), haMember("s2", "master")}, cluster.HA, "s1=down s2=leader"},
		"a causal member that serves neither is down, whatever its Bolt side says": {neither(), cluster.Causal, "s1=leader s2=down s3=replica"},
		"causal 3.5 by HTTP and Bolt": {causal(), cluster.Causal, "s1=leader s2=follower s3=replica"},
		"causal 3.5 by Bolt alone":    {without("http", causal()...), cluster.Causal, "s1=leader s2=follower s3=replica"},
		"causal 3.4 by HTTP alone":    {without("bolt", noStatus()...), cluster.Causal, "s1=leader s2=follower s3=replica"},
		"causal 3.1 by HTTP alone":    {without("bolt", old()...), cluster.Causal, "s1=leader s2=follower s3=replica"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, Options{}, c.members, func(r *rig) {
				v := r.after(0)
				if v.Generation != c.generation {
					r.Errorf("generation: got %v, want %v", v.Generation, c.generation)
				}
				r.want(v, "", c.roles)
				for _, s := range v.Members {
					if s.Bolt != "" && s.Up && (s.Agent != "Neo4j/3.5.0" || !slices.Equal(s.Versions, []bolt.Version{bolt.V3, bolt.V2, bolt.V1})) {
						r.Errorf("%s: got agent %q, versions %v", s.Name, s.Agent, s.Versions)
					}
				}
				if c.members[0].http != "" && string(v.Discovery) != discovery3 {
					r.Errorf("discovery document: got %q", v.Discovery)
				}
			})
		})
	}
}

// standalone is a Community server.
func standalone(version string, versions ...bolt.Version) *fakeMember {
	return &fakeMember{name: "s1", bolt: "s1:7687", http: "s1:7474", agent: "Neo4j/" + version, versions: versions,
		pages:   map[string]page{"/": discovery(version, "community")},
		queries: map[string]func() scriptedResult{"CALL dbms.components()": components("community")}}
}

func TestStandaloneNeedsPositiveEvidence(t *testing.T) {
	show4 := func() scriptedResult {
		return scriptedResult{fields: []string{"name", "address", "role", "requestedStatus", "currentStatus", "error", "default"}, rows: [][]any{
			{"neo4j", "localhost:7687", "standalone", "online", "online", "", true},
			{"system", "localhost:7687", "standalone", "online", "online", "", false}}}
	}
	community4 := func() *fakeMember {
		f := standalone("4.4.48", bolt.V4_4, bolt.V4_3, bolt.V(4, 2), bolt.V4_1, bolt.V4_0, bolt.V3)
		f.queries["SHOW DATABASES"], f.patch = show4, true
		return f
	}
	closed := func(f *fakeMember) *fakeMember { f.login = "neo4j:secret"; return f }
	for name, c := range map[string]struct {
		member     *fakeMember
		o          Options
		generation cluster.Generation
		roles      string
		warnings   int
	}{
		"4.4 Community without authentication":      {member: community4(), generation: cluster.Standalone, roles: "s1=leader"},
		"4.4 Community with a login":                {closed(community4()), Options{User: "neo4j", Password: "secret"}, cluster.Standalone, "s1=leader", 0},
		"4.4 Community names its edition to anyone": {member: closed(community4()), generation: cluster.Standalone, roles: "s1=leader"},
		"by Bolt alone, refused":                    {without("http", closed(community4()))[0], Options{}, cluster.UnknownGeneration, "s1=unknown", 1},
		"by Bolt alone, logged in":                  {without("http", closed(community4()))[0], Options{User: "neo4j", Password: "secret"}, cluster.Standalone, "s1=leader", 0},
		"by Bolt alone, refused, but configured":    {without("http", closed(community4()))[0], Options{Generation: cluster.Standalone}, cluster.Standalone, "s1=leader", 0},
		"3.5 Community by its edition":              {without("http", standalone("3.5.35", bolt.V3, bolt.V2, bolt.V1))[0], Options{}, cluster.Standalone, "s1=leader", 0},
		"TCP alone shows nothing":                   {community4(), Options{Method: MethodTCP}, cluster.UnknownGeneration, "s1=unknown", 1},
		"TCP alone, configured":                     {community4(), Options{Method: MethodTCP, Generation: cluster.Standalone}, cluster.Standalone, "s1=leader", 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, c.o, []*fakeMember{c.member}, func(r *rig) {
				v := r.after(10 * time.Second)
				if v.Generation != c.generation {
					r.Errorf("generation: got %v, want %v", v.Generation, c.generation)
				}
				r.want(v, "", c.roles)
				if got := r.logs.with("level=WARN"); got != c.warnings {
					r.Errorf("warnings: got %d, want %d: %q", got, c.warnings, r.logs.lines)
				}
				if len(v.Versions) == 0 {
					r.Error("versions: got none")
				}
			})
		})
	}
}
