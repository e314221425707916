package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// monitoring is where what is made of the metrics is.
var monitoring = filepath.Join("..", "examples", "monitoring")

// knownMetrics are the names in the golden, with those that Prometheus makes of a histogram.
func knownMetrics(t *testing.T) map[string]bool {
	text, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for l := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(l, " ")
		name, _, _ = strings.Cut(name, "{")
		known[name] = true
	}
	return known
}

var metricName = regexp.MustCompile(`\bboltgate_[a-z_]+`)

// TestEveryMetricInExamplesExists holds the dashboard, the alerts and their tests to the metrics that there are.
func TestEveryMetricInExamplesExists(t *testing.T) {
	known := knownMetrics(t)
	for _, file := range []string{"grafana-dashboard.json", "rules.yml", "rules_test.yml"} {
		text, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		found := metricName.FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s: only %d metrics", file, len(found))
		}
		for _, name := range found {
			if !known[name] {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}

// TestTheDashboardIsWhole: Grafana takes what it cannot draw without a word.
func TestTheDashboardIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(monitoring, "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 10 {
		t.Errorf("got %q, %q, %d panels", d.Title, d.UID, len(d.Panels))
	}
	taken := map[string]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := fmt.Sprint(x, ",", y)
				if taken[at] != "" {
					t.Fatalf("%s lies on %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
	}
}

// TestEveryAlertHasATestThatItFires reads which alerts rules_test.yml expects.
func TestEveryAlertHasATestThatItFires(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert string }
		}
	}
	var tests struct {
		Tests []struct {
			Rules []struct {
				Name   string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	for file, v := range map[string]any{"rules.yml": &rules, "rules_test.yml": &tests} {
		text, err := os.ReadFile(filepath.Join(monitoring, file))
		if err == nil {
			err = yaml.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, one := range tests.Tests {
		for _, r := range one.Rules {
			fires[r.Name] = fires[r.Name] || len(r.Alerts) > 0
			silent[r.Name] = silent[r.Name] || len(r.Alerts) == 0
		}
	}
	for _, r := range rules.Groups[0].Rules {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: no test that it fires (%v), or that it does not (%v)", r.Alert, fires[r.Alert], silent[r.Alert])
		}
	}
}

// TestRulesByPromtool has Prometheus's own tool check and run the rules.
func TestRulesByPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI is set, so nothing may be skipped: promtool (Debian: apt-get install prometheus) is missing")
		}
		fmt.Fprintln(os.Stderr, "\n*** SKIPPED: the alert rules are not run: promtool (Debian: apt-get install prometheus) is missing")
		t.Skip("SKIPPED: promtool is missing")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		c := exec.Command(tool, args...)
		c.Dir = monitoring
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
