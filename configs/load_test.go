package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const oneMember = "cluster: {members: [{bolt: \"10.0.0.1:7687\"}]}\n"

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestLaterFilesWinPerKey(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LEVEL", "warn")
	base := write(t, dir, "base.yaml", `
cluster:
  members: [{name: a, bolt: "a:7687"}, {name: b, bolt: "b:7687"}]
  check: {interval: 5s, user: neo4j, password_file: no-such-file}
  addresses: {"x:1": "y:1", "x:2": "y:2"}
log: {level: debug, format: json}
`)
	over := write(t, dir, "over.yaml", `
cluster:
  members: [{name: c, bolt: "c:7687"}]
  check: {interval: 6s, password: hunter2}
  addresses: {"x:2": "z:2"}
log: {level: "${LEVEL}"}
routing:
`)
	cfg, err := Load(base, over)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Cluster.Members = []Member{{Name: "c", Bolt: "c:7687", Weight: 1}}
	want.Cluster.Check.Interval, want.Cluster.Check.User, want.Cluster.Check.Password = 6*time.Second, "neo4j", theSecret
	want.Cluster.Addresses = map[string]string{"x:1": "y:1", "x:2": "z:2"}
	want.Log.Level, want.Log.Format = "warn", "json"
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("%q", Diff(want, cfg))
	}
}

func TestFrontendsOwnRoutingLiesOverRouting(t *testing.T) {
	// The section routing stands last on purpose.
	cfg := mustParse(t, `
frontends:
  - {name: a, bind: ":1"}
  - {name: b, bind: ":2", routing: {undeclared: leader}}
  - {name: c, bind: ":3", routing: {balance: round-robin}}
`+oneMember+"routing: {balance: first, leader_reads: always}\n")
	var got []string
	for _, f := range cfg.Frontends {
		got = append(got, f.Routing.Undeclared+" "+f.Routing.Balance+" "+f.Routing.LeaderReads)
	}
	if want := []string{"detect first always", "leader first always", "detect round-robin always"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	if cfg := mustParse(t, oneMember+"routing: {undeclared: read}\n"); cfg.Frontends[0].Routing.Undeclared != "read" {
		t.Error("the default frontend does not take the file's routing")
	}
}

func TestValues(t *testing.T) {
	dir := t.TempDir()
	socket, port := filepath.Join(dir, "a.sock"), write(t, dir, "count", "77\r\n")
	t.Setenv("BG_PORT", "7700")
	t.Setenv("BG_EMPTY", "")
	cfg := mustParse(t, `
frontends:
  - name: "${BG_NAME:-from-default}"
    bind: ["127.0.0.1:${BG_PORT}", "unix:`+socket+`"]
    allow: [10.0.0.0/8, "::1"]
    max_connections_file: `+port+`
    advertise: "gate.example.org:7687"
    keepalive: 0
    timeouts: {queue: 1m30s, client_idle: "${BG_EMPTY:-2s}", server: "${BG_EMPTY:-}${BG_EMPTY:-3s}"}
cluster:
  members:
    - {bolt: "[fd00::1]:7687", tags: ["$${x}$", "a $${y} ${BG_PORT}"]}
    - {http: "b:7474"}
    - {name: x3, bolt: "c:7687"}
  addresses: {"db.example.org:7687": "10.0.0.1:7687"}
failover: {max_held_bytes: 1GiB, hold: 0}
limits: {request: 64KiB}
`)
	f := cfg.Frontends[0]
	want := defaultFrontend(cfg.Routing)
	want.Name, want.Bind, want.Advertise = "from-default", []string{"127.0.0.1:7700", "unix:" + socket}, []string{"gate.example.org:7687"}
	want.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	want.MaxConnections, want.Keepalive = 77, 0
	want.Timeouts.Queue, want.Timeouts.ClientIdle, want.Timeouts.Server = 90*time.Second, 2*time.Second, 3*time.Second
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v\nwant %+v", f, want)
	}
	wantMembers := []Member{
		{Name: "s1", Bolt: "[fd00::1]:7687", Weight: 1, Tags: []string{"${x}$", "a ${y} 7700"}},
		{Name: "s2", HTTP: "b:7474", Weight: 1},
		{Name: "x3", Bolt: "c:7687", Weight: 1},
	}
	if !reflect.DeepEqual(cfg.Cluster.Members, wantMembers) {
		t.Errorf("got %+v\nwant %+v", cfg.Cluster.Members, wantMembers)
	}
	if cfg.Failover.MaxHeldBytes != 1<<30 || cfg.Failover.Hold != 0 || cfg.Limits.Request != 64<<10 || len(cfg.Cluster.Addresses) != 1 {
		t.Errorf("got %+v %+v", cfg.Failover, cfg.Limits)
	}
}

func TestWhatAVariableSaysIsNotExpandedAgain(t *testing.T) {
	env := func(name string) (string, bool) { return map[string]string{"A": "${A}$${"}[name], name == "A" }
	for text, want := range map[string]string{
		"${A}": "${A}$${", "$${A}": "${A}", "$$${A}": "$${A}", "a$b$$c{}": "a$b$$c{}", "${B:-${A}": "${A", "${A}${B:-}": "${A}$${", "": "",
	} {
		if got, err := expand(text, env); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestPasswordFileOfAnotherFolder(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "secrets"), 0o700)
	secret := write(t, filepath.Join(dir, "secrets"), "neo4j", theSecret+"\n")
	text := "cluster:\n  members: [{bolt: \"10.0.0.1:7687\"}]\n  check: {user: neo4j, password_file: secrets/neo4j}\n"
	name := write(t, dir, "boltgate.yaml", text)

	cfg, err := Load(name)
	if err != nil || cfg.Cluster.Check.Password.Value() != theSecret || cfg.Warnings != nil {
		t.Fatalf("got %v, %v", cfg, err)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err = Load(name)
	want := name + ":3:39: cluster.check.password_file: everybody on this machine may read that file; chmod o-r it"
	if err != nil || !slices.Equal(cfg.Warnings, []string{want}) {
		t.Errorf("got %v, %v; want the warning %q", cfg, err, want)
	}
}

func TestSecretHidesInEveryForm(t *testing.T) {
	cfg := Default()
	cfg.Cluster.Check.Password = theSecret
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", cfg.Cluster.Check.Password, "config", cfg)
	for _, got := range []string{string(asJSON), log.String(), fmt.Sprintf("%v %+v %#v", cfg, cfg, *cfg),
		fmt.Sprintf("%s %q %x %X", cfg.Cluster.Check.Password, cfg.Cluster.Check.Password, cfg.Cluster.Check.Password, cfg.Cluster.Check.Password)} {
		if strings.Contains(got, theSecret) || strings.Contains(got, fmt.Sprintf("%x", theSecret)) {
			t.Errorf("the secret shows in %s", got)
		}
	}
}

func TestWarnings(t *testing.T) {
	cfg := mustParse(t, oneMember[:len(oneMember)-2]+", tls: {server_name: x}}\nfailover: {max_held: 0}\n")
	cfg.Warnings = slices.DeleteFunc(cfg.Warnings, func(w string) bool { return strings.Contains(w, "check.user") }) // TestRolesThatNobodyTells
	want := []string{
		"f.yaml:1:52: cluster.tls: mode is off, so that nothing else here has an effect",
		"f.yaml:2:22: failover.max_held: 0 lets nothing wait; failover.hold has no effect",
	}
	if !slices.Equal(cfg.Warnings, want) {
		t.Errorf("got %q; want %q", cfg.Warnings, want)
	}
}

func TestRolesThatNobodyTells(t *testing.T) {
	const user, tcp = "cluster.check.user: not set, and over Bolt", "cluster.check.method: tcp learns no roles"
	for text, want := range map[string]string{
		`members: [{bolt: "a:1"}]`:                                                "f.yaml:1:10: " + user,
		`members: [{bolt: "a:1", http: "a:2"}, {bolt: "b:1"}]`:                    "(s2)",
		`members: [{bolt: "a:1", http: "a:2"}], check: {method: bolt}`:            "(s1)",
		`generation: autonomous, members: [{bolt: "a:1"}], check: {interval: 2s}`: "f.yaml:1:68: " + user,
		`members: [{bolt: "a:1", http: "a:2"}], check: {method: tcp}`:             tcp,
		`members: [{bolt: "a:1"}], check: {user: u, password: p, method: tcp}`:    tcp,
		`members: [{bolt: "a:1"}], check: {user: u, password: p}`:                 "",
		`members: [{bolt: "a:1", http: "a:2"}, {http: "b:2"}]`:                    "",
		`generation: standalone, members: [{bolt: "a:1"}]`:                        "",
		`generation: standalone, members: [{bolt: "a:1"}], check: {method: tcp}`:  "",
	} {
		got := mustParse(t, "cluster: {"+text+"}\n").Warnings
		if len(got) > 1 || (len(got) == 0) != (want == "") || len(got) == 1 && !strings.Contains(got[0], want) {
			t.Errorf("%s: got warnings %q; want %q", text, got, want)
		}
	}
	cfg := Default()
	cfg.Cluster.Members = []Member{{Name: "s1", Bolt: "a:1", Weight: 1}}
	if err := Validate(cfg); err != nil || len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], user) {
		t.Errorf("without a file: got %q, %v", cfg.Warnings, err)
	}
}

func TestBindTemplates(t *testing.T) {
	cfg := mustParse(t, oneMember+`frontends: [{name: main, bind: "{{ GetAllInterfaces | include \"flags\" \"loopback\" | include \"type\" \"IPv4\" | limit 1 | attr \"address\" }}:7687"}]`)
	if got := cfg.Frontends[0].Bind; !slices.Equal(got, []string{"127.0.0.1:7687"}) {
		t.Errorf("got %q", got)
	}
}

func TestStandalone(t *testing.T) {
	two := "cluster: {generation: standalone, members: [{bolt: \"a:1\"}, {bolt: \"b:1\"}]}\n"
	mustParse(t, two+"routing: {balance: first}\n")
	mustParse(t, strings.Replace(two, ", {bolt: \"b:1\"}", "", 1))
	if _, err := Parse("f.yaml", []byte(two)); err == nil {
		t.Error("got no fault")
	}
}

func TestFrontendTLSModes(t *testing.T) {
	cert, key := certificate(t)
	for text, want := range map[string]string{
		"{}":                                     "off",
		"{cert: " + cert + ", key: " + key + "}": "optional",
		"{cert: " + cert + ", key: " + key + ", mode: required}": "required",
		"{cert: " + cert + ", key: " + key + ", mode: off}":      "off",
	} {
		cfg := mustParse(t, oneMember+"frontends: [{name: main, bind: \":1\", tls: "+text+"}]\n")
		if got := cfg.Frontends[0].TLS.Mode; got != want {
			t.Errorf("%s: got %s; want %s", text, got, want)
		}
		if warned := strings.Contains(fmt.Sprint(cfg.Warnings), "tls"); warned != strings.Contains(text, "off") {
			t.Errorf("%s: got warnings %q", text, cfg.Warnings)
		}
	}
	mustParse(t, strings.Replace(oneMember, "]}", "], tls: {mode: verify, ca: "+cert+"}}", 1))
}

func TestBindsThatTheKernelWouldRefuse(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{":7687", "0.0.0.0:7687", true},
		{":7687", "10.0.0.1:7687", true},
		{"[::]:7687", "127.0.0.1:7687", true},
		{"127.0.0.1:7687", "127.0.0.2:7687", false},
		{":7687", ":7688", false},
		{":0", ":0", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", ":0", false},
	} {
		a, errA := parseBind("a", tt.a)
		b, errB := parseBind("b", tt.b)
		if errA != nil || errB != nil || a.overlaps(b) != tt.want || b.overlaps(a) != tt.want {
			t.Errorf("%s and %s: got %v; want %v (%v, %v)", tt.a, tt.b, a.overlaps(b), tt.want, errA, errB)
		}
	}
}

func TestValidateWithoutAFile(t *testing.T) {
	cfg := Default()
	if err := Validate(cfg); err == nil || !strings.HasPrefix(err.Error(), "cluster.members: no member is named") {
		t.Errorf("got %v", err)
	}
	cfg.Cluster.Members = []Member{{Name: "a", Bolt: "a:7687", Weight: 1}}
	if err := Validate(cfg); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestBackupJobs(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "f.yaml", `
cluster: {members: [{bolt: "a:1"}]}
backup: {nightly: {watch: "backups/*.backup", every: 26h}, weekly: {watch: "/b/[0-9]?", every: 1m}}
`)
	cfg, err := Load(file, write(t, dir, "over.yaml", "backup: {nightly: {every: 25h}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]BackupJob{"nightly": {filepath.Join(dir, "backups/*.backup"), 25 * time.Hour}, "weekly": {"/b/[0-9]?", time.Minute}}
	if !reflect.DeepEqual(cfg.Backup, want) {
		t.Errorf("got %+v; want %+v", cfg.Backup, want)
	}
}

func TestDiff(t *testing.T) {
	a := mustParse(t, `
frontends: [{name: a, bind: ":1", allow: [10.0.0.0/8]}, {name: b, bind: ":2"}]
cluster: {members: [{name: x, bolt: "x:1"}, {name: y, bolt: "y:1"}], addresses: {"a:1": "b:1", "c:1": "d:1"}, check: {user: u, password: hunter2}}
backup: {nightly: {watch: /b/*.backup, every: 26h}, weekly: {watch: /b/*.full, every: 200h}}
`)
	b := mustParse(t, `
frontends: [{name: b, bind: ":2", timeouts: {queue: 5m}}, {name: a, bind: [":1", ":3"]}]
cluster: {members: [{name: x, bolt: "x:1", weight: 2}, {name: z, bolt: "z:1"}], addresses: {"a:1": "b:2", "e:1": "f:1"}, check: {user: u, password: hunter3}}
failover: {max_held_bytes: 1MiB}
backup: {nightly: {watch: /b/*.backup, every: 25h30m}, hourly: {watch: /b/*.log, every: 2h}}
`)
	want := []string{
		`frontends[a].bind: [":1"] -> [":1", ":3"]`,
		`frontends[a].allow: [10.0.0.0/8] -> []`,
		`frontends[b].timeouts.queue: 10s -> 5m`,
		`frontends: order changed`,
		`cluster.members[x].weight: 1 -> 2`,
		`cluster.members[y]: removed`,
		`cluster.members[z]: added`,
		`cluster.addresses["a:1"]: "b:1" -> "b:2"`,
		`cluster.addresses["c:1"]: removed`,
		`cluster.addresses["e:1"]: added "f:1"`,
		`cluster.check.password: changed`,
		`failover.max_held_bytes: 64MiB -> 1MiB`,
		`backup["hourly"]: added`,
		`backup["nightly"].every: 26h -> 25h30m`,
		`backup["weekly"]: removed`,
	}
	if got := Diff(a, b); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := Diff(a, a); got != nil {
		t.Errorf("got %q; want nothing", got)
	}
}

// certificate writes a certificate of its own and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"gate.example.org"}}
	public, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert = write(t, dir, "gate.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})))
	return cert, write(t, dir, "gate.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}
