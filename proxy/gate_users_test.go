package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// asked are the statements that members ran, by the user they ran them for.
type asked struct {
	mu     sync.Mutex
	byUser map[string][]string
}

func (a *asked) note(q standin.Query) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUser == nil {
		a.byUser = map[string][]string{}
	}
	a.byUser[q.User] = append(a.byUser[q.User], q.Mode+" "+q.Text)
}

func (a *asked) of(user string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byUser[user]
}

var gateUserList = []User{
	{Name: "agent", Password: "of agent", ReadOnly: true, MemberUser: "reports", MemberPassword: "of reports"},
	{Name: "editor", Password: "of editor", MemberUser: "reports", MemberPassword: "of reports"},
	{Name: "lost", Password: "of lost", MemberUser: "reports", MemberPassword: "wrong"},
	{Name: "hidden", Password: "of the gate", ReadOnly: true, MemberUser: "reports", MemberPassword: "of reports"},
}

// startUsers is a gate with gate users in front of members with two users.
func startUsers(t *testing.T, o standin.Options) (*gate, *asked) {
	t.Helper()
	members := new(asked)
	o.OnQuery = members.note
	o.Users = map[string]string{standin.DefaultUser: standin.DefaultPassword, "reports": "of reports", "hidden": "of the member"}
	return startGate(t, gateOptions{standin: o, server: Options{Users: gateUserList, Remember: time.Minute}}), members
}

// refusesLogin shows that a login is refused, and why.
func refusesLogin(t *testing.T, g *gate, v bolt.Version, auth m, code string) {
	t.Helper()
	w := g.open(v)
	var messages [][]byte
	switch extra := (m{"user_agent": "test/1", "bolt_agent": m{"product": "test/1"}}); {
	case v < bolt.V3:
		messages = [][]byte{bolt.AppendMessage(nil, bolt.TagHello, "test/1", auth)}
	case v < bolt.V5_1:
		for k, val := range auth {
			extra[k] = val
		}
		messages = [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra)}
	default:
		messages = [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra), bolt.AppendMessage(nil, bolt.TagLogon, auth)}
	}
	list := w.ask(messages...)
	if last := list[len(list)-1]; last.code() != code {
		t.Fatalf("log-on with %v: got %s, want %s", auth, show(list), code)
	}
	w.closed()
}

func TestGateUsersOverBolt(t *testing.T) {
	for _, c := range restrictedVersions {
		t.Run(c.v.String(), func(t *testing.T) {
			g, members := startUsers(t, c.standin)
			w := g.open(c.v)
			w.logOn("agent", "of agent")
			w.row("RETURN 7", nil, nil)
			w.expect(forbiddenAnswer+" IGNORED", run(c.v, "CREATE (n)", nil, nil), pull(c.v))
			w.expect("SUCCESS()", bolt.Reset)
			refusedInsideTx(w)

			w = g.open(c.v)
			w.logOn("editor", "of editor")
			w.row("CREATE (n) RETURN n", nil, nil)
			w = g.open(c.v)
			w.logOn(standin.DefaultUser, standin.DefaultPassword)
			w.row("CREATE (n) RETURN n", nil, nil)

			mode := "w "
			if c.v >= bolt.V3 {
				mode = "r "
			}
			got := members.of("reports")
			if len(got) != 2 || got[0] != mode+"RETURN 7" || got[1] != "w CREATE (n) RETURN n" {
				t.Errorf("members ran for the gate's users %q", got)
			}
			if got := members.of("agent"); len(got) > 0 {
				t.Errorf("members know the gate's user: %q", got)
			}
		})
	}
}

// refusedInsideTx is refused a write in a transaction.
func refusedInsideTx(w *wire) {
	w.t.Helper()
	for _, message := range beginTx(w.v, nil) {
		w.ask(message)
	}
	w.expect(forbiddenAnswer+" IGNORED", run(w.v, "CREATE (n)", nil, m{}), pull(w.v))
}

func TestGateUsersLogins(t *testing.T) {
	g, _ := startUsers(t, standin.Options{})
	v := bolt.V5_4
	basic := func(user, password any) m { return m{"scheme": "basic", "principal": user, "credentials": password} }
	for name, auth := range map[string]m{
		"a wrong password":                   basic("agent", "of editor"),
		"no password":                        {"scheme": "basic", "principal": "agent"},
		"an empty one":                       basic("agent", ""),
		"one that is no text":                basic("agent", 7),
		"that of its member's user":          basic("agent", "of reports"),
		"that of the member's, of this name": basic("hidden", "of the member"),
		"another scheme":                     {"scheme": "custom", "principal": "agent", "credentials": "of agent"},
		"the scheme in other case":           {"scheme": "BASIC", "principal": "hidden", "credentials": "of the member"},
		"a login that members refuse":        basic("lost", "of lost"),
		"nobody's":                           basic("nobody", "x"),
	} {
		t.Run(name, func(t *testing.T) {
			g.server.throttle.good("127.0.0.1:1")
			refusesLogin(t, g, v, auth, bolt.CodeUnauthorized)
		})
	}
	g.server.throttle.good("127.0.0.1:1")
	begun := time.Now() // the second guess is put off from the end of the first
	refusesLogin(t, g, v, basic("agent", "guess"), bolt.CodeUnauthorized)
	if d := g.server.throttle.delay("127.0.0.1"); d == 0 {
		t.Error("a wrong password of a gate user slows nothing down")
	}
	refusesLogin(t, g, v, basic("agent", "guess again"), bolt.CodeUnauthorized)
	if took := time.Since(begun); took < firstDelay {
		t.Errorf("two guesses took %v", took)
	}
}

// One connection is each user's in turn, with each one's rights.
func TestGateUsersByLogoff(t *testing.T) {
	g, _ := startUsers(t, standin.Options{})
	v := bolt.V5_4
	w := g.open(v)
	w.logOn("agent", "of agent")
	logon := func(user, password string) []byte { return logonMessages(v, user, password)[1] }
	for range 2 {
		w.expect(forbiddenAnswer, run(v, "CREATE (n)", nil, nil))
		w.expect("SUCCESS()", bolt.Reset)
		w.expect("SUCCESS() SUCCESS()", message(bolt.TagLogoff), logon("editor", "of editor"))
		w.row("CREATE (n) RETURN n", nil, nil)
		w.expect("SUCCESS() SUCCESS()", message(bolt.TagLogoff), logon(standin.DefaultUser, standin.DefaultPassword))
		w.row("CREATE (n) RETURN n", nil, nil)
		w.expect("SUCCESS() SUCCESS()", message(bolt.TagLogoff), logon("agent", "of agent"))
	}
}

func TestAReloadChangesGateUsers(t *testing.T) {
	g, _ := startUsers(t, standin.Options{})
	v := bolt.V5_4
	reload := func(users ...User) {
		t.Helper()
		o := *g.server.options.Load()
		o.Users = users
		front := *g.server.fronts["main"].settings.Load()
		if err := g.server.Apply(o, []*Frontend{&front}); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(user string) *wire {
		w := g.open(v)
		w.logOn(user, "of "+user)
		return w
	}
	agent, editor, own := logged("agent"), logged("editor"), g.logged(v)
	stricter := gateUserList[1]
	stricter.ReadOnly = true
	reload(gateUserList[0], stricter)
	agent.row("RETURN 7", nil, nil) // it has not changed
	own.row("CREATE (n) RETURN n", nil, nil)
	editor.expect("FAILURE("+bolt.CodeAuthExpired+")", run(v, "CREATE (n)", nil, nil))
	editor.closed()
	editor = logged("editor")
	editor.expect(forbiddenAnswer, run(v, "CREATE (n)", nil, nil))
	reload()
	agent.expect("FAILURE("+bolt.CodeAuthExpired+")", run(v, "RETURN 7", nil, nil))
	own.row("RETURN 7", nil, nil)
	refusesLogin(t, g, v, m{"scheme": "basic", "principal": "agent", "credentials": "of agent"}, bolt.CodeUnauthorized)
	reload(gateUserList...)
	logged("agent").row("RETURN 7", nil, nil)
}

// However many guess at once, their guesses come one after the other; who knows the password gets in as soon as they pause.
func TestGuessesAtAGateUserTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{throttle: newThrottle(), log: slog.New(slog.DiscardHandler)}
		users := newGateUsers(gateUserList, nil)
		s.verifyUser(t.Context(), users, "agent", "guess", "10.0.0.1:1") //nolint:errcheck // the first is never slow
		var guesses, refused atomic.Int64
		var wg sync.WaitGroup
		end := time.Now().Add(time.Minute)
		for range 500 {
			wg.Go(func() {
				for time.Now().Before(end) {
					switch _, err := s.verifyUser(t.Context(), users, "agent", "guess", "10.0.0.1:1"); {
					case errors.Is(err, errWrongPassword):
						guesses.Add(1)
					case errors.Is(err, errTooMany):
						refused.Add(1)
						time.Sleep(time.Second)
					default:
						t.Errorf("got %v", err)
					}
				}
			})
		}
		wg.Wait()
		if n := guesses.Load(); n < 10 || n > 20 || refused.Load() == 0 {
			t.Errorf("500 at once made %d guesses in a minute, %d were turned away", n, refused.Load())
		}
		begun := time.Now()
		if u, err := s.verifyUser(t.Context(), users, "agent", "of agent", "10.0.0.1:2"); u == nil || err != nil || time.Since(begun) > longestDelay {
			t.Errorf("got %v, %v after %v", u, err, time.Since(begun))
		}
		if u, err := s.verifyUser(t.Context(), users, "agent", "of agent", "10.0.0.2:1"); u == nil || err != nil {
			t.Errorf("from another address: %v, %v", u, err)
		}
	})
}

func TestAGateUserShowsNoPassword(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, gateUserList[0]); strings.Contains(got, "of agent") || strings.Contains(got, "of reports") || strings.Contains(got, "6f66") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
	if got, err := gateUserList[0].MarshalText(); err != nil || string(got) != "agent as reports" {
		t.Errorf("got %s, %v", got, err)
	}
}

func basicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestGateUsersOverHTTP(t *testing.T) {
	for _, c := range httpGenerations {
		t.Run(c.name, func(t *testing.T) {
			g, members := startUsers(t, c.standin)
			as := func(user, text string) webAnswer {
				return g.web("POST", c.tx+"/commit", stmt(text), "Authorization", basicHeader(user, "of "+user))
			}
			if a := as("agent", "RETURN 7"); a.status != 200 || a.code() != "" {
				t.Fatalf("a read: %v", a)
			}
			as("agent", "CREATE (n)").refused(t, "a write")
			if a := as("editor", "CREATE (n) RETURN n"); a.status != 200 || a.code() != "" {
				t.Fatalf("the editor: %v", a)
			}
			begin := g.web("POST", c.tx, stmt("RETURN 7"), "Authorization", basicHeader("agent", "of agent"))
			at := begin.txPath(c.tx)
			if begin.status != 201 {
				t.Fatalf("begin: %v", begin)
			}
			g.web("POST", at, stmt("CREATE (n)"), "Authorization", basicHeader("agent", "of agent")).refused(t, "a write in a transaction")
			if a := g.web("POST", at, stmt("RETURN 7"), "Authorization", basicHeader("agent", "of agent")); a.status != 404 {
				t.Fatalf("the transaction goes on: %v", a)
			}
			if a := g.web("POST", c.tx+"/commit", stmt("CREATE (n) RETURN n")); a.status != 200 || a.code() != "" {
				t.Fatalf("a user of the members: %v", a)
			}
			if got := members.of("reports"); len(got) != 3 {
				t.Errorf("members ran for the gate's users %q", got)
			}
		})
	}
}

func TestGateUsersHTTPLogins(t *testing.T) {
	member := startScripted(t, "s1", answering(func(r *http.Request, body string) string {
		return ok(strings.Join(r.Header["Authorization"], ",") + "|" + r.Method)
	}))
	g := startRelay(t, func(o *Options, _ *Frontend) { o.Users = gateUserList }, member)
	raw := func(text string) string { return base64.RawStdEncoding.EncodeToString([]byte(text)) }
	reports := basicHeader("reports", "of reports")
	for _, c := range []struct {
		name, headers string
		status        int
		want          string // what the member got
	}{
		{"no login", "", 200, "|GET"},
		{"a gate user", "Authorization: " + basicHeader("agent", "of agent"), 200, reports + "|GET"},
		{"the scheme in other case", "Authorization: bASIC " + raw("agent:of agent"), 200, reports + "|GET"},
		{"a tab", "Authorization: Basic\t" + raw("agent:of agent") + "=", 200, reports + "|GET"},
		{"a member's user", "Authorization: " + basicHeader("neo4j", "x"), 200, basicHeader("neo4j", "x") + "|GET"},
		{"a bearer", "Authorization: Bearer agent", 200, "Bearer agent|GET"},
		{"a wrong password", "Authorization: " + basicHeader("agent", "x"), 401, ""},
		{"that of the member's, of this name", "Authorization: " + basicHeader("hidden", "of the member"), 401, ""},
		{"the same without padding", "Authorization: Basic " + raw("hidden:of the member"), 401, ""},
		{"no base64", "Authorization: Basic agent:of agent", 401, ""},
		{"two logins", "Authorization: " + basicHeader("agent", "of agent") + "\r\nAuthorization: " + basicHeader("neo4j", "x"), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.server.throttle.good("127.0.0.1:1")
			client := g.raw()
			for range 2 { // on one connection
				client.send("GET /db/data/ HTTP/1.1\r\nHost: gate\r\n", c.headers, map[bool]string{true: "\r\n", false: ""}[c.headers != ""], "\r\n")
				resp, text := client.answer("GET")
				if resp.StatusCode != c.status || c.status == 200 && text != c.want {
					t.Fatalf("got %d %s, want %d %s", resp.StatusCode, text, c.status, c.want)
				}
				if c.status == 401 && (resp.Header.Get("WWW-Authenticate") == "" || !strings.Contains(text, bolt.CodeUnauthorized)) {
					t.Errorf("got %v %s", resp.Header, text)
				}
				g.server.throttle.good("127.0.0.1:1")
			}
		})
	}
	t.Run("one connection, several users", func(t *testing.T) {
		client := g.raw()
		for _, user := range []string{"agent", "neo4j", "editor", "agent"} {
			for _, method := range []string{"GET", "DELETE"} {
				client.send(fmt.Sprintf("%s /db/data/node/1 HTTP/1.1\r\nHost: gate\r\nAuthorization: %s\r\n\r\n", method, basicHeader(user, "of "+user)))
				resp, text := client.answer(method)
				want := map[bool]int{true: 403, false: 200}[user == "agent" && method == "DELETE"]
				if resp.StatusCode != want {
					t.Errorf("%s, %s: got %d %s", user, method, resp.StatusCode, text)
				}
			}
		}
	})
	t.Run("after a reload", func(t *testing.T) {
		client := g.raw()
		login := "GET / HTTP/1.1\r\nHost: gate\r\nAccept: text/html\r\nAuthorization: " + basicHeader("agent", "of agent") + "\r\n\r\n"
		client.send(login)
		client.want("GET", 200, reports+"|GET")
		changed := gateUserList[0]
		changed.Password = "another"
		front := *g.server.fronts["main"].settings.Load()
		o := *g.server.options.Load()
		o.Users = []User{changed}
		if err := g.server.Apply(o, []*Frontend{&front}); err != nil {
			t.Fatal(err)
		}
		client.send(login)
		if resp, text := client.answer("GET"); resp.StatusCode != 401 {
			t.Errorf("got %d %s", resp.StatusCode, text)
		}
		o.Users = nil
		if err := g.server.Apply(o, []*Frontend{&front}); err != nil {
			t.Fatal(err)
		}
		client.send(login)
		client.want("GET", 200, basicHeader("agent", "of agent")+"|GET")
	})
}
