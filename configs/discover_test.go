package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestDNSNames(t *testing.T) {
	for text, want := range map[string]DNSName{
		"neo4j":                           {"neo4j", 7687, 7474},
		"neo4j.default.svc.cluster.local": {"neo4j.default.svc.cluster.local", 7687, 7474},
		"db.example.org.":                 {"db.example.org.", 7687, 7474},
		"db:9000":                         {"db", 9000, 0},
		"bolt://db":                       {"db", 7687, 0},
		"bolt://db:9000":                  {"db", 9000, 0},
		"http://db":                       {"db", 0, 7474},
		"http://db:8080":                  {"db", 0, 8080},
	} {
		if got, err := ParseDNS(text, false); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	if got, err := ParseDNS("db", true); err != nil || got.HTTP != 7473 {
		t.Errorf("with TLS: got %+v, %v; want the port of HTTPS", got, err)
	}
}

func TestSRVNames(t *testing.T) {
	for text, http := range map[string]bool{
		"_bolt._tcp.example.org":                         false,
		"_tcp-bolt._tcp.neo4j.default.svc.cluster.local": false,
		"_tcp-http._tcp.neo4j.default.svc.cluster.local": true,
		"_HTTP._tcp.example.org":                         true,
		"neo4j.service.consul":                           false,
		"_bolt._tcp.http.org":                            false,
	} {
		if got, err := ParseSRV(text); err != nil || got.HTTP != http || got.Name != text {
			t.Errorf("%s: got %+v, %v; want HTTP %v", text, got, err, http)
		}
	}
}

func TestDiscoveryAlone(t *testing.T) {
	tests := map[string]struct {
		text     string
		check    func(*Config) bool
		warnings string // part of them; "" none
	}{
		"one name":                   {"discover: {dns: db.example.org}", func(c *Config) bool { return slices.Equal(c.Cluster.Discover.DNS, []string{"db.example.org"}) }, ""},
		"names that are empty texts": {"members: [{bolt: \"a:7687\"}]\n  discover: {dns: \"\", srv: \"\"}", func(c *Config) bool { return !c.Cluster.Discover.On() }, "cluster.check.user"},
		"a server's port":            {"discover: {dns: db, resolvers: 10.0.0.10}", func(c *Config) bool { return c.Cluster.Discover.Resolvers[0] == "10.0.0.10:53" }, ""},
		"an IPv6 server":             {"discover: {dns: db, resolvers: \"fd00::1\"}", func(c *Config) bool { return c.Cluster.Discover.Resolvers[0] == "[fd00::1]:53" }, ""},
		"Bolt alone without a user":  {"discover: {dns: \"db:7687\"}", nil, "cluster.check.user: not set, and over Bolt members tell their roles only to a logged-in user (db:7687)"},
		"Bolt and HTTP apart":        {"discover: {dns: [\"bolt://db\", \"http://db\"]}", nil, ""},
		"SRV of Bolt":                {"discover: {srv: _bolt._tcp.db}", nil, "(_bolt._tcp.db)"},
		"SRV of both":                {"discover: {srv: [_bolt._tcp.db, _http._tcp.db]}", nil, ""},
		"servers to ask nothing":     {"members: [{http: \"a:7474\", bolt: \"a:7687\"}]\n  discover: {resolvers: 10.0.0.10}", nil, "there is no name in cluster.discover"},
		"cold spares by name":        {"generation: standalone\n  discover: {dns: db}\nrouting: {balance: first}", nil, ""},
		"a found member by its name": {"discover: {dns: db}\nfrontends: [{name: one, bind: \":1\", member: \"10.0.0.1:7687\"}]", nil, ""},
	}
	for name, tt := range tests {
		cfg, err := Parse("f.yaml", []byte("cluster:\n  "+tt.text+"\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tt.check != nil && !tt.check(cfg) {
			t.Errorf("%s: got %+v", name, cfg.Cluster.Discover)
		}
		if got := strings.Join(cfg.Warnings, "\n"); (tt.warnings == "") != (got == "") || !strings.Contains(got, tt.warnings) {
			t.Errorf("%s: got warnings %q; want %q", name, got, tt.warnings)
		}
	}
}
