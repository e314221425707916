package bench

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/configs"
)

func TestRatiosAreToHAProxyAndToDirect(t *testing.T) {
	m := measurement{name: "auto-commit"}
	r := newReport(&Plan{})
	for round, cpu := range []float64{10, 20} { // 100 and 300 operations: 17.5 each
		r.add(m, Direct, round, Result{Operations: 100, PerSecond: 1000})
		r.add(m, Boltgate, round, Result{Operations: 200, PerSecond: 400, WatchedCPU: 21})
		r.add(m, HAProxy, round, Result{Operations: int64(100 + 200*round), PerSecond: 500, WatchedCPU: cpu})
	}
	for round, p99 := range []float64{300, 100, 200} {
		r.add(m, HAProxy, round, Result{Operations: 100, Offered: 50, P99: p99, WatchedCPU: 40})
		r.add(m, Boltgate, round, Result{Operations: 100, Offered: 50, P99: p99 * 1.1, WatchedCPU: 50})
	}
	row := r.find("auto-commit", Boltgate)
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"CPU", row.CPU, 21},
		{"CPU to HAProxy's, whose rounds count by their operations", row.CPURatio, 21 / 17.5},
		{"throughput", row.PerSecond, 400},
		{"throughput to direct's", row.RateRatio, .4},
		{"CPU at the offered load", row.LoadedCPU, 50},
		{"the same to HAProxy's", row.LoadedRatio, 1.25},
		{"p99, the median of the rounds at the offered load", row.P99, 220},
		{"p99 to HAProxy's", row.P99Ratio, 1.1},
	} {
		if math.Abs(tt.got-tt.want) > 1e-9 {
			t.Errorf("%s: got %v; want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestMarkdownRowsHaveTheHeadersCells(t *testing.T) {
	r := newReport(&Plan{})
	r.add(measurement{name: "connect"}, HAProxy, 0, Result{Operations: 1, PerSecond: 2})
	r.Idle = []Memory{{Contender: HAProxy, Protocol: "http", Clients: 10, RSSPerClient: 2048}}
	r.Skipped = []string{"x: because"}
	text := r.Markdown()
	cells := -1
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		n := strings.Count(line, "|")
		if cells >= 0 && n != cells {
			t.Errorf("%d cells where the header has %d: %s", n, cells, line)
		}
		cells = n
	}
	for _, want := range []string{"| connect | haproxy |", "2.00 KiB resident", "per idle http client, of 10", "x: because"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func filled(t *testing.T, text string, values map[string]string) []byte {
	t.Helper()
	text, err := fill(text, values)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func TestAVariableWithoutAValueIsAnError(t *testing.T) {
	if _, err := fill("${A} ${B}", map[string]string{"A": "x"}); err == nil || !strings.Contains(err.Error(), "${B}") {
		t.Errorf("got %v", err)
	}
}

func TestBoltgatesFileIsValid(t *testing.T) {
	secret := t.TempDir() + "/password"
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		scene
	}{
		{"in front of a standalone server", scene{generation: "standalone", members: []Addresses{{Bolt: "127.0.0.1:1", HTTP: "127.0.0.1:2"}}}},
		{"in front of a real server, Bolt alone", scene{generation: "standalone", members: []Addresses{{Bolt: "127.0.0.1:1"}}}},
		{"in front of four", scene{generation: "ha", members: []Addresses{{Bolt: "127.0.0.1:1", HTTP: "127.0.0.1:2"}, {Bolt: "127.0.0.1:3", HTTP: "127.0.0.1:4"}}}},
	} {
		tt.maxConn, tt.auth = 1000, login{user: "neo4j"}
		text := filled(t, boltgateTemplate, gateValues(tt.scene, "127.0.0.1:5", secret))
		c, err := configs.Parse("boltgate.yaml", text)
		if err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, text)
			continue
		}
		if len(c.Cluster.Members) != len(tt.members) || c.Cluster.Generation != tt.generation || c.Cluster.Check.User != "neo4j" {
			t.Errorf("%s: got %+v", tt.name, c.Cluster)
		}
	}
}

func TestHAProxysFileIsValid(t *testing.T) {
	path, err := findHAProxy()
	if err != nil {
		t.Skip("SKIPPED: haproxy is not installed, so its file is not checked")
	}
	file := t.TempDir() + "/haproxy.cfg"
	text := filled(t, haproxyTemplate, map[string]string{
		"MaxConn": "1000", "ListenBolt": "127.0.0.1:5", "ListenHTTP": "127.0.0.1:6", "Bolt": "127.0.0.1:7", "HTTP": "127.0.0.1:8", "CheckPath": "/",
	})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "-c", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
