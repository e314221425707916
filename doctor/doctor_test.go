package doctor

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

func start(t *testing.T, o standin.Options) *standin.Cluster {
	t.Helper()
	c, err := standin.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// options are those of a configuration with nothing wrong with it.
func options(c *standin.Cluster) Options {
	return Options{Guess: true, Health: health.Options{Members: c.Members(), User: standin.DefaultUser, Password: standin.DefaultPassword, Timeout: 2 * time.Second}}
}

// wants fails unless the report has a finding of this code, level and member, and nothing in it shows a password.
func wants(t *testing.T, r *Report, level Level, code, member string) *Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == code && f.Level == level && f.Member == member })
	if i < 0 {
		t.Fatalf("no %s %s of %q in %+v", level, code, member, r.Findings)
	}
	f := &r.Findings[i]
	if f.What == "" || f.Do == "" {
		t.Errorf("it does not say what is wrong and what to do: %+v", f)
	}
	if strings.Contains(fmt.Sprint(r), "secret words") {
		t.Errorf("a password is shown: %+v", r)
	}
	return f
}

func TestNothingIsWrong(t *testing.T) {
	for name, o := range map[string]standin.Options{
		"autonomous": {}, "causal 4.4": {Generation: cluster.Causal}, "causal 3.5": {Generation: cluster.Causal, ServerVersion: "3.5.35"},
		"HA": {Generation: cluster.HA}, "standalone": {Generation: cluster.Standalone}, "with a replica": {Replicas: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Seed = 5
			r := Examine(t.Context(), options(start(t, o)))
			if len(r.Findings) > 0 || r.Failed() || r.Generation == "unknown" {
				t.Errorf("got %+v", r)
			}
			leaders := 0
			for _, m := range r.Members {
				if m.Leads {
					leaders++
				}
				if !m.Up || m.Version == "" {
					t.Errorf("got %+v", m)
				}
			}
			if leaders == 0 {
				t.Errorf("nobody leads: %+v", r.Members)
			}
		})
	}
}

// mistake is one thing that is wrong, and how it has to be found.
type mistake struct {
	name    string
	cluster standin.Options
	make    func(*testing.T, *standin.Cluster, *Options)
	level   Level
	code    string
	member  string
	key     string
}

var ofMembers = []mistake{
	{"a member is down", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { kill(t, c, "s2") }, Error, "member-down", "s2", "cluster.members[1]"},
	{"no leader", standin.Options{Seed: 1, ElectionTime: time.Hour}, func(t *testing.T, c *standin.Cluster, o *Options) { kill(t, c, c.Leader("neo4j")) }, Error, "no-leader", "", "cluster.members"},
	{"no reader", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.Conditions = map[string]cluster.Condition{}
		for _, m := range c.Members() {
			if m.Name != c.Leader("neo4j") {
				o.Health.Conditions[m.Name] = cluster.Drain
			}
		}
	}, Warning, "no-reader", "", "cluster.members"},
	{"versions apart", standin.Options{Override: map[string]standin.Release{"s3": {ServerVersion: "5.23.0"}}}, nil, Warning, "versions-apart", "", "cluster.members"},
	{"an advertised address that leads nowhere", standin.Options{Advertise: func(member, protocol, address string) string {
		if member == "s2" && protocol == "bolt" {
			return "127.0.0.9:1"
		}
		return address
	}}, nil, Warning, "advertised-unreachable", "s2", "cluster.members[1]"},
	{"one server twice", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		again := *o.Health.Members[0]
		again.Name, again.Bolt, again.HTTP = "again", relay(t, again.Bolt), ""
		o.Health.Members = append(o.Health.Members, &again)
	}, Error, "same-server", "again", "cluster.members[3]"},
	{"two clusters", standin.Options{Seed: 1}, withStranger(standin.Options{Seed: 2}), Error, "other-cluster", "", "cluster.members"},
	{"two HA clusters", standin.Options{Generation: cluster.HA, Seed: 1},
		withStranger(standin.Options{Generation: cluster.HA, Seed: 2, Listen: onLoopback("127.0.0.7")}), Error, "other-cluster", "", "cluster.members"},
	{"another store", standin.Options{Seed: 1}, withStranger(standin.Options{Seed: 2}), Error, "other-store", "stranger", "cluster.members[3]"},
	{"another store of HA", standin.Options{Generation: cluster.HA, Seed: 1}, withStranger(standin.Options{Generation: cluster.HA, Seed: 2}), Error, "other-store", "stranger", "cluster.members[3]"},
	{"a clock that is ahead", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { shift(t, o, 1, 10*time.Second) }, Warning, "clocks-apart", "s2", ""},
	{"a clock that is far behind", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { shift(t, o, 2, -time.Hour) }, Error, "clocks-apart", "s3", ""},
	{"our clock is the wrong one", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Now = func() time.Time { return time.Now().Add(-time.Minute) }
	}, Warning, "clocks-apart", "", ""},
	{"members speak TLS alone", standin.Options{Listen: secured(365*24*time.Hour, "localhost")}, nil, Error, "tls-required", "s1", "cluster.tls.mode"},
}

var ofLogins = []mistake{
	{"a wrong password", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { o.Health.Password = "wrong" }, Error, "login-refused", "s1", "cluster.check.user"},
	{"a wrong password over HTTP alone", standin.Options{Generation: cluster.HA}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.Password, o.Health.Method, o.Health.Members = "wrong", "http", withoutBolt(o.Health.Members)
	}, Error, "login-refused", "s3", "cluster.check.user"},
	{"no login where one is asked for", standin.Options{Generation: cluster.HA}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.User, o.Health.Password, o.Health.Members = "", "", withoutBolt(o.Health.Members)
	}, Error, "login-refused", "s1", "cluster.check.user"},
	{"roles are not told without a login", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.User, o.Health.Password = "", ""
	}, Error, "roles-unknown", "", "cluster.check.user"},
	{"a password to be changed", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { c.ExpirePassword(standin.DefaultUser) }, Error, "password-expired", "s1", "cluster.check.user"},
	{"a user without rights", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) { c.LimitUser(standin.DefaultUser) }, Warning, "no-rights", "s1", "cluster.check.user"},
	{"a user without rights on 4.4", standin.Options{Generation: cluster.Causal}, func(t *testing.T, c *standin.Cluster, o *Options) { c.LimitUser(standin.DefaultUser) }, Warning, "no-rights", "s1", "cluster.check.user"},
	{"the password of the installation", standin.Options{Users: map[string]string{"neo4j": "neo4j", "checks": "secret words"}}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.User, o.Health.Password = "checks", "secret words"
	}, Error, "default-password", "s1", ""},
	{"checks with the password of the installation", standin.Options{Users: map[string]string{"neo4j": "neo4j"}}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Health.Password = "neo4j"
	}, Error, "default-password", "", "cluster.check.password"},
	{"authentication is off", standin.Options{NoAuth: true}, nil, Warning, "no-authentication", "s1", ""},
	{"an operator's password that all try first", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		hash, _ := bcrypt.GenerateFromPassword([]byte("admin"), bcrypt.MinCost)
		o.Users = []User{{Name: "ada", Hash: string(hash)}}
	}, Warning, "weak-password", "", "admin.users[0].password"},
	{"drivers are sent where nobody is", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Frontends = []Frontend{{Name: "main", Advertise: []string{"127.0.0.9:1"}}}
	}, Warning, "advertise-unreachable", "", "frontends[0].advertise[0]"},
	{"drivers are sent to a name that is none", standin.Options{}, func(t *testing.T, c *standin.Cluster, o *Options) {
		o.Frontends = []Frontend{{Name: "main", Advertise: []string{"gate.invalid:7687"}}}
	}, Error, "advertise-unreachable", "", "frontends[0].advertise[0]"},
}

// TestEachMistake has one mistake a row; each must be found, and named with its member and its setting.
func TestEachMistake(t *testing.T) {
	for _, c := range slices.Concat(ofMembers, ofLogins) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, c.cluster)
			o := options(s)
			if c.make != nil {
				c.make(t, s, &o)
			}
			o.Within = 3 * time.Second
			o.Where = func(key string) string { return "at " + key }
			r := Examine(t.Context(), o)
			if f := wants(t, r, c.level, c.code, c.member); f.Key != c.key || f.Where != "at "+c.key {
				t.Errorf("the setting is %q (%s); want %q", f.Key, f.Where, c.key)
			}
			if r.Failed() != slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Error }) {
				t.Errorf("Failed says %v", r.Failed())
			}
		})
	}
}

// withStranger adds a member of another cluster.
func withStranger(so standin.Options) func(*testing.T, *standin.Cluster, *Options) {
	return func(t *testing.T, _ *standin.Cluster, o *Options) {
		stranger := *start(t, so).Members()[0]
		stranger.Name = "stranger"
		o.Health.Members = append(o.Health.Members, &stranger)
	}
}

func kill(t *testing.T, c *standin.Cluster, name string) {
	if err := c.Kill(name); err != nil {
		t.Fatal(err)
	}
}

func withoutBolt(members []*cluster.Member) (all []*cluster.Member) {
	for _, m := range members {
		c := *m
		c.Bolt = ""
		all = append(all, &c)
	}
	return all
}

// relay listens and passes connections on.
func relay(t *testing.T, to string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { out.(*net.TCPConn).ReadFrom(in); out.Close() }() //nolint:errcheck // a relay
			go func() { in.(*net.TCPConn).ReadFrom(out); in.Close() }()  //nolint:errcheck // a relay
		}
	}()
	return l.Addr().String()
}

// shift puts another clock before a member's HTTP.
func shift(t *testing.T, o *Options, n int, by time.Duration) {
	m := *o.Health.Members[n]
	to, _ := url.Parse("http://" + m.HTTP)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: proxy}
	go s.Serve(l) //nolint:errcheck // until it is closed
	t.Cleanup(func() { s.Close() })
	m.HTTP = l.Addr().String()
	o.Health.Members = slices.Clone(o.Health.Members)
	o.Health.Members[n] = &m
}

func onLoopback(ip string) func(member, protocol string) (net.Listener, error) {
	return func(string, string) (net.Listener, error) { return net.Listen("tcp", ip+":0") }
}

// TestLoopbackThatIsAdvertised: members here are at loopback addresses all, so that the case is put together by hand.
func TestLoopbackThatIsAdvertised(t *testing.T) {
	f := &facts{o: &Options{}, reach: map[string]error{}, view: &cluster.View{Members: []*cluster.Status{{Member: &cluster.Member{Name: "s1", Bolt: "10.0.0.1:7687"}}}},
		heard: []cluster.Heard{{Name: "s1", Up: true, Self: cluster.Server{Bolt: "localhost:7687"}}}}
	got := advertisedByMembers(f)
	if len(got) != 1 || got[0].Code != "advertised-loopback" || got[0].Member != "s1" {
		t.Errorf("got %+v", got)
	}
	f.o.Health.Addresses = map[string]string{"localhost:7687": "10.0.0.1:7687"}
	if got := advertisedByMembers(f); len(got) > 0 {
		t.Errorf("with cluster.addresses: got %+v", got)
	}
}
