package admin

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// alarmWorld is a testWorld on a clock of its own, which stands between two looks.
type alarmWorld struct {
	*testWorld
	told uint64 // the last event that a test has looked at
}

func withAlarms(t *testing.T, test func(w *alarmWorld)) {
	synctest.Test(t, func(t *testing.T) { test(&alarmWorld{testWorld: newTestWorld(t, Options{})}) })
}

// shows publishes a View of members, each its name and words: down, maint, lag=2000 (of neo4j), and db=role, where a role may be stopped.
func (w *alarmWorld) shows(members ...string) { w.current.Publish(viewOf(members...)) }

func viewOf(members ...string) *cluster.View {
	roles := map[string]cluster.Role{"leader": cluster.Leader, "follower": cluster.Follower}
	v := &cluster.View{Generation: cluster.Autonomous, Default: "neo4j"}
	for _, text := range members {
		words := strings.Fields(text)
		m := &cluster.Status{Member: &cluster.Member{Name: words[0]}, Up: true, Roles: map[string]cluster.Role{}, Stopped: map[string]bool{}}
		for _, word := range words[1:] {
			switch key, value, _ := strings.Cut(word, "="); {
			case key == "down":
				m.Up, m.LastError = false, "connection refused"
			case key == "maint":
				m.Up, m.Condition = false, cluster.Maint
			case key == "lag":
				p := cluster.Progress{Tx: 1_000_000}
				fmt.Sscan(value, &p.Lag) //nolint:errcheck // ours
				m.Progress = map[string]cluster.Progress{"neo4j": p}
			case value == "stopped":
				m.Stopped[key] = true
			default:
				m.Roles[key] = roles[value]
			}
		}
		v.Members = append(v.Members, m)
	}
	return v
}

// after lets time pass, and the look at its end too.
func (w *alarmWorld) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantEvents compares the events since it was asked last, each "level event key=value …" by key, in any order.
func (w *alarmWorld) wantEvents(want ...string) {
	w.t.Helper()
	var got []string
	for _, e := range w.events.Since(w.told) {
		text := e.Level + " " + e.Event
		for _, key := range slices.Sorted(maps.Keys(e.Fields)) {
			text += " " + key + "=" + e.Fields[key]
		}
		got = append(got, text)
		w.told = e.ID
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// reload is one that changes nothing of members.
func (w *alarmWorld) reload() {
	w.t.Helper()
	if err := w.Apply(Options{MetricsLogin: true}); err != nil {
		w.t.Fatal(err)
	}
}

func TestADatabaseWithoutALeaderIsToldAfterHalfAMinute(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		led, leaderless := []string{"a neo4j=leader", "b neo4j=follower"}, []string{"a neo4j=follower", "b neo4j=follower"}
		w.shows(led...)
		w.after(time.Hour)
		for range 5 { // elections, one after the other
			w.shows(leaderless...)
			w.after(25 * time.Second)
			w.shows(led...)
			w.after(5 * time.Second)
		}
		w.wantEvents()
		w.shows(leaderless...)
		w.after(30 * time.Second) // the first look that saw it was 25 s ago
		w.wantEvents()
		w.after(5 * time.Second)
		w.wantEvents("warn no leader db=neo4j")
		w.reload()
		w.after(time.Hour)
		w.wantEvents()
		w.shows("a neo4j=follower", "b neo4j=leader")
		w.after(alarmEvery)
		w.wantEvents("info no leader: over after=1h0m35s db=neo4j leader=b")
		w.after(time.Hour)
		w.wantEvents()
		w.shows(leaderless...)
		w.after(35 * time.Second)
		w.wantEvents("warn no leader db=neo4j") // again, for it is another time
	})
}

func TestAGateThatFindsNoLeaderAfterItsStartTellsOfAllDatabases(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.after(30 * time.Second)
		w.wantEvents()
		w.after(5 * time.Second)
		w.wantEvents("warn no leader db=")
		w.shows("a neo4j=leader", "b neo4j=follower")
		w.after(alarmEvery)
		w.wantEvents("info no leader: over after=35s db= leader=a")
	})
}

func TestADatabaseWhoseMembersAreAllDownHasNoLeader(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader system=leader", "b neo4j=follower", "c system=follower")
		w.after(time.Minute)
		w.shows("a down", "b down", "c system=leader") // nobody that is up has a role for neo4j
		w.after(40 * time.Second)
		w.wantEvents("warn no leader db=neo4j")
		w.shows("a down", "b down", "c down")
		w.after(40 * time.Second)
		w.wantEvents("warn no leader db=system", "warn member down error=connection refused member=a", "warn member down error=connection refused member=b")
		w.shows("a neo4j=leader system=leader", "b neo4j=follower", "c system=follower")
		w.after(alarmEvery)
		w.wantEvents("info no leader: over after=1m20s db=neo4j leader=a", "info no leader: over after=40s db=system leader=a",
			"info member down: over after=1m20s is=up member=a", "info member down: over after=1m20s is=up member=b")
	})
}

func TestAClusterThatIsExchangedWhileItIsDownStillHasNoLeader(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader")
		w.after(time.Minute)
		w.shows("a down")
		w.after(35 * time.Second)
		w.wantEvents("warn no leader db=neo4j")
		w.shows("b down")
		w.after(35 * time.Second)
		w.wantEvents()
		w.shows("b movies=leader")
		w.after(alarmEvery)
		w.wantEvents("info no leader: over after=1m10s db=neo4j is=stopped or dropped")
	})
}

func TestAStoppedOrDroppedDatabaseNeedsNoLeader(t *testing.T) {
	for name, then := range map[string]string{"stopped": "sales=stopped", "dropped": ""} {
		t.Run(name, func(t *testing.T) {
			withAlarms(t, func(w *alarmWorld) {
				w.shows("a neo4j=leader sales=follower", "b neo4j=follower sales=leader")
				w.after(time.Minute)
				w.shows("a neo4j=leader "+then, "b neo4j=follower "+then)
				w.after(time.Hour)
				w.wantEvents()
				w.shows("a neo4j=leader sales=follower", "b neo4j=follower sales=follower")
				w.after(40 * time.Second)
				w.wantEvents("warn no leader db=sales")
				w.shows("a neo4j=leader "+then, "b neo4j=follower "+then)
				w.after(alarmEvery)
				w.wantEvents("info no leader: over after=40s db=sales is=stopped or dropped")
				w.shows("a neo4j=leader", "b down") // b had sales; that is no news of it
				w.after(50 * time.Second)
				w.wantEvents()
			})
		})
	}
}

// TestAnIdleGateThatSeesOnlyByItsClientsTellsNothing: without a check.user roles come from clients' routing tables, and are forgotten with them.
func TestAnIdleGateThatSeesOnlyByItsClientsTellsNothing(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		blind := func(members ...string) {
			v := viewOf(members...)
			v.Blind = true
			w.current.Publish(v)
		}
		blind("a", "b")
		w.after(time.Hour)
		blind("a neo4j=leader", "b neo4j=follower")
		w.after(time.Minute)
		blind("a", "b")
		w.after(time.Hour)
		w.wantEvents()
		blind("a neo4j=follower", "b neo4j=follower")
		w.after(35 * time.Second)
		w.wantEvents("warn no leader db=neo4j")
		blind("a", "b")
		w.after(time.Hour)
		w.wantEvents() // that nobody asks does not give it a leader
		blind("a neo4j=leader", "b neo4j=follower")
		w.after(alarmEvery)
		w.wantEvents("info no leader: over after=1h0m35s db=neo4j leader=a")
	})
}

func TestAMemberThatIsDownIsToldAfterAMinuteUnlessInMaint(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader", "b neo4j=follower", "c maint", "d down", "e down", "f down")
		w.after(30 * time.Second)
		w.shows("a neo4j=leader", "b neo4j=follower", "c maint", "d neo4j=follower", "e down", "f down") // d was down for half a minute
		w.after(30 * time.Second)
		w.wantEvents()
		w.after(5 * time.Second)
		w.wantEvents("warn member down error=connection refused member=e", "warn member down error=connection refused member=f")
		w.reload()
		w.after(time.Hour)
		w.wantEvents()
		w.shows("a neo4j=leader", "b neo4j=follower", "c maint", "d neo4j=follower", "f maint") // a reload takes e away
		w.after(alarmEvery)
		w.wantEvents("info member down: over after=1h1m5s is=gone member=e", "info member down: over after=1h1m5s is=maint member=f")
		w.shows("a neo4j=leader", "b neo4j=follower", "c maint", "d neo4j=follower", "e neo4j=follower", "f neo4j=follower")
		w.after(time.Hour)
		w.wantEvents()
	})
}

func (w *alarmWorld) queued(n map[string]int) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	w.gate.stats = map[string]pool.Stats{}
	for member, n := range n {
		w.gate.stats[member] = pool.Stats{Queued: n}
	}
}

func TestAQueueIsToldWhenItHasGrownForFiveMinutes(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader", "b neo4j=follower", "c neo4j=follower")
		w.after(time.Minute)
		look := func(n int) { // a's goes up and down, and up by and large; b's stays as long as it is, c's comes and goes
			w.queued(map[string]int{"a": n + 5*(n%2), "b": 7, "c": n % 50})
			w.after(alarmEvery)
		}
		n := 1
		for ; n <= 60; n++ {
			look(n)
		}
		w.wantEvents()
		look(n)
		w.wantEvents("warn queue grows member=a queued=66")
		w.reload()
		for n++; n < 200; n++ {
			look(n)
		}
		w.wantEvents()
		w.queued(nil)
		w.after(alarmEvery)
		w.wantEvents("info queue grows: over after=16m35s is=up member=a")
		w.after(time.Hour)
		w.wantEvents()
	})
}

func TestGrowsIsTheSignOfTheSlope(t *testing.T) {
	for _, tt := range []struct {
		values []int
		want   bool
	}{
		{nil, false}, {[]int{5}, false}, {[]int{5, 5, 5, 5}, false}, {[]int{0, 5}, true}, {[]int{5, 0}, false}, {[]int{1, 9, 2, 10}, true},
		{[]int{9, 1, 1, 8}, false}, {[]int{0, 4, 4, 4, 4}, true}, {[]int{4, 4, 4, 4, 0}, false}, {[]int{3, 0, 0, 0, 3}, false},
	} {
		if got := grows(tt.values); got != tt.want {
			t.Errorf("%v: got %v", tt.values, got)
		}
	}
}

func TestAMemberThatLagsIsToldAfterFiveMinutes(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader", "b neo4j=follower lag=1000", "c neo4j=follower lag=1001", "d neo4j=follower lag=5000")
		w.after(4 * time.Minute)
		w.shows("a neo4j=leader", "b neo4j=follower lag=1000", "c neo4j=follower lag=1002", "d neo4j=follower lag=10") // d has caught up
		w.after(time.Minute)
		w.wantEvents()
		w.after(5 * time.Second)
		w.wantEvents("warn member lags behind=1002 db=neo4j member=c")
		w.reload()
		w.after(time.Hour)
		w.wantEvents()
		w.shows("a neo4j=leader", "b neo4j=follower", "c down lag=1002", "d neo4j=follower") // nobody knows how far it is now
		w.after(alarmEvery)
		w.wantEvents("info member lags: over after=1h5m5s db=neo4j is=down member=c")
	})
}

func (w *alarmWorld) certificateEnds(at time.Time) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	w.gate.ends = at
}

func TestACertificateIsToldTwoWeeksBeforeItsEnd(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		w.shows("a neo4j=leader")
		w.certificateEnds(time.Now().Add(endsSoon + time.Hour))
		w.after(time.Hour)
		w.wantEvents()
		w.after(alarmEvery)
		w.wantEvents("warn certificate ends soon ends=2000-01-15T01:00:00Z of=frontend main")
		w.reload()
		w.after(time.Hour)
		w.certificateEnds(time.Time{}) // it cannot be read, which makes nothing good
		w.after(time.Hour)
		w.wantEvents()
		if got := w.do("GET", "/metrics", "").Body.String(); strings.Contains(got, "certificate_end") {
			t.Error("/metrics tells the end of a certificate that cannot be read")
		}
		w.certificateEnds(time.Now().Add(90 * 24 * time.Hour))
		w.after(alarmEvery)
		w.wantEvents("info certificate ends soon: over after=2h0m5s of=frontend main")
		w.certificateEnds(time.Time{})
		w.after(time.Hour)
		w.wantEvents()
	})
}

// TestAlarmsAreThoseOfTheRules holds what Prometheus and webhooks tell to the same thresholds.
func TestAlarmsAreThoseOfTheRules(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(monitoring, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Alert, Expr string
		For         time.Duration
	}
	var rules struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		alarm
		expr string
	}{
		"BoltgateNoLeader":        {noLeader, "boltgate_database_has_leader == 0"},
		"BoltgateMemberDown":      {memberDown, `condition="maint"`},
		"BoltgateQueueGrowing":    {queueGrows, fmt.Sprintf("deriv(boltgate_member_queued[%.0fm]) > 0", (grownOver * alarmEvery).Minutes())},
		"BoltgateMemberLags":      {memberLags, fmt.Sprint("> ", lagsBy)},
		"BoltgateCertificateEnds": {certificateEnds, fmt.Sprintf("< %d * 86400", endsSoon/(24*time.Hour))},
	} {
		all := rules.Groups[0].Rules
		i := slices.IndexFunc(all, func(r rule) bool { return r.Alert == name })
		if i < 0 || all[i].For != want.lasts || !strings.Contains(all[i].Expr, want.expr) {
			t.Errorf("%s: want one for %v with %s in %+v", name, want.lasts, want.expr, all)
		}
	}
}

// roundTripper is a network of which all servers are one function.
type roundTripper func(*http.Request) string

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Body: io.NopCloser(strings.NewReader(f(r)))}, nil
}

func TestAnAlarmReachesAWebhook(t *testing.T) {
	withAlarms(t, func(w *alarmWorld) {
		got := make(chan Event, 10)
		w.hooks.client.Transport = roundTripper(func(r *http.Request) string {
			got <- decode[Event](t, r.Body)
			return ""
		})
		if err := w.Apply(Options{Webhooks: []Webhook{{URL: "http://hook/", Level: "warn"}}}); err != nil {
			t.Fatal(err)
		}
		w.shows("a neo4j=leader", "b down")
		w.after(2 * time.Minute)
		w.shows("a neo4j=leader", "b neo4j=follower")
		w.after(2 * time.Minute)
		if len(got) != 1 {
			t.Fatalf("%d events came; want the warning", len(got))
		}
		if ev := <-got; ev.Level != "warn" || ev.Event != "member down" || ev.Fields["member"] != "b" {
			t.Errorf("got %+v", ev)
		}
	})
}
