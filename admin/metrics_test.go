package admin

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata, or writes it when -update is given.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s: %v; got\n%s\nwant\n%s", file, err, got, want)
	}
}

func TestMetrics(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	got := w.do("GET", "/metrics", "")
	if got.Code != 200 {
		t.Fatalf("got %d %s", got.Code, got.Body)
	}
	var ours []string
	for lines := bufio.NewScanner(got.Body); lines.Scan(); {
		if line := strings.TrimPrefix(lines.Text(), "# HELP "); strings.HasPrefix(line, "boltgate_") {
			ours = append(ours, line)
		}
	}
	golden(t, "metrics.golden", strings.Join(ours, "\n")+"\n")
}

// TestMetricsTellAFewDatabasesApart: of more the first by name are there, whatever label of theirs it is.
func TestMetricsTellAFewDatabasesApart(t *testing.T) {
	w := newTestWorld(t, Options{})
	const databases = maxLabelled + 50
	roles, progress := map[string]cluster.Role{}, map[string]cluster.Progress{}
	for i := range databases {
		name := fmt.Sprintf("db%04d", i)
		roles[name], progress[name] = cluster.Leader, cluster.Progress{Tx: 9, Lag: 1}
	}
	w.current.Publish(&cluster.View{Members: []*cluster.Status{{Member: &cluster.Member{Name: "a"}, Up: true, Roles: roles, Progress: progress}}})
	text := w.do("GET", "/metrics", "").Body.String()
	for _, name := range []string{"database_has_leader", "member_role", "member_lag_transactions"} {
		if n := strings.Count(text, "\nboltgate_"+name+"{"); n != maxLabelled {
			t.Errorf("%s has %d series; want %d", name, n, maxLabelled)
		}
	}
	for i, want := range map[int]bool{0: true, maxLabelled - 1: true, maxLabelled: false, databases - 1: false} {
		if label := fmt.Sprintf(`database="db%04d"`, i); strings.Contains(text, label) != want {
			t.Errorf("%s is there: %v; want %v", label, !want, want)
		}
	}
}

func TestWhoMayReadMetrics(t *testing.T) {
	o := withLogins(t)
	w := newTestWorld(t, o).cluster()
	w.want(200, "boltgate_ready 1", "GET", "/metrics", "")
	o.MetricsLogin = true
	if err := w.Apply(o); err != nil {
		t.Fatal(err)
	}
	w.want(401, "log in", "GET", "/metrics", "")
	w.want(200, "boltgate_ready 1", "GET", "/metrics", "", "Authorization: Bearer "+token)
}

func TestStatsAsHAProxyWritesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWorld(t, withLogins(t)).cluster()
		w.want(401, "", "GET", "/stats;csv", "")
		got := w.do("GET", "/stats;csv", "", basic("vic", "viewed"))
		golden(t, "stats.golden", got.Body.String())
		rows := decode[[]map[string]string](t, w.do("GET", "/stats;json", "", basic("vic", "viewed")).Body)
		lines := strings.Split(strings.TrimSpace(got.Body.String()), "\n")
		if len(rows) != len(lines)-1 || rows[1]["svname"] != "a" || rows[1]["status"] != "UP" || rows[3]["status"] != "DRAIN" {
			t.Errorf("got %v", rows)
		}
		for _, line := range lines {
			if n := strings.Count(line, ","); n != len(columns) {
				t.Errorf("%d commas in %s; want %d", n, line, len(columns))
			}
		}
	})
}

func TestRatesAndLatenciesAreThoseOfTheLastMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWorld(t, Options{}).cluster()
		member := func() MemberInfo { return get[[]MemberInfo](w, "/api/v1/members")[0] }
		if m := member(); m.Rate != 0 || m.Latency != (Latency{}) {
			t.Errorf("before anybody looked: %+v", m)
		}
		for range 10 {
			w.gate.mu.Lock()
			n := w.gate.counters["a"]
			n.Writes[pool.Bolt].Buckets[4] += 20
			w.gate.counters["a"] = n
			w.gate.mu.Unlock()
			time.Sleep(sampleEvery)
			synctest.Wait()
		}
		if m := member(); m.Rate != 10 || m.Latency.P50 < 0.5 || m.Latency.P99 > 1 {
			t.Errorf("got %+v; want 10 a second of up to 1 ms", m)
		}
		time.Sleep(2 * unwatched)
		synctest.Wait()
		w.sampler.mu.Lock()
		defer w.sampler.mu.Unlock()
		if w.sampler.timer != nil || w.sampler.kept != nil {
			t.Error("samples are taken though nobody looks")
		}
	})
}

func TestSessions(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	show := func(path string) string {
		info := get[SessionsInfo](w, path)
		var ids []string
		for _, one := range info.Sessions {
			ids = append(ids, strings.TrimPrefix(one.ID, "boltgate-")+" "+one.State+" "+one.Access)
		}
		return fmt.Sprint(info.Total, " ", strings.Join(ids, ", "))
	}
	for path, want := range map[string]string{
		"/api/v1/sessions":         "4 10 in transaction read, 1 working write, 4 waiting , 3 idle ",
		"/api/v1/sessions?limit=1": "4 10 in transaction read",
		"/api/v1/queries":          "3 10 in transaction read, 1 working write, 4 waiting ",
	} {
		if got := show(path); got != want {
			t.Errorf("%s: got %s; want %s", path, got, want)
		}
	}
	for _, limit := range []string{"0", "-1", "x", "100001"} {
		w.want(400, "limit is a number", "GET", "/api/v1/sessions?limit="+limit, "")
	}
	w.want(204, "", "DELETE", "/api/v1/sessions/boltgate-1", "")
	w.want(404, "no client", "DELETE", "/api/v1/sessions/boltgate-2", "")
	if !slices.Equal(w.gate.killed, []string{"boltgate-1"}) {
		t.Errorf("killed %q", w.gate.killed)
	}
	if all := w.events.Since(0); len(all) != 2 || all[0].Event != "operator's kill" || all[0].Fields["session"] != "boltgate-1" || all[1].Level != "warn" {
		t.Errorf("got %+v", all)
	}
}
