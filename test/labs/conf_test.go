package labs

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func settings(conf string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(conf) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		m[key] = value // the last one counts, as in the server
	}
	return m
}

func TestConfNamesEveryMemberToTheOthers(t *testing.T) {
	all, err := layOut(4)
	if err != nil {
		t.Fatal(err)
	}
	discovery := func(n int) string { return join(all[:n]) }
	for _, test := range []struct {
		lab    Lab
		member int
		want   map[string]string
	}{
		{HA, 1, map[string]string{"dbms.mode": "HA", "ha.server_id": "2", "ha.initial_hosts": discovery(3), "dbms.connector.bolt.listen_address": loopback(all[1].bolt)}},
		{Causal, 0, map[string]string{"dbms.mode": "CORE", "causal_clustering.initial_discovery_members": discovery(3),
			"causal_clustering.raft_advertised_address": loopback(all[0].raft)}},
		{Causal, 3, map[string]string{"dbms.mode": "READ_REPLICA", "causal_clustering.initial_discovery_members": discovery(3)}},
		{Community44, 0, map[string]string{"dbms.mode": "", "dbms.connector.http.listen_address": loopback(all[0].http)}},
		{Community2026, 0, map[string]string{"server.bolt.listen_address": loopback(all[0].bolt), "dbms.security.auth_enabled": "true"}},
	} {
		members := all[:test.lab.Cores+test.lab.Replicas]
		got := settings(test.lab.conf(members, test.member, "/logs"))
		for key, want := range test.want {
			if got[key] != want {
				t.Errorf("lab %s, member %d: %s is %q; want %q", test.lab.Name, test.member, key, got[key], want)
			}
		}
	}
	if got := settings(HA.conf(all[:3], 0, "/logs") + founder(all[0]))["ha.initial_hosts"]; got != loopback(all[0].discovery) {
		t.Errorf("the founder looks for %s; want itself alone", got)
	}
}

func TestPortsAreFreeAndDistinct(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	all, err := layOut(4)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range all {
		for _, port := range []int{p.bolt, p.http, p.discovery, p.transaction, p.raft, p.backup} {
			if seen[port] || port < 20000 || port >= 32000 {
				t.Errorf("port %d in %+v", port, all)
			}
			seen[port] = true
		}
	}
}

func TestWhatTheShellSetsDoesNotReachServers(t *testing.T) {
	for _, name := range []string{"NEO4J_HOME", "NEO4J_CONF", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"} {
		t.Setenv(name, "leak")
	}
	t.Setenv("BOLTGATE_KEPT", "kept")
	env := cleanEnv()
	if i := slices.IndexFunc(env, func(kv string) bool { return strings.HasSuffix(kv, "=leak") }); i >= 0 || !slices.Contains(env, "BOLTGATE_KEPT=kept") {
		t.Fatalf("got %q", env)
	}
}

// recorder is a test that notes how it ended instead of ending.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.ended = "skipped: " + fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.ended = "failed: " + fmt.Sprintf(format, args...)
}

func TestNothingIsSkippedInCI(t *testing.T) {
	if testing.Short() {
		t.Skip("-short skips every lab before it asks")
	}
	for _, test := range []struct {
		ci   string
		err  error
		want string // the beginning of how the test ended; "" when it goes on
	}{
		{"", nil, ""},
		{"true", nil, ""},
		{"", fmt.Errorf("no Java"), "skipped: SKIPPED: lab x: no Java"},
		{"true", fmt.Errorf("no Java"), "failed: lab x: CI is set"},
	} {
		t.Setenv("CI", test.ci)
		r := &recorder{TB: t}
		Require(r, "lab x", test.err)
		if !strings.HasPrefix(r.ended, test.want) || test.want == "" && r.ended != "" {
			t.Errorf("CI=%q, %v: got %q; want %q", test.ci, test.err, r.ended, test.want)
		}
	}
}

// TestAPortWithAnEndedConnectionIsNotFree: what Java binds without SO_REUSEADDR would not get it.
func TestAPortWithAnEndedConnectionIsNotFree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()              // first, so that its side remembers
	io.Copy(io.Discard, client) //nolint:errcheck // until it knows
	client.Close()
	l.Close()
	if l, err := net.Listen("tcp", l.Addr().String()); err != nil {
		t.Errorf("an ordinary listener: %v", err)
	} else {
		l.Close()
	}
	for range 100 { // until the client's side has answered
		l, err := alone.Listen(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return
		}
		l.Close()
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the port is taken for free")
}

// TestHostsOfTheirOwn: members on hosts of their own talk to clients and to each other on different networks.
func TestHostsOfTheirOwn(t *testing.T) {
	all, err := layOut(4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i].host = Host{Front: fmt.Sprintf("10.77.1.%d", i+1), Back: fmt.Sprintf("10.77.2.%d", i+1)}
	}
	for _, lab := range []Lab{HA, Causal} {
		text := lab.conf(all[:lab.Cores+lab.Replicas], 1, "/logs")
		for key, value := range settings(text) {
			if strings.HasSuffix(key, "listen_address") && strings.HasPrefix(value, "127.") {
				t.Errorf("%s: %s=%s", lab.Name, key, value)
			}
		}
		if got := settings(text)["dbms.connector.bolt.listen_address"]; !strings.HasPrefix(got, "10.77.1.2:") {
			t.Errorf("%s: Bolt at %s", lab.Name, got)
		}
		if strings.Count(text, "10.77.2.1:") == 0 || strings.Contains(text, "10.77.1.1:") {
			t.Errorf("%s: the others are looked for in the wrong place:\n%s", lab.Name, text)
		}
	}
}
