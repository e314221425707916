package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

func TestAMemberHasWhatTheLeaderHadWhenItHasComeUpToIt(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	log := &leaderLog{member: "a"}
	for i, tx := range []int64{10, 20, 30, 25, 40} { // a leader does not go back: 25 is taken for 30
		log.add(place{at: at(i), tx: tx})
	}
	for _, c := range []struct {
		name   string
		of     *leaderLog
		is     cluster.Progress
		asked  int
		want   time.Time
		behind int64
	}{
		{"behind all", log, cluster.Progress{Tx: 5}, 4, time.Time{}, 35},
		{"up to the second", log, cluster.Progress{Tx: 29}, 4, at(1), 11},
		{"up to the fourth, for the leader still had the same", log, cluster.Progress{Tx: 30}, 4, at(3), 10},
		{"up to all", log, cluster.Progress{Tx: 41}, 4, at(4), 0},
		{"asked long ago, when the leader had less itself", log, cluster.Progress{Tx: 20}, 1, at(1), 0},
		{"what it says of its lag itself", log, cluster.Progress{Tx: 29, Lag: 3}, 4, at(1), 3},
		{"counted otherwise than the leader", log, cluster.Progress{Index: 100}, 4, time.Time{}, 0},
		{"no leader was asked yet", nil, cluster.Progress{Tx: 29}, 4, time.Time{}, 0},
	} {
		got := c.of.compare(c.is, at(c.asked))
		if !got.CaughtUp.Equal(c.want) || got.Lag != c.behind {
			t.Errorf("%s: caught up %v, behind by %d; want %v, %d", c.name, got.CaughtUp, got.Lag, c.want, c.behind)
		}
	}
}

func TestWhatANewLeaderSaysFirstDoesNotCount(t *testing.T) {
	m := New(Options{}, new(cluster.Current), nil)
	say := func(member string, second, tx int64) {
		a := newAnswer(member, time.Unix(second, 0))
		a.addProgress("neo4j", cluster.Progress{Tx: tx})
		m.members = []*memberState{{member: &cluster.Member{Name: member}, last: a}}
		m.logLeader(a, map[string]cluster.Role{"neo4j": cluster.Leader})
	}
	say("a", 1, 10)
	if got := m.leaders["neo4j"]; got.member != "a" || len(got.samples) != 1 {
		t.Fatalf("the first leader: got %+v", got)
	}
	say("b", 2, 8) // it has yet to apply what a committed
	if got := m.leaders["neo4j"]; got.member != "b" || len(got.samples) != 0 {
		t.Fatalf("a new leader's first word counts: %+v", got)
	}
	say("b", 3, 10)
	if got := m.leaders["neo4j"]; len(got.samples) != 1 || got.samples[0].tx != 10 {
		t.Fatalf("a new leader's second word does not count: %+v", got)
	}
}

func TestALogOfALeaderIsBounded(t *testing.T) {
	log := new(leaderLog)
	for i := range 10 * maxPlaces {
		log.add(place{at: time.Unix(int64(i), 0), tx: int64(i)})
	}
	if n := len(log.samples); n != maxPlaces || log.samples[n-1].tx != 10*maxPlaces-1 {
		t.Errorf("%d places are kept, the newest is %+v", n, log.samples[n-1])
	}
}
