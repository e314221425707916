package health

import (
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// said checks how often a line was logged.
func (r *rig) said(times int, line string) {
	r.Helper()
	if got := r.logs.with(line); got != times {
		r.Errorf("%q was said %d times, want %d: %q", line, got, times, r.logs.lines)
	}
}

func TestALiarIsNotBelieved(t *testing.T) {
	const lies, over = "refuses writes", "does not claim any more"
	run(t, Options{Interval: time.Second}, haCluster(), func(r *rig) {
		r.after(5 * time.Second)
		for range liesBelieved {
			r.want(r.current.View(), "", "s1=leader s2=follower s3=follower")
			r.current.Report("s1", "", cluster.NotALeader)
			r.current.Report("s1", "", cluster.NotALeader) // of another session: the same
			r.want(r.after(0), "", "s1=unknown s2=follower s3=follower")
			r.after(time.Second)
		}
		r.want(r.after(liesLast/2), "", "s1=unknown s2=follower s3=follower")
		r.said(1, lies)
		r.want(r.after(liesLast), "", "s1=leader s2=follower s3=follower") // perhaps it has become true
		r.current.Report("s1", "", cluster.NotALeader)
		r.want(r.after(liesLast/2), "", "s1=unknown s2=follower s3=follower")
		r.said(1, lies)
		r.members[0].setHA("slave")
		r.members[1].setHA("master")
		r.after(liesLast)
		r.want(r.after(liesLast), "", "s1=follower s2=leader s3=follower")
		r.said(1, over)
	})
}

// TestAnHonestLeaderThatMovesOften is refused each time that it steps down, and believed each time that it leads again.
func TestAnHonestLeaderThatMovesOften(t *testing.T) {
	run(t, Options{Interval: time.Second}, haCluster(), func(r *rig) {
		r.after(5 * time.Second)
		for range 3 * liesBelieved {
			r.members[0].setHA("slave")
			r.members[1].setHA("master")
			r.current.Report("s1", "", cluster.NotALeader)
			r.want(r.after(2*time.Second), "", "s1=follower s2=leader s3=follower")
			r.members[1].setHA("slave")
			r.members[0].setHA("master")
			r.current.Report("s2", "", cluster.NotALeader)
			r.want(r.after(2*time.Second), "", "s1=leader s2=follower s3=follower")
		}
		r.said(0, "refuses writes")
	})
}

func TestAMemberThatFlapsIsNamedOnce(t *testing.T) {
	over(t, standin.Options{Members: 3, Seed: 5}, Options{Interval: 500 * time.Millisecond}, func(s *stand) {
		s.after(10 * time.Second)
		flapping := "s1"
		if s.Leader("") == flapping {
			flapping = "s2"
		}
		lines := 0
		for i := range 60 {
			s.Kill(flapping)
			s.after(time.Second)
			s.Restart(flapping)
			if v := s.after(time.Second); v.Leader("") == nil {
				t.Errorf("at %d: nobody leads; want the rest untouched", i)
			}
			if i == 30 {
				lines = s.logs.with("member=" + flapping)
			}
		}
		s.said(1, "comes and goes")
		if now := s.logs.with("member=" + flapping); now != lines {
			t.Errorf("%d more lines about it in 30 changes; want none: %q", now-lines, s.logs.lines)
		}
		s.after(2 * flapsWithin)
		s.said(1, "steady again")
		if v := s.current.View(); !v.Member(flapping).Up {
			t.Error("it is down")
		}
	})
}

func TestAnotherVersionAfterARestartIsNamed(t *testing.T) {
	over(t, standin.Options{Members: 3, Seed: 5, ServerVersion: "5.26.30"}, Options{}, func(s *stand) {
		s.after(10 * time.Second)
		s.Kill("s3")
		s.after(5 * time.Second)
		if err := s.Upgrade("s3", standin.Release{ServerVersion: "2026.08.1"}); err != nil {
			t.Fatal(err)
		}
		s.Restart("s3")
		v := s.after(10 * time.Second)
		s.said(1, "answers with another version")
		s.agree(v, "")
	})
}

// bean is what HA members tell of how far they are.
func (f *fakeMember) bean(tx int) {
	f.set(func() {
		f.pages["/db/manage/server/jmx/domain/org.neo4j/instance=kernel#0,name=High Availability"] = page{200, fmt.Sprintf(`[{"attributes": [{"name": "InstanceId", "value": "1"}, {"name": "LastCommittedTxId", "value": %d}]}]`, tx)}
	})
}

func haClusterAt(tx int) []*fakeMember {
	all := haCluster()
	for _, f := range all {
		f.bean(tx)
	}
	return all
}

func TestAMemberThatLostItsDataServesNoReadsUntilItHasCaughtUp(t *testing.T) {
	const lost, caughtUp = "came back without data", "caught up with what it had lost"
	run(t, Options{}, haClusterAt(100), func(r *rig) {
		r.want(r.after(5*time.Second), "", "s1=leader s2=follower s3=follower")
		r.cut(r.members[1], true)
		r.members[1].bean(3)
		r.after(10 * time.Second)
		r.cut(r.members[1], false)
		r.members[0].bean(110)
		r.want(r.after(5*time.Second), "", "s1=leader s2=unknown s3=follower")
		r.members[1].bean(99)
		r.want(r.after(5*time.Second), "", "s1=leader s2=unknown s3=follower")
		r.said(1, lost)
		r.members[1].bean(100)
		r.want(r.after(5*time.Second), "", "s1=leader s2=follower s3=follower")
		r.said(1, caughtUp)
		r.said(1, lost)
	})
}

// TestALeaderThatLostItsDataLeads, for what it has is what the others will have; when it follows before they have given theirs up it has to catch up.
func TestALeaderThatLostItsDataLeads(t *testing.T) {
	const lost, caughtUp = "came back without data that it had: it leads", "caught up with what it had lost"
	run(t, Options{}, haClusterAt(100), func(r *rig) {
		r.after(5 * time.Second)
		r.cut(r.members[0], true)
		r.members[0].bean(3)
		r.after(10 * time.Second)
		r.cut(r.members[0], false)
		r.want(r.after(5*time.Second), "", "s1=leader s2=follower s3=follower")
		r.said(1, lost)
		r.members[0].setHA("slave")
		r.members[0].bean(3)
		r.members[1].setHA("master")
		r.members[1].bean(100)
		r.want(r.after(5*time.Second), "", "s1=unknown s2=leader s3=follower")
		r.members[0].bean(100)
		r.want(r.after(5*time.Second), "", "s1=follower s2=leader s3=follower")
		r.said(1, caughtUp)
		r.said(1, "came back without data")
	})
}

func TestARestoredDatabaseIsServed(t *testing.T) {
	run(t, Options{}, haClusterAt(100), func(r *rig) {
		r.after(5 * time.Second)
		for _, f := range r.members {
			f.bean(7)
			r.after(3 * time.Second)
		}
		r.want(r.after(5*time.Second), "", "s1=leader s2=follower s3=follower")
	})
}

// told makes a fake answer SHOW DATABASES with its own id of the database neo4j.
func (f *fakeMember) told(id string, all []*fakeMember, leader string) {
	fields := []string{"name", "type", "address", "role", "writer", "requestedStatus", "currentStatus", "default", "lastCommittedTxn", "databaseID"}
	var rows [][]any
	for i, m := range all {
		role := "primary"
		if i == 3 {
			role = "secondary"
		}
		rows = append(rows, []any{"neo4j", "standard", m.bolt, role, m.name == leader, "online", "online", true, int64(50), id})
	}
	f.set(func() {
		f.queries[showProgress] = func() scriptedResult { return scriptedResult{fields: fields, rows: rows} }
	})
}

// TestTheFirstToAnswerDoesNotSayWhichDatabaseIsRight: a member of another cluster is found out also when it is the quickest.
func TestTheFirstToAnswerDoesNotSayWhichDatabaseIsRight(t *testing.T) {
	c := three("5.26.0")
	fakes := c.fakes()
	for _, f := range fakes {
		f.told("cluster", fakes, "s1")
	}
	fakes[2].told("empty", fakes, "s3")
	for i, f := range fakes {
		if i != 2 {
			f.set(func() {
				ask := f.queries[showProgress]
				f.queries[showProgress] = func() scriptedResult { time.Sleep(100 * time.Millisecond); return ask() }
			})
		}
	}
	run(t, Options{}, fakes, func(r *rig) {
		r.want(r.after(5*time.Second), "neo4j", "s1=leader s2=follower s3=unknown s4=replica")
		r.said(1, "is another one than the cluster's")
		r.said(0, "is the cluster's again")
	})
}

func TestAMemberWithAnotherDatabaseIsNotUsed(t *testing.T) {
	c := three("5.26.0")
	fakes := c.fakes()
	for _, f := range fakes {
		f.told("cluster", fakes, "s1")
	}
	run(t, Options{}, fakes, func(r *rig) {
		r.want(r.after(5*time.Second), "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		r.cut(fakes[2], true)
		r.after(10 * time.Second)
		fakes[2].told("empty", fakes, "s3") // it has made itself a cluster of its own, and leads it
		r.cut(fakes[2], false)
		r.want(r.after(10*time.Second), "neo4j", "s1=leader s2=follower s3=unknown s4=replica")
		r.said(1, "is another one than the cluster's")
		fakes[2].told("cluster", fakes, "s1")
		r.want(r.after(10*time.Second), "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		r.said(1, "is the cluster's again")
		for _, f := range fakes { // dropped and made anew: no member is held back meanwhile
			f.told("new", fakes, "s1")
			r.want(r.after(2*time.Second), "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		}
		r.said(1, "is another one than the cluster's")
	})
}

// store makes a 3.x fake show the bean Kernel with the id of its store, over HTTP and Bolt.
func (f *fakeMember) store(id string) {
	f.set(func() {
		f.pages["/db/manage/server/jmx/domain/org.neo4j/instance=kernel#0,name=Kernel"] = page{200, fmt.Sprintf(`[{"attributes": [{"name": "StoreLogVersion", "value": 0}, {"name": "StoreId", "value": %q}]}]`, id)}
		f.queries[kernelBean] = func() scriptedResult {
			return scriptedResult{fields: []string{"attributes"}, rows: [][]any{{map[string]any{"StoreId": map[string]any{"description": "", "value": id}}}}}
		}
	})
}

// TestAMemberWithAnotherStoreIsNotUsed is the same before 4.0, where members tell the id of their one store.
func TestAMemberWithAnotherStoreIsNotUsed(t *testing.T) {
	for name, fakes := range map[string]func() []*fakeMember{
		"HA": haCluster,
		"causal": func() []*fakeMember {
			return []*fakeMember{causal3("s1", "LEADER", "s1"), causal3("s2", "FOLLOWER", "s1"), causal3("s3", "FOLLOWER", "s1")}
		},
	} {
		for _, method := range []string{MethodHTTP, MethodBolt} {
			fakes := fakes()
			for _, f := range fakes {
				f.store("7f450cfe1e4fefb5")
			}
			run(t, Options{Method: method}, fakes, func(r *rig) {
				r.want(r.after(5*time.Second), "", "s1=leader s2=follower s3=follower")
				r.cut(fakes[1], true)
				r.after(10 * time.Second)
				fakes[1].store(noStore)
				r.cut(fakes[1], false)
				r.want(r.after(10*time.Second), "", "s1=leader s2=follower s3=follower")
				fakes[1].store("1")
				r.want(r.after(10*time.Second), "", "s1=leader s2=unknown s3=follower")
				r.said(1, "is another one than the cluster's")
				fakes[1].store("7f450cfe1e4fefb5") // it has copied the cluster's
				r.want(r.after(10*time.Second), "", "s1=leader s2=follower s3=follower")
				r.said(1, "is the cluster's again")
			})
			if t.Failed() {
				t.Fatalf("%s, asked over %v", name, method)
			}
		}
	}
}
