package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// lead publishes a View in which the member leads neo4j, of those named.
func (w *testWorld) lead(leader string, members ...string) {
	v := &cluster.View{Default: "neo4j"}
	for _, name := range members {
		role := cluster.Follower
		if name == leader {
			role = cluster.Leader
		}
		v.Members = append(v.Members, &cluster.Status{Member: &cluster.Member{Name: name}, Up: name != "down", Roles: map[string]cluster.Role{"neo4j": role}})
	}
	w.current.Publish(v)
}

// does counts units of work at a member.
func (w *testWorld) does(member string, units uint64) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	if w.gate.counters == nil {
		w.gate.counters = map[string]pool.Counters{}
	}
	c := w.gate.counters[member]
	c.Reads[pool.Bolt].Buckets[4] += units
	w.gate.counters[member] = c
}

func TestTheHistoryHasRatesRolesAndElections(t *testing.T) {
	w := newTestWorld(t, Options{})
	at := time.Unix(1_800_000_000, 0)
	tick := func() { at = at.Add(historyEvery); w.takePoint(at) }
	w.lead("a", "a", "b", "down")
	tick()
	w.does("a", 50)
	tick()
	w.lead("b", "a", "b", "down")
	w.does("b", 100)
	tick()
	w.lead("b", "b", "down", "late") // a is gone, another comes
	tick()
	h := get[HistoryInfo](w, "/api/v1/history")
	var got []string
	for _, m := range h.Members {
		got = append(got, fmt.Sprint(m.Name, m.Rate))
	}
	if want := "a[-1 10 0 -1] b[-1 0 20 0] down[-1 0 0 0] late[-1 -1 -1 -1]"; strings.Join(got, " ") != want {
		t.Errorf("rates: got %s; want %s", got, want)
	}
	if got := fmt.Sprint(h.Databases); got != "[{neo4j map[a:LLF- b:FFLL down:DDDD late:---F]}]" {
		t.Errorf("roles: got %s", got)
	}
	if len(h.Elections) != 1 || h.Elections[0].Member != "b" || h.Elections[0].Time.Unix() != h.Times[2] {
		t.Errorf("elections: got %v", h.Elections)
	}
	if h.P50[0] != unknown || h.P50[1] <= 0 || h.P99[1] < h.P50[1] {
		t.Errorf("latencies: got %v, %v", h.P50, h.P99)
	}
	last := get[HistoryInfo](w, fmt.Sprint("/api/v1/history?after=", h.Times[2]))
	if len(last.Times) != 1 || len(last.Members[1].Rate) != 1 || last.Databases[0].Roles["b"] != "L" || len(last.Elections) != 0 {
		t.Errorf("after the third point: got %+v", last)
	}
	w.want(400, "after is a number", "GET", "/api/v1/history?after=x", "")
}

func TestTheHistoryIsAnHourOfBoundedMembers(t *testing.T) {
	w := newTestWorld(t, Options{})
	var names []string
	for i := range 2 * historyMembers {
		names = append(names, fmt.Sprint("m", i))
	}
	w.lead("m0", names...)
	at := time.Unix(1_800_000_000, 0)
	for i := range historyPoints + 10 {
		if i == 20 {
			w.lead("m0", "m0", "m1")
		}
		if i > 100 {
			w.lead(fmt.Sprint("m", i%2), "m0", "m1")
		}
		at = at.Add(historyEvery)
		w.takePoint(at)
	}
	h := w.history.since(0)
	if len(h.Times) != historyPoints || len(h.Members) != historyMembers || len(h.Members[0].Rate) != historyPoints || len(h.Databases[0].Roles["m31"]) != historyPoints {
		t.Errorf("got %d points, %d members with %d, roles of %d points", len(h.Times), len(h.Members), len(h.Members[0].Rate), len(h.Databases[0].Roles["m31"]))
	}
	if len(h.Elections) != keptElections {
		t.Errorf("got %d elections", len(h.Elections))
	}
	for range 15 { // those that are gone for an hour are forgotten
		at = at.Add(historyEvery)
		w.takePoint(at)
	}
	if h := w.history.since(0); len(h.Members) != 2 || len(h.Databases[0].Roles) != 2 {
		t.Errorf("an hour later: %d members, roles of %d", len(h.Members), len(h.Databases[0].Roles))
	}
}

func TestDroppedDatabasesMakeRoomInTheHistory(t *testing.T) {
	w := newTestWorld(t, Options{})
	at := time.Unix(1_800_000_000, 0)
	hold := func(format string, points int) {
		roles := map[string]cluster.Role{}
		for i := range historyDatabases {
			roles[fmt.Sprintf(format, i)] = cluster.Leader
		}
		w.current.Publish(&cluster.View{Members: []*cluster.Status{{Member: &cluster.Member{Name: "a"}, Up: true, Roles: roles}}})
		for range points {
			at = at.Add(historyEvery)
			w.takePoint(at)
		}
	}
	hold("old%d", 1)
	hold("new%d", historyPoints-1)
	if h := get[HistoryInfo](w, "/api/v1/history"); len(h.Databases) != historyDatabases || h.Databases[0].Name != "old0" {
		t.Errorf("while the hour has seen them: got %d databases from %s on", len(h.Databases), h.Databases[0].Name)
	}
	hold("new%d", 2)
	if h := get[HistoryInfo](w, "/api/v1/history"); len(h.Databases) != historyDatabases || h.Databases[0].Name != "new0" || !strings.HasSuffix(h.Databases[0].Roles["a"], "L") {
		t.Errorf("an hour after the old ones were dropped: got %v", h.Databases)
	}
}
