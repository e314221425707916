package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file holds checks to what they say of Bolt versions while members are upgraded and rolled back.

// become makes the fake another release from its next connection on, as a restart between two checks does.
func (f *fakeMember) become(release string, versions []bolt.Version) {
	f.set(func() {
		f.agent, f.versions, f.pages["/"] = "Neo4j/"+release, versions, discovery(release, "community")
	})
}

var (
	speaks44 = []bolt.Version{bolt.V4_4, bolt.V4_3}
	speaks5  = []bolt.Version{bolt.V5_8, bolt.V5_4, bolt.V4_4, bolt.V4_3}
)

func TestAReleaseThatChangesBetweenTwoChecksIsNoticedByEveryMethod(t *testing.T) {
	for _, method := range []string{MethodTCP, MethodHTTP, MethodBolt, MethodAuto} {
		t.Run(method, func(t *testing.T) {
			f := standalone("4.4.48", speaks44...)
			f.patch = true
			f.queries["SHOW DATABASES"] = func() scriptedResult {
				return scriptedResult{fields: []string{"name", "address", "role", "requestedStatus", "currentStatus", "error", "default"},
					rows: [][]any{{"neo4j", "localhost:7687", "standalone", "online", "online", "", true}}}
			}
			run(t, Options{Method: method, Generation: cluster.Standalone, Interval: time.Second}, []*fakeMember{f}, func(r *rig) {
				for _, step := range []struct {
					release  string
					versions []bolt.Version
				}{{"5.26.30", speaks5}, {"4.4.48", speaks44}, {"2026.08.1", bolt.Versions}, {"5.26.30", speaks5}} {
					f.become(step.release, step.versions)
					r.net.mu.Lock()
					for _, conn := range r.net.open {
						conn.Close()
					}
					r.net.mu.Unlock()
					s := r.after(40 * time.Second).Members[0]
					if !s.Up || s.Agent != "Neo4j/"+step.release || s.Versions[0] != step.versions[0] || !s.UTC {
						t.Errorf("got up=%v %s %v utc=%v; want %s, %v", s.Up, s.Agent, s.Versions, s.UTC, step.release, step.versions[0])
					}
				}
			})
		})
	}
}

func TestNothingInCommonIsSaidOnce(t *testing.T) {
	const text = "no Bolt version in common"
	members := three("5.26.0").fakes()
	members[2].versions = []bolt.Version{bolt.V4_4}
	for _, f := range members[:2] {
		f.versions = []bolt.Version{bolt.V5_8}
	}
	run(t, Options{}, members, func(r *rig) {
		v := r.after(30 * time.Second)
		if v.Versions == nil || len(v.Versions) != 0 || r.logs.with(text) != 1 {
			t.Errorf("got versions %v, said %d times; want none, and once", v.Versions, r.logs.with(text))
		}
		r.cut(members[2], true)
		if v := r.after(10 * time.Second); len(v.Versions) != 1 || r.logs.with("Bolt versions in common again") != 1 {
			t.Errorf("without the odd one: %v: %q", v.Versions, r.logs.lines)
		}
		r.cut(members[2], false)
		if r.after(10 * time.Second); r.logs.with(text) != 2 {
			t.Errorf("said %d times; want once more", r.logs.with(text))
		}
	})
}

func TestAMemberInMaintHasNoSayInVersions(t *testing.T) {
	members := three("5.26.0").fakes()
	members[1].versions = speaks44
	o := Options{}
	run(t, o, members, func(r *rig) {
		if v := r.after(5 * time.Second); v.Versions[0] != bolt.V4_4 {
			t.Errorf("got %v; want 4.4 first", v.Versions)
		}
		for condition, want := range map[cluster.Condition]bolt.Version{cluster.Drain: bolt.V4_4, cluster.Maint: bolt.V5_8, cluster.Ready: bolt.V4_4} {
			next := Options{Dial: r.net.dial, Conditions: map[string]cluster.Condition{members[1].name: condition}}
			for _, f := range members {
				next.Members = append(next.Members, f.member())
			}
			r.monitor.Update(next)
			if v := r.after(5 * time.Second); v.Versions[0] != want {
				t.Errorf("%v: got %v; want %v first", condition, v.Versions, want)
			}
		}
	})
}
