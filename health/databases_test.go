package health

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// topology is what a scripted cluster of 4.x or newer looks like.
type topology struct {
	version   string            // of the servers
	members   []string          // names; each advertises <name>:7687 unless advertise says otherwise
	replicas  map[string]bool   // which of them are read replicas or secondaries
	leaders   map[string]string // by database
	stopped   map[string]bool   // databases
	starting  map[string]bool   // databases
	aliases   map[string][]any  // by database; 5.x
	advertise func(name string) string
}

func (c topology) address(name string) string {
	if c.advertise != nil {
		return c.advertise(name)
	}
	return name + ":7687"
}

// status is the JSON of one database's status as member name sees it.
func (c topology) status(name, db string) map[string]any {
	s := map[string]any{"memberId": "id-" + name, "core": !c.replicas[name], "healthy": true, "leader": nil}
	if l := c.leaders[db]; l != "" {
		s["leader"] = "id-" + l
	}
	return s
}

// show is SHOW DATABASES in the columns of major.
func (c topology) show(major int) scriptedResult {
	res := scriptedResult{fields: []string{"name", "address", "role", "requestedStatus", "currentStatus", "error", "default"}}
	if major >= 5 {
		res.fields = []string{"name", "type", "aliases", "access", "address", "role", "writer", "requestedStatus", "currentStatus",
			"statusMessage", "default", "home", "constituents"}
	}
	for _, db := range slices.Sorted(maps.Keys(c.leaders)) {
		for _, name := range c.members {
			res.rows = append(res.rows, c.row(major, db, name))
		}
	}
	return res
}

func (c topology) row(major int, db, name string) []any {
	requested, current, leads := "online", "online", c.leaders[db] == name
	if c.stopped[db] {
		requested, current = "offline", "offline"
	}
	if c.starting[db] {
		current = "starting"
	}
	aliases := c.aliases[db]
	if aliases == nil {
		aliases = []any{}
	}
	if major < 5 {
		role := map[bool]string{true: "leader", false: "follower"}[leads]
		if c.replicas[name] {
			role = "read_replica"
		}
		return []any{db, c.address(name), role, requested, current, "", db == "neo4j"}
	}
	role := map[bool]string{true: "secondary", false: "primary"}[c.replicas[name]]
	return []any{db, "standard", aliases, "read-write", c.address(name), role, leads, requested, current, "", db == "neo4j", db == "neo4j", []any{}}
}

// script makes f a member of the topology.
func (c topology) script(f *fakeMember) *fakeMember {
	major, minor, _ := parseVersion(c.version)
	f.set(func() {
		f.agent = "Neo4j/" + c.version
		f.pages = map[string]page{"/": discovery(c.version, "enterprise")}
		var all []map[string]any
		for _, db := range slices.Sorted(maps.Keys(c.leaders)) {
			s := c.status(f.name, db)
			all = append(all, map[string]any{"databaseName": db, "databaseUuid": "u", "databaseStatus": s})
			c.pages(f, db, s)
		}
		if minor >= 2 || major >= 5 {
			f.pages["/dbms/cluster/status"] = page{200, asJSON(all)}
		}
		f.queries = map[string]func() scriptedResult{
			"CALL dbms.components()": components("enterprise"),
			"SHOW DATABASES":         func() scriptedResult { return c.show(major) },
		}
		if major >= 5 {
			f.queries[advertised] = func() scriptedResult {
				return scriptedResult{fields: []string{"name", "value"}, rows: [][]any{{"server.bolt.advertised_address", c.address(f.name)}}}
			}
		}
	})
	return f
}

func (c topology) pages(f *fakeMember, db string, s map[string]any) {
	leads := c.leaders[db] == f.name
	writable, readOnly := page{404, "false"}, page{200, "true"}
	if leads {
		writable, readOnly = readOnly, writable
	}
	base := "/db/" + db + "/cluster/"
	f.pages[base+"writable"], f.pages[base+"read-only"], f.pages[base+"available"] = writable, readOnly, page{200, "true"}
	f.pages[base+"status"] = page{200, asJSON(s)}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (c topology) fakes() []*fakeMember {
	versions := bolt.Versions[slices.Index(bolt.Versions, bolt.V5_8):]
	versions = versions[:slices.Index(versions, bolt.V3)]
	if major, _, _ := parseVersion(c.version); major == 4 {
		versions = []bolt.Version{bolt.V4_4, bolt.V4_3, bolt.V(4, 2), bolt.V4_1, bolt.V4_0, bolt.V3}
	}
	var list []*fakeMember
	for _, name := range c.members {
		list = append(list, c.script(&fakeMember{name: name, bolt: name + ":7687", http: name + ":7474", versions: versions}))
	}
	return list
}

func three(version string) topology {
	return topology{version: version, members: []string{"s1", "s2", "s3", "s4"}, replicas: map[string]bool{"s4": true},
		leaders: map[string]string{"neo4j": "s1", "orders": "s2", "system": "s3"}}
}

func TestRolesAreKeptByDatabase(t *testing.T) {
	elsewhere := func(c topology) topology {
		c.advertise = func(name string) string { return name + ".example:7687" }
		return c
	}
	same := func(c topology) topology {
		c.advertise = func(string) string { return "localhost:7687" }
		return c
	}
	for name, c := range map[string]struct {
		members    []*fakeMember
		o          Options
		generation cluster.Generation
		strangers  int
	}{
		"5.26 by HTTP and Bolt":          {three("5.26.0").fakes(), Options{}, cluster.Autonomous, 0},
		"5.26 by HTTP alone":             {without("bolt", three("5.26.0").fakes()...), Options{Databases: []string{"orders"}}, cluster.Autonomous, 0},
		"5.26 by Bolt alone":             {without("http", three("5.26.0").fakes()...), Options{}, cluster.Autonomous, 0},
		"4.4 by HTTP and Bolt":           {three("4.4.36").fakes(), Options{}, cluster.Causal, 0},
		"4.4 by Bolt alone":              {without("http", three("4.4.36").fakes()...), Options{}, cluster.Causal, 0},
		"4.0 by HTTP alone, names given": {without("bolt", three("4.0.12").fakes()...), Options{Databases: []string{"orders"}}, cluster.Causal, 0},
		"5.26 by Bolt alone, members say their addresses themselves": {without("http", elsewhere(three("5.26.0")).fakes()...), Options{}, cluster.Autonomous, 0},
		"4.4 by Bolt alone, addresses mapped": {without("http", elsewhere(three("4.4.36")).fakes()...),
			Options{Addresses: map[string]string{"s1.example:7687": "s1:7687", "s2.example:7687": "s2:7687", "s3.example:7687": "s3:7687", "s4.example:7687": "s4:7687"}}, cluster.Causal, 0},
		"4.4 by HTTP, foreign addresses logged once": {elsewhere(three("4.4.36")).fakes(), Options{}, cluster.Causal, 4},
		"5.26 by HTTP, all advertise localhost":      {same(three("5.26.0")).fakes(), Options{}, cluster.Autonomous, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, c.o, c.members, func(r *rig) {
				v := r.after(20 * time.Second)
				if v.Generation != c.generation || v.Default != "neo4j" {
					r.Errorf("got generation %v, default %q", v.Generation, v.Default)
				}
				r.want(v, "", "s1=leader s2=follower s3=follower s4=replica")
				r.want(v, "orders", "s1=follower s2=leader s3=follower s4=replica")
				r.want(v, "system", "s1=follower s2=follower s3=leader s4=replica")
				r.want(v, "nosuch", "s1=unknown s2=unknown s3=unknown s4=unknown")
				if got := r.logs.with("advertised address"); got != c.strangers {
					r.Errorf("lines about foreign addresses: got %d, want %d: %q", got, c.strangers, r.logs.lines)
				}
			})
		})
	}
}

func TestA4xMemberIsAskedForItsRoleWhenNoRowIsKnownToBeItsOwn(t *testing.T) {
	c := three("4.4.36")
	c.advertise = func(name string) string { return name + ".example:7687" }
	members := without("http", c.fakes()...)
	for _, f := range members {
		f.queries["CALL dbms.cluster.role($db)"] = func() scriptedResult {
			role := map[bool]string{true: "LEADER", false: "FOLLOWER"}[f.name == "s1"]
			return scriptedResult{fields: []string{"role"}, rows: [][]any{{role}}}
		}
	}
	run(t, Options{}, members, func(r *rig) {
		r.want(r.after(0), "neo4j", "s1=leader s2=follower s3=follower s4=follower")
	})
}

func TestAStoppedDatabaseHasNoRoles(t *testing.T) {
	c := three("5.26.0")
	members := c.fakes()
	run(t, Options{}, members, func(r *rig) {
		r.want(r.after(0), "orders", "s1=follower s2=leader s3=follower s4=replica")
		c.stopped = map[string]bool{"orders": true}
		for _, f := range members {
			c.script(f)
		}
		v := r.after(3 * time.Second)
		r.want(v, "orders", "s1=unknown s2=unknown s3=unknown s4=unknown")
		r.want(v, "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		for _, s := range v.Members {
			if !s.Stopped["orders"] || s.Stopped["neo4j"] {
				r.Errorf("%s: got stopped %v, want orders alone", s.Name, s.Stopped)
			}
		}
	})
}

func TestWithoutALoginRolesAreUnknownAndTheMissingSettingIsNamedOnce(t *testing.T) {
	members := three("5.26.0").fakes()
	for _, f := range members {
		f.login = "neo4j:secret"
	}
	run(t, Options{}, members, func(r *rig) {
		v := r.after(time.Minute)
		if v.Generation != cluster.UnknownGeneration {
			r.Errorf("generation: got %v, want unknown", v.Generation)
		}
		r.want(v, "", "s1=unknown s2=unknown s3=unknown s4=unknown")
		if got := r.logs.with("cluster.check.user is not set"); got != 1 {
			r.Errorf("warnings: got %d, want one: %q", got, r.logs.lines)
		}
		for _, s := range v.Members {
			if s.Agent != "Neo4j/5.26.0" || !s.UTC || len(s.Versions) != 13 {
				r.Errorf("%s: got agent %q utc %v versions %v: HELLO needs no login", s.Name, s.Agent, s.UTC, s.Versions)
			}
		}
	})
}

func TestAWrongPasswordIsNotRepeatedAtEveryCheck(t *testing.T) {
	members := three("5.26.0").fakes()
	for _, f := range members {
		f.login = "neo4j:secret"
	}
	run(t, Options{User: "neo4j", Password: "wrong"}, members, func(r *rig) {
		r.after(29 * time.Second)
		if got := r.logs.with("refused the login of cluster.check.user"); got != len(members) {
			r.Errorf("warnings: got %d, want one a member", got)
		}
		for _, f := range members {
			f.set(func() {
				if f.logins > 2*3 { // HTTP and Bolt, at 0, 10 and 20 s
					r.Errorf("%s: %d logins tried in 29 s", f.name, f.logins)
				}
				f.login = "neo4j:wrong" // the operator corrects it
			})
		}
		r.want(r.after(12*time.Second), "", "s1=leader s2=follower s3=follower s4=replica")
	})
}

func TestUTCIsLearntFromHELLOOrTheVersion(t *testing.T) {
	for name, c := range map[string]struct {
		version, login string
		patch, want    bool
	}{
		"logged in, accepted":      {"4.4.5", "", true, true},
		"logged in, not accepted":  {"4.4.5", "", false, false},
		"refused, a recent 4.4":    {"4.4.48", "a:b", true, true},
		"refused, an early 4.4":    {"4.4.5", "a:b", true, false},
		"refused, 4.3":             {"4.3.23", "a:b", true, false},
		"5.x takes it for 4.x too": {"5.26.0", "a:b", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			members := three(c.version).fakes()[:1]
			members[0].login, members[0].patch = c.login, c.patch
			run(t, Options{}, members, func(r *rig) {
				s := r.after(0).Members[0]
				if s.UTC != c.want || s.Agent != "Neo4j/"+c.version {
					r.Errorf("got utc %v agent %q, want %v of %s (%s)", s.UTC, s.Agent, c.want, c.version, fmt.Sprint(s.Versions))
				}
			})
		})
	}
}

func TestADatabaseThatIsNotOnlineHasNoRoleWhateverRaftSays(t *testing.T) {
	c := three("5.26.0")
	c.starting = map[string]bool{"orders": true}
	run(t, Options{}, c.fakes(), func(r *rig) {
		v := r.after(time.Second)
		r.want(v, "orders", "s1=unknown s2=unknown s3=unknown s4=unknown")
		if v.Members[0].Stopped["orders"] {
			r.Error("a database that starts is not one that its operator stopped")
		}
	})
}

func TestAnAliasHasTheRolesOfItsDatabase(t *testing.T) {
	c := three("5.26.0")
	c.aliases = map[string][]any{"orders": {"sales", "neo4j"}} // the second is a database's own name
	run(t, Options{}, c.fakes(), func(r *rig) {
		v := r.after(time.Second)
		r.want(v, "sales", "s1=follower s2=leader s3=follower s4=replica")
		r.want(v, "neo4j", "s1=leader s2=follower s3=follower s4=replica")
	})
}

func TestASlowMemberIsIdentifiedInSeveralChecks(t *testing.T) {
	members := without("http", three("5.26.0").fakes()...)
	for text, answer := range members[0].queries {
		members[0].queries[text] = func() scriptedResult {
			time.Sleep(400 * time.Millisecond) // three of these are more than one check has
			return answer()
		}
	}
	run(t, Options{}, members, func(r *rig) {
		v := r.after(20 * time.Second)
		r.want(v, "", "s1=leader s2=follower s3=follower s4=replica")
		if s := v.Members[0]; s.Agent != "Neo4j/5.26.0" || len(s.Versions) == 0 {
			r.Errorf("got agent %q, versions %v", s.Agent, s.Versions)
		}
	})
}
