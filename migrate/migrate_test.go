package migrate

import (
	"encoding/pem"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/test/reloads"
)

var update = flag.Bool("update", false, "write the goldens anew")

// aHash is a bcrypt hash, always the same.
const aHash = "$2a$10$YaDJIc4WtKdLCnEe3by2jeSOLR7ip4XhzSVFSvkIn.djFSRwwKoze"

func hash(string) (string, error) { return aHash, nil }

func configurations(t testing.TB) []string {
	names, err := filepath.Glob("testdata/*.cfg")
	if err != nil || len(names) < 8 {
		t.Fatal(names, err)
	}
	return names
}

// authority writes a PEM file with a certificate.
func authority(t testing.TB) string {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	name := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func text(t testing.TB, name, ca string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "@CA@", ca)
}

// TestWhatPeopleRun holds each configuration to what is made of it, and that to be valid.
func TestWhatPeopleRun(t *testing.T) {
	ca := authority(t)
	t.Setenv(passwordVariable, "test")
	for _, name := range configurations(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			r, err := Convert(text(t, name, ca), Options{Name: filepath.Base(name), Hash: hash})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := configs.Parse("boltgate.yaml", r.YAML); err != nil {
				t.Errorf("not valid: %v\n%s", err, r.YAML)
			}
			got, golden := strings.ReplaceAll(string(r.YAML), ca, "@CA@"), strings.TrimSuffix(name, ".cfg")+".yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestPasswordsInFiles: with a stem, passwords stand in files beside the result, which is valid with them.
func TestPasswordsInFiles(t *testing.T) {
	ca := authority(t)
	for _, name := range configurations(t) {
		r, err := Convert(text(t, name, ca), Options{Name: name, Stem: "gate", Hash: hash})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		main := filepath.Join(dir, "gate.yaml")
		for file, content := range r.Files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(main, r.YAML, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := configs.Load(main)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := r.Files["gate.check-password"]; cfg.Cluster.Check.Password.Value()+"\n" != want && want != "" {
			t.Errorf("%s: the checks' password is %q; want %q", name, cfg.Cluster.Check.Password.Value(), want)
		}
	}
}

// TestTheClassicOne spells out what the golden of the classic configuration means.
func TestTheClassicOne(t *testing.T) {
	r, err := Convert(text(t, "testdata/classic.cfg", ""), Options{Stem: "gate", Hash: func(p string) (string, error) { return "hash of " + p, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files["gate.check-password"] != "test\n" || r.Files["gate.admin-admin.bcrypt"] != "hash of 123\n" {
		t.Errorf("got files %q", r.Files)
	}
	for _, n := range r.Notes {
		if n.Lost {
			t.Errorf("lost: %v", n)
		}
	}
}

// TestNoSecretIsShown: no password of a configuration stands in what is made of it, in any form.
func TestNoSecretIsShown(t *testing.T) {
	for _, name := range configurations(t) {
		for _, stem := range []string{"", "gate"} {
			r, err := Convert(text(t, name, "x"), Options{Name: name, Stem: stem, Hash: hash})
			if err != nil {
				t.Fatal(err)
			}
			all := string(r.YAML) + fmt.Sprint(r.Notes)
			for _, secret := range []string{"bmVvNGo6dGVzdA", "neo4j:test", "admin:123", "someuser:password"} {
				if strings.Contains(all, secret) {
					t.Errorf("%s: %q stands in\n%s", name, secret, all)
				}
			}
		}
	}
	r, err := Convert("userlist u\n user ada insecure-password geheim\n"+minimal+" reqadd Authorization:\\ Basic\\ Z2VoZWlt\n http-request auth realm geheim\n", Options{Hash: hash})
	if err != nil {
		t.Fatal(err)
	}
	if all := string(r.YAML) + fmt.Sprint(r.Notes); strings.Contains(all, "geheim") || strings.Contains(all, "Z2Vo") {
		t.Error(all)
	}
}

const minimal = "listen neo\n bind :7687\n server s1 10.0.0.1:7687\n"

// TestEveryLineIsAccountedFor puts a keyword that nobody knows, and one out of place, behind each line.
func TestEveryLineIsAccountedFor(t *testing.T) {
	for _, name := range configurations(t) {
		lines := strings.Split(text(t, name, "x"), "\n")
		for i := range lines {
			changed := strings.Join(lines[:i+1], "\n") + "\nfrobnicate all\n" + strings.Join(lines[i+1:], "\n")
			r, err := Convert(changed, Options{Hash: hash})
			if err != nil {
				if !strings.Contains(err.Error(), "stands in no section") {
					t.Fatal(name, i, err)
				}
				continue
			}
			found := false
			for _, n := range r.Notes {
				found = found || n.Line == i+2 && n.Lost
			}
			if !found {
				t.Fatalf("%s: a line behind line %d is left out in silence: %v", name, i+1, r.Notes)
			}
		}
	}
}

func TestWhatALineBecomes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a header of their own is not looked at", "frontend f\n bind :80\n mode http\n use_backend m if { hdr(X-Master) 1 }\n default_backend a\nbackend a\n mode http\n option httpchk GET /db/manage/server/ha/available\n server s1 h1:7474 check\nbackend m\n mode http\n option httpchk GET /db/manage/server/ha/master\n server s1 h1:7474 check\n", "lost line 4"},
		{"a body that no member answers", minimal + " option httpchk GET /db/manage/server/ha/master\n http-check expect string false\n http-check expect status 200\n", "lost line 4"},
		{"a regular expression that cannot be read", minimal + " option httpchk GET /db/manage/server/ha/master\n http-check expect rstring (?=x)\n", "lost line 5"},
		{"another cluster's path", minimal + " option httpchk GET /db/manage/server/ha/master\nlisten b\n bind :7688\n option httpchk GET /db/manage/server/core/writable\n server s9 10.0.0.9:7687\n", "lost line 7"},
		{"a login that is none", minimal + " option httpchk GET / HTTP/1.0\\r\\nAuthorization:\\ Bearer\\ x\n", "lost line 4"},
		{"backup", minimal + " server s2 10.0.0.2:7687 backup\n", "lost line 4"},
		{"weight 0", minimal + " server s2 10.0.0.2:7687 weight 0\n", "lost line 4"},
		{"send-proxy", minimal + " server s2 10.0.0.2:7687 send-proxy\n", "lost line 4"},
		{"client certificates for who has one", "listen neo\n bind :7687 ssl crt /x ca-file /y verify optional\n server s1 10.0.0.1:7687\n", "lost line 2"},
		{"certificates that were taken back", "listen neo\n bind :7687 ssl crt /x ca-file /y verify required crl-file /z\n server s1 10.0.0.1:7687\n", "lost line 2"},
		{"who may connect, by more than the address", minimal + " tcp-request connection reject if { src_conn_cur gt 10 }\n", "lost line 4"},
		{"a conditional", ".if defined(X)\n" + minimal + ".endif\n", "lost line 1"},
		{"two pages", minimal + "listen a\n bind :1\n stats enable\n stats auth a:b\nlisten b\n bind :2\n stats enable\n", "lost line 8"},
		{"a time that is none", minimal + " timeout client soon\n", "lost line 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Convert(c.text, Options{Hash: hash})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range r.Notes {
				if n.Lost {
					got = append(got, fmt.Sprintf("lost line %d", n.Line))
				}
			}
			if !strings.Contains(strings.Join(got, ", "), c.want) {
				t.Errorf("got %q; want %s\n%v", got, c.want, r.Notes)
			}
		})
	}
}

// bothInOne is a file with a certificate and its key, as HAProxy has them.
func bothInOne(t *testing.T) string {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	if err := reloads.WriteCert(cert, key); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, file := range []string{cert, key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	file := filepath.Join(dir, "both.pem")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatStandsInTheResult(t *testing.T) {
	both := bothInOne(t)
	for _, c := range []struct{ name, text, want string }{
		{"accept and then reject", minimal + " acl in src 10.0.0.0/8\n tcp-request connection accept if in\n tcp-request connection reject\n", `allow: ["10.0.0.0/8"]`},
		{"unless", minimal + " tcp-request connection reject unless { src 10.0.0.0/8 }\n", `allow: ["10.0.0.0/8"]`},
		{"a template by name", "listen neo\n bind :7687\n server-template n 3 neo4j.svc:7687 check\n", `dns: "neo4j.svc:7687"`},
		{"a template by service", "listen neo\n bind :7687\n server-template n 3 _bolt._tcp.neo4j.svc check\n", `srv: "_bolt._tcp.neo4j.svc"`},
		{"a bind in the first line", "listen neo 0.0.0.0:7687\n server s1 10.0.0.1:7687\n", `bind: "0.0.0.0:7687"`},
		{"times of HAProxy 1.3", minimal + " clitimeout 60000\n", "client_idle: 1m "},
		{"a number alone is milliseconds", minimal + " timeout client 1500\n", "client_idle: 1.5s"},
		{"days", minimal + " timeout client 2d\n", "client_idle: 48h"},
		{"named defaults", "defaults x\n timeout client 7s\ndefaults y\n timeout client 9s\nlisten neo from x\n bind :7687\n server s1 10.0.0.1:7687\n", "client_idle: 7s"},
		{"the interval is below the fast one's default", minimal + " default-server inter 100ms\n", "fast_interval: 100ms"},
		{"IPv6", "listen neo\n bind :::7687\n server s1 [fd00::1]:7687\n", `bolt: "[fd00::1]:7687"`},
		{"a server without a port", "listen neo\n bind :7687\n server s1 10.0.0.1\n", `bolt: "10.0.0.1:7687"`},
		{"PROXY headers", "listen neo\n bind :7687 accept-proxy\n server s1 10.0.0.1:7687\n", "proxy_protocol:"},
		{"TLS, verified", "listen neo\n bind :7687\n server s1 10.0.0.1:7687 ssl verify required ca-file TESTCA verifyhost neo\n", "mode: verify\n    ca: \"TESTCA\"\n    server_name: \"neo\""},
		{"client certificates", "listen neo\n bind :7687 ssl crt TESTCA ca-file TESTCA verify required\n server s1 10.0.0.1:7687\n", `tls: {cert: "TESTCA", key: "TESTCA", mode: required, client_ca: "TESTCA"}`},
		{"a CA that asks for nothing", "listen neo\n bind :7687 ssl crt TESTCA ca-file /y\n server s1 10.0.0.1:7687\n", `mode: required}`},
		{"TLS, not verified", "listen neo\n bind :7687\n server s1 10.0.0.1:7687 ssl verify none\n", "mode: insecure"},
		{"a name in quotes with a comment", "listen neo # bolt\n bind \":7687\"\n server 's1' 10.0.0.1:7687\n", `{name: "s1", bolt`},
		{"members on one host", "listen neo\n bind :7687\n server a 127.0.0.1:1 check port 11\n server b 127.0.0.1:2 check port 12\n", `{name: "b", bolt: "127.0.0.1:2", http: "127.0.0.1:12"}`},
		{"Bolt and HTTP of one host are one member", minimal + "listen http\n mode http\n bind :7474\n server s1-http 10.0.0.1:7474\n", `bolt: "10.0.0.1:7687", http: "10.0.0.1:7474"}`},
		{"a name that boltgate does not take", "listen neo\n bind :7687\n server a/b 10.0.0.1:7687\n", `{name: "a-b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.text, c.want = strings.ReplaceAll(c.text, "TESTCA", both), strings.ReplaceAll(c.want, "TESTCA", both)
			r, err := Convert(c.text, Options{Hash: hash})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(r.YAML), c.want) {
				t.Errorf("%s does not stand in\n%s", c.want, r.YAML)
			}
			if _, err := configs.Parse("boltgate.yaml", r.YAML); err != nil {
				t.Errorf("not valid: %v\n%s", err, r.YAML)
			}
		})
	}
}

func TestWhatIsNoHAProxyConfiguration(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "no frontend or listen in it leads to a server"},
		{"YAML", "frontends:\n - name: x\n", `line 1: "frontends:" stands in no section`},
		{"an open quote", "global\n maxconn \"10\n", "line 2: a quote"},
		{"backends alone", "backend a\n server s1 h:7687\n", "no frontend"},
		{"enormous", strings.Repeat("#", 5<<20), "larger than 4 MiB"},
	} {
		if _, err := Convert(c.text, Options{Hash: hash}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v; want %q", c.name, err, c.want)
		}
	}
}

// FuzzConvert: whatever a file says, the result is YAML that says nothing but what was meant.
func FuzzConvert(f *testing.F) {
	for _, name := range configurations(f) {
		f.Add(text(f, name, "x"))
	}
	f.Add(minimal)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Convert(text, Options{Name: "haproxy.cfg", Hash: hash})
		if err != nil {
			return
		}
		_, err = configs.Parse("boltgate.yaml", r.YAML)
		if err != nil && (strings.Contains(err.Error(), "not YAML") || strings.Contains(err.Error(), "unknown key") || strings.Contains(err.Error(), "expected a ")) {
			t.Errorf("%v\n%s", err, r.YAML)
		}
	})
}
