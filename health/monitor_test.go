package health

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func haCluster() []*fakeMember {
	return []*fakeMember{haMember("s1", "master"), haMember("s2", "slave"), haMember("s3", "slave")}
}

// cut makes a member's addresses refuse connections and breaks those that are open.
func (r *rig) cut(f *fakeMember, cut bool) {
	f.set(func() { f.down = cut })
	r.net.mu.Lock()
	r.net.cut[f.bolt], r.net.cut[f.http] = cut, cut
	r.net.mu.Unlock()
}

func TestAMemberIsDownAfterFallChecksAndUpAfterRise(t *testing.T) {
	run(t, Options{Rise: 2}, haCluster(), func(r *rig) {
		r.want(r.after(0), "", "s1=down s2=down s3=down")
		r.want(r.after(2*time.Second), "", "s1=leader s2=follower s3=follower")
		r.cut(r.members[1], true)
		r.want(r.after(2*time.Second), "", "s1=leader s2=follower s3=follower")
		v := r.after(200 * time.Millisecond) // a failed check of a member that is up makes the next ones fast
		r.want(v, "", "s1=leader s2=down s3=follower")
		if v.Member("s2").LastError == "" || !v.Member("s2").Since.Equal(time.Now()) {
			r.Errorf("s2: got %q since %v, want an error since now", v.Member("s2").LastError, v.Member("s2").Since)
		}
		r.cut(r.members[1], false)
		v = r.after(4 * time.Second)
		r.want(v, "", "s1=leader s2=follower s3=follower")
		if got := r.logs.with("member changed"); got != 5 {
			r.Errorf("lines: got %d, want one for each change: three up, one down, one up: %q", got, r.logs.lines)
		}
	})
}

// TestAMemberThatWasNeverUpIsSaidOnce, and why: it does not change, and who starts a gate with a wrong setting would look at an empty log.
func TestAMemberThatWasNeverUpIsSaidOnce(t *testing.T) {
	members := haCluster()
	members[1].down = true
	run(t, Options{}, members, func(r *rig) {
		r.want(r.after(time.Minute), "", "s1=leader s2=down s3=follower")
		if got, why := r.logs.with("member not up"), r.logs.with(`"member not up" member=s2 error=`); got != 1 || why != 1 {
			r.Errorf("lines: got %d, of which %d say why; want one", got, why)
		}
		r.cut(r.members[1], false)
		r.want(r.after(4*time.Second), "", "s1=leader s2=follower s3=follower")
		if got := r.logs.with("member changed"); got != 3 {
			r.Errorf("lines of changes: got %d, want three that came up: %q", got, r.logs.lines)
		}
	})
}

func TestAReportStartsChecksOfAllMembersAtOnce(t *testing.T) {
	run(t, Options{Interval: time.Hour}, haCluster(), func(r *rig) {
		r.after(time.Minute)
		r.cut(r.members[0], true)
		r.members[1].setHA("master")
		r.current.Report("s1", "", cluster.Broken)
		r.want(r.after(0), "", "s1=unknown s2=leader s3=follower") // s1 is given one more check, but the new leader counts
		r.want(r.after(200*time.Millisecond), "", "s1=down s2=leader s3=follower")
	})
}

func TestBrokenRemovesNothingByItself(t *testing.T) {
	run(t, Options{Interval: time.Hour}, haCluster(), func(r *rig) {
		r.after(time.Minute)
		r.cut(r.members[0], true)
		for range 100 { // many sessions break at once
			r.current.Report("s1", "", cluster.Broken)
		}
		r.want(r.after(100*time.Millisecond), "", "s1=leader s2=follower s3=follower")
		r.cut(r.members[0], false)
		r.want(r.after(time.Second), "", "s1=leader s2=follower s3=follower")
	})
}

func TestNotALeaderCountsAtOnceAndUntilTheMembersNextAnswer(t *testing.T) {
	c := three("5.26.0")
	run(t, Options{Interval: time.Hour}, c.fakes(), func(r *rig) {
		r.after(time.Minute)
		for _, f := range r.members {
			f.set(func() { f.hang = true })
		}
		r.current.Report("s2", "orders", cluster.NotALeader)
		v := r.after(0)
		r.want(v, "orders", "s1=follower s2=unknown s3=follower s4=replica")
		r.want(v, "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		c.leaders["orders"] = "s3"
		for _, f := range r.members {
			f.set(func() { f.hang = false })
			c.script(f)
		}
		r.want(r.after(5*time.Second), "orders", "s1=follower s2=follower s3=leader s4=replica")
	})
}

// TestADatabaseWhoseOnlyMemberDoesNotLeadIsThereAllTheSame: work for it waits, as for any that has no leader.
func TestADatabaseWhoseOnlyMemberDoesNotLeadIsThereAllTheSame(t *testing.T) {
	c := three("5.26.0")
	c.members = c.members[:1]
	run(t, Options{Interval: time.Hour, Generation: cluster.Autonomous}, c.fakes()[:1], func(r *rig) {
		before := r.after(time.Minute)
		if !before.Hosted("neo4j") || before.Leader("neo4j") == nil {
			r.Fatalf("to begin with: %v", before.Members[0].Roles)
		}
		r.members[0].set(func() { r.members[0].hang = true })
		r.current.Report("s1", "neo4j", cluster.NotALeader)
		v := r.after(0)
		if !v.Hosted("neo4j") || v.Leader("neo4j") != nil {
			r.Errorf("got %v; want neo4j hosted, and led by nobody", v.Members[0].Roles)
		}
	})
}

func TestNotALeaderWithoutANameIsTheDefaultDatabase(t *testing.T) {
	run(t, Options{Interval: time.Hour}, three("5.26.0").fakes(), func(r *rig) {
		r.after(time.Minute)
		r.members[0].set(func() { r.members[0].hang = true })
		r.current.Report("s1", "", cluster.NotALeader)
		r.want(r.after(0), "", "s1=unknown s2=follower s3=follower s4=replica")
	})
}

func TestChecksAreFastOnlyWhileALeaderIsMissing(t *testing.T) {
	run(t, Options{}, haCluster(), func(r *rig) {
		r.after(time.Minute)
		r.cut(r.members[0], true)
		r.after(5 * time.Second) // the leader is gone; nobody is elected
		dials := r.net.dials("s2:7687")
		r.after(10 * time.Second)
		if got := r.net.dials("s2:7687") - dials; got < 45 || got > 55 {
			r.Errorf("checks in 10 s without a leader: got %d, want about 50", got)
		}
		r.members[1].setHA("master")
		r.want(r.after(200*time.Millisecond), "", "s1=down s2=leader s3=follower")
		r.after(2 * time.Second)
		dials = r.net.dials("s2:7687")
		r.after(10 * time.Second)
		if got := r.net.dials("s2:7687") - dials; got > 6 {
			r.Errorf("checks in 10 s with a leader: got %d, want about 5", got)
		}
		r.cut(r.members[1], true)
		r.after(2 * time.Minute) // an outage that lasts is asked about at the ordinary pace
		dials = r.net.dials("s3:7687")
		r.after(10 * time.Second)
		if got := r.net.dials("s3:7687") - dials; got > 6 {
			r.Errorf("checks in 10 s of a long outage: got %d, want about 5", got)
		}
	})
}

func TestTwoLeadersOfAPartition(t *testing.T) {
	members := []*fakeMember{causal3("s1", "LEADER", "s1"), causal3("s2", "FOLLOWER", "s1"), causal3("s3", "FOLLOWER", "s1")}
	run(t, Options{}, members, func(r *rig) {
		r.want(r.after(0), "", "s1=leader s2=follower s3=follower")
		members[1].setCausal3("LEADER", "s2") // s1 is cut off from the others, but not from us
		members[2].setCausal3("FOLLOWER", "s2")
		r.want(r.after(3*time.Second), "", "s1=unknown s2=leader s3=follower")
		r.cut(members[2], true) // now each names itself
		r.want(r.after(5*time.Second), "", "s1=unknown s2=unknown s3=down")
		members[0].setCausal3("FOLLOWER", "s2") // the old one steps down
		r.want(r.after(time.Second), "", "s1=follower s2=leader s3=down")
	})
}

func TestAHungMemberDelaysNobodyAndIsDownInTime(t *testing.T) {
	run(t, Options{}, haCluster(), func(r *rig) {
		r.after(0)
		r.members[2].set(func() { r.members[2].hang = true })
		r.cut(r.members[1], true)
		v := r.after(2*time.Second + 200*time.Millisecond)
		if v.Member("s2").Up {
			r.Error("s2 is refused, but its fall waited for the hung s3")
		}
		v = r.after(3 * time.Second)
		r.want(v, "", "s1=leader s2=down s3=down")
	})
}

func TestMaintStopsChecksAndDrainDoesNot(t *testing.T) {
	members := haCluster()
	run(t, Options{}, members, func(r *rig) {
		began := time.Now()
		r.after(time.Minute)
		o := *r.monitor.o
		o.Conditions = map[string]cluster.Condition{"s2": cluster.Maint, "s3": cluster.Drain}
		r.monitor.Update(o)
		v := r.after(time.Second)
		r.want(v, "", "s1=leader s2=down s3=unknown")
		if !v.Member("s3").Up || v.Member("s3").Roles[""] != cluster.Follower {
			r.Errorf("a drained member: got up %v, roles %v", v.Member("s3").Up, v.Member("s3").Roles)
		}
		asked := time.Now().Add(-time.Second)
		for member, want := range map[string]time.Time{"s1": began, "s2": asked, "s3": asked} {
			if got := v.Member(member).Asked; !got.Equal(want) {
				r.Errorf("%s is %v since %v, want %v", member, v.Member(member).Condition, got, want)
			}
		}
		dials := r.net.dials("s2:7687")
		r.after(time.Minute)
		if got := r.net.dials("s2:7687"); got != dials {
			r.Errorf("a member in maint was dialled %d times", got-dials)
		}
		o.Conditions = map[string]cluster.Condition{"s3": cluster.Drain}
		r.monitor.Update(o)
		v = r.after(0)
		r.want(v, "", "s1=leader s2=follower s3=unknown")
		if s2, s3 := v.Member("s2").Asked, v.Member("s3").Asked; !s2.Equal(time.Now()) || !s3.Equal(asked) {
			r.Errorf("s2 is ready since %v and s3 drained since %v, want since now and since %v", s2, s3, asked)
		}
	})
}

func TestUpdateKeepsWhatIsKnownOfMembersThatStay(t *testing.T) {
	members := haCluster()
	run(t, Options{}, members, func(r *rig) {
		before := r.after(time.Minute)
		for _, f := range members {
			f.set(func() { f.hang = true })
		}
		o := *r.monitor.o
		s4 := haMember("s4", "slave")
		s4.hang = true
		s4.attach(r.net)
		o.Members = append([]*cluster.Member{}, o.Members[0], o.Members[1], s4.member())
		r.monitor.Update(o)
		v := r.after(0)
		r.want(v, "", "s1=leader s2=follower s4=down")
		if got, want := v.Member("s1").Since, before.Member("s1").Since; !got.Equal(want) || v.Generation != cluster.HA {
			r.Errorf("got since %v, generation %v, want %v, ha", got, v.Generation, want)
		}
	})
}

func TestNothingIsPublishedWhileNothingChanges(t *testing.T) {
	run(t, Options{}, three("5.26.0").fakes(), func(r *rig) {
		first := r.after(time.Second)
		if r.after(time.Minute) != first {
			r.Error("a new View was published though nothing changed")
		}
		r.monitor.CheckNow()
		if r.after(time.Second) != first {
			r.Error("CheckNow published a new View though nothing changed")
		}
	})
}

func TestVersionsAreSharedByAllThatAreUpAndProbedAgainAfterDown(t *testing.T) {
	members := three("5.26.0").fakes()
	members[3].versions = members[3].versions[2:] // older: up to 5.6
	run(t, Options{}, members, func(r *rig) {
		if v := r.after(0); v.Versions[0] != bolt.V5_6 {
			r.Errorf("newest common version: got %v, want 5.6", v.Versions)
		}
		r.cut(members[3], true)
		if v := r.after(5 * time.Second); v.Versions[0] != bolt.V5_8 {
			r.Errorf("without the old member: got %v, want 5.8 first", v.Versions)
		}
		members[3].set(func() { members[3].versions = members[0].versions })
		r.cut(members[3], false)
		if v := r.after(3 * time.Second); v.Versions[0] != bolt.V5_8 || v.Member("s4").Versions[0] != bolt.V5_8 {
			r.Errorf("after the upgrade: got %v", v.Versions)
		}
	})
}

func TestAnAnswerThatWasOnItsWayDoesNotUndoARefusal(t *testing.T) {
	c := three("5.26.0")
	members := without("http", c.fakes()...)
	run(t, Options{Interval: 10 * time.Second}, members, func(r *rig) {
		r.want(r.after(5*time.Second), "neo4j", "s1=leader s2=follower s3=follower s4=replica")
		slow := members[0].queries["SHOW DATABASES"]
		members[0].set(func() {
			members[0].queries["SHOW DATABASES"] = func() scriptedResult {
				answer := slow()
				time.Sleep(500 * time.Millisecond)
				return answer
			}
		})
		r.after(5*time.Second + 100*time.Millisecond) // s1's second check is on its way, and will say leader
		r.current.Report("s1", "neo4j", cluster.NotALeader)
		r.want(r.after(0), "neo4j", "s1=unknown s2=follower s3=follower s4=replica")
		r.want(r.after(600*time.Millisecond), "neo4j", "s1=unknown s2=follower s3=follower s4=replica")
		r.want(r.after(600*time.Millisecond), "neo4j", "s1=leader s2=follower s3=follower s4=replica") // it insists
	})
}

func TestALeaderThatSaysItIsNoneMakesChecksFast(t *testing.T) {
	members := haCluster()
	run(t, Options{Interval: time.Minute}, members, func(r *rig) {
		r.after(time.Second)
		members[0].setHA("slave")
		r.want(r.after(time.Minute), "", "s1=follower s2=follower s3=follower")
		members[1].setHA("master")
		r.want(r.after(300*time.Millisecond), "", "s1=follower s2=leader s3=follower")
	})
}

func TestChecksAreFastUntilASuspectAnswersOrIsDown(t *testing.T) {
	members := haCluster()
	run(t, Options{Interval: time.Minute, Fall: 10}, members, func(r *rig) {
		r.after(time.Second)
		members[2].set(func() { members[2].hang = true })
		r.current.Report("s3", "", cluster.Broken)
		dials := r.net.dials("s2:7687")
		r.after(5 * time.Second)
		if got := r.net.dials("s2:7687") - dials; got < 20 {
			r.Errorf("checks of s2 in 5 s while s3 hangs: got %d, want about 25", got)
		}
		members[2].set(func() { members[2].hang = false })
		r.after(3 * time.Second)
		dials = r.net.dials("s2:7687")
		r.after(5 * time.Second)
		if got := r.net.dials("s2:7687") - dials; got > 1 {
			r.Errorf("checks of s2 in 5 s after s3 answered: got %d, want the ordinary pace", got)
		}
	})
}

func TestAMemberOfAnotherGenerationHasNoRole(t *testing.T) {
	members := append(haCluster(), causal3("s4", "LEADER", "s4"))
	for _, configured := range []cluster.Generation{cluster.UnknownGeneration, cluster.HA} {
		run(t, Options{Generation: configured}, members, func(r *rig) {
			r.want(r.after(time.Minute), "", "s1=leader s2=follower s3=follower s4=unknown")
			if got := r.logs.with("of another generation"); got != 1 {
				r.Errorf("warnings: got %d, want 1: %q", got, r.logs.lines)
			}
		})
	}
}

func TestAServerReplacedByAnotherReleaseIsIdentifiedAnew(t *testing.T) {
	members := haCluster()
	run(t, Options{}, members, func(r *rig) {
		r.after(time.Second)
		r.cut(members[2], true)
		r.after(3 * time.Second)
		members[2].set(func() { members[2].agent = "Neo4j/3.5.35" }) // the same Bolt versions
		r.cut(members[2], false)
		if got := r.after(5 * time.Second).Member("s3").Agent; got != "Neo4j/3.5.35" {
			r.Errorf("agent: got %q, want that of the new release", got)
		}
	})
}

func TestAKeptHTTPConnectionThatWasClosedIsReplacedWithinTheCheck(t *testing.T) {
	run(t, Options{Interval: time.Minute}, without("bolt", haCluster()...), func(r *rig) {
		first := r.after(time.Second)
		r.net.mu.Lock()
		for _, conn := range r.net.open {
			conn.Close()
		}
		r.net.mu.Unlock()
		if r.after(time.Minute) != first {
			r.Error("a new View was published")
		}
	})
}

func TestAKeptConnectionThatWasClosedIsReplacedWithinTheCheck(t *testing.T) {
	run(t, Options{Interval: time.Minute}, three("5.26.0").fakes(), func(r *rig) {
		first := r.after(time.Second)
		for range 3 {
			r.net.mu.Lock()
			for _, conn := range r.net.open {
				conn.Close() // as firewalls do with idle connections
			}
			r.net.mu.Unlock()
			if v := r.after(time.Minute); v != first {
				r.Errorf("a new View was published: %q", r.logs.lines)
				first = v
			}
		}
	})
}

func TestAMemberThatWasUpgradedUnnoticedIsProbedAgain(t *testing.T) {
	c := three("5.26.0")
	members := c.fakes()
	run(t, Options{}, members, func(r *rig) {
		r.after(time.Second)
		c.version = "2026.08.1"
		for _, f := range members {
			f.set(func() { f.versions = bolt.Versions })
			c.script(f)
		}
		r.net.mu.Lock()
		for _, conn := range r.net.open {
			conn.Close()
		}
		r.net.mu.Unlock()
		v := r.after(5 * time.Second)
		if s := v.Members[0]; s.Agent != "Neo4j/2026.08.1" || s.Versions[0] != bolt.V6_1 {
			r.Errorf("got agent %q, versions %v", s.Agent, s.Versions)
		}
		if !bytes.Contains(v.Discovery, []byte("2026.08.1")) {
			r.Errorf("discovery document: got %s", v.Discovery)
		}
	})
}

// garbage answers every connection with bytes that have little to do with a protocol, the same for a seed, and then
// closes it or says nothing more.
func garbage(seed uint64) func(net.Conn) {
	return func(conn net.Conn) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		go io.Copy(io.Discard, conn)
		b := make([]byte, 100+rnd.IntN(5000))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		copy(b, [][]byte{
			nil,
			{0, 0, 5, 5},
			{0, 0, 1, 0xFF},
			[]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
			[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n"),
			{0, 0, 0, 3, 0, 4, 0xB1, 0x70, 0xDA, 0xFF},
		}[seed%6])
		conn.Write(b)
		if rnd.IntN(2) == 0 {
			io.Copy(io.Discard, conn)
		}
	}
}

// Answers of any bytes fail the check of the member that sent them, and nothing else.
func TestGarbageFailsOnlyItsOwnCheck(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			members := haCluster()
			members[2].raw = garbage(seed)
			run(t, Options{}, members, func(r *rig) {
				v := r.after(10 * time.Second)
				r.want(v, "", "s1=leader s2=follower s3=down")
				if r.logs.with("a fault in the check itself") > 0 || v.Member("s3").LastError == "" {
					r.Errorf("last error of s3: got %q", v.Member("s3").LastError)
				}
			})
		})
	}
}
