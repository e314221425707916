package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const token = "token-of-ci-0123456789"

// withLogins are options with an operator ada, a viewer vic and a viewer's token.
func withLogins(t *testing.T) Options {
	hash := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	return Options{
		Users:  []User{{"ada", Operator, hash("lovelace")}, {"vic", Viewer, hash("viewed")}},
		Tokens: []Token{{"ci", Viewer, token}},
	}
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestWhoMayDoWhat(t *testing.T) {
	w := newTestWorld(t, withLogins(t)).cluster()
	const see, act = "/api/v1/status", "/api/v1/members/a/drain"
	w.want(401, "log in", "GET", see, "")
	w.want(401, "log in", "POST", act, "")
	w.want(200, "version", "GET", see, "", basic("ada", "lovelace"))
	w.want(200, "name", "POST", act, "", basic("ada", "lovelace"))
	w.want(200, "version", "GET", see, "", basic("vic", "viewed"))
	w.want(403, "vic is a viewer", "POST", act, "", basic("vic", "viewed"))
	w.want(200, "version", "GET", see, "", "Authorization: Bearer "+token)
	w.want(403, "ci is a viewer", "POST", act, "", "Authorization: Bearer "+token)
	w.want(200, "version", "GET", see, "", basic("ada", "lovelace"), "Host: gate.example.org") // a login is asked for: any name will do
	w.want(200, "ok", "GET", "/healthz", "")
	if got := w.do("GET", see, "").Header().Values("WWW-Authenticate"); len(got) != 2 {
		t.Errorf("got %q; want Basic and Bearer", got)
	}
}

func TestWrongLogins(t *testing.T) {
	for name, header := range map[string]string{
		"wrong password": basic("ada", "byron"), "no such user": basic("eve", "lovelace"), "empty password": basic("ada", ""), "no user": basic("", ""),
		"wrong token": "Authorization: Bearer " + token + "x", "empty token": "Authorization: Bearer ", "a hash as token": "Authorization: Basic x",
	} {
		t.Run(name, func(t *testing.T) {
			newTestWorld(t, withLogins(t)).want(401, "log in", "GET", "/api/v1/status", "", header)
		})
	}
}

func TestWrongLoginsAreSlowedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWorld(t, withLogins(t)).cluster()
		for range freeTries {
			w.want(401, "", "GET", "/api/v1/status", "", basic("ada", "byron"))
		}
		w.want(429, "wait", "GET", "/api/v1/status", "", basic("ada", "lovelace"))
		w.want(429, "wait", "GET", "/api/v1/status", "", "Authorization: Bearer "+token)
		time.Sleep(slowTime)
		w.want(401, "", "GET", "/api/v1/status", "", basic("ada", "byron"))
		w.want(429, "wait", "GET", "/api/v1/status", "", basic("ada", "byron"))
		time.Sleep(slowTime)
		w.want(200, "", "GET", "/api/v1/status", "", basic("ada", "lovelace"))
		w.want(401, "", "GET", "/api/v1/status", "", basic("ada", "byron")) // a right one makes up for those before
	})
}

func TestGuessesAtOnceAreNoFaster(t *testing.T) {
	w := newTestWorld(t, withLogins(t)).cluster()
	var tried, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			switch a := w.do("GET", "/api/v1/status", "", basic("ada", fmt.Sprint("guess", i))); a.Code {
			case 401:
				tried.Add(1)
			case 429:
				refused.Add(1)
				if a.Header().Get("Retry-After") == "" {
					t.Error("a 429 does not say when to come back")
				}
			}
		})
	}
	all.Wait()
	if n := tried.Load(); n > freeTries+hashesAtOnce || n < freeTries || n+refused.Load() != 200 {
		t.Errorf("of 200 guesses at once %d were tried and %d refused; want at most %d tried", n, refused.Load(), freeTries+hashesAtOnce)
	}
}

func TestManyAddressesWithWrongLoginsForgiveOnlyTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guard
		g.init()
		wrong := func(from string) {
			g.slowed(&http.Request{RemoteAddr: from}, func(string) (who, error) { return who{}, nil }) //nolint:errcheck // what is kept is looked at
			time.Sleep(time.Millisecond)
		}
		for i := range maxKept {
			wrong(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250))
		}
		wrong("10.0.0.0:1") // is the newest now
		wrong("[2001:db8::1]:1")
		wrong("[2001:db8::2]:1")
		if n := g.wrong["2001:db8::"].n; n != 2 || len(g.wrong) != maxKept {
			t.Errorf("%d wrong logins of an IPv6 network, and %d addresses; want 2, %d", n, len(g.wrong), maxKept)
		}
		if g.wrong["10.0.0.0"].n != 2 || g.wrong["10.0.0.1"].n != 0 || g.wrong["10.0.0.2"].n != 1 {
			t.Errorf("others than the oldest were forgiven: %v, %v, %v", g.wrong["10.0.0.0"], g.wrong["10.0.0.1"], g.wrong["10.0.0.2"])
		}
	})
}

func TestARemovedUserIsOut(t *testing.T) {
	o := withLogins(t)
	w := newTestWorld(t, o).cluster()
	w.want(200, "", "GET", "/api/v1/status", "", basic("vic", "viewed"))
	cookie := "Cookie: " + cookieName + "=" + w.guard.login("vic")
	w.want(200, "", "GET", "/api/v1/status", "", cookie)
	o.Users = o.Users[:1]
	if err := w.Apply(o); err != nil {
		t.Fatal(err)
	}
	w.want(401, "", "GET", "/api/v1/status", "", basic("vic", "viewed"))
	w.want(401, "", "GET", "/api/v1/status", "", cookie)
	w.want(200, "", "GET", "/api/v1/status", "", basic("ada", "lovelace"))
}

func TestAnAddressWithoutLoginIsForThisMachinesOwn(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	for _, host := range []string{"127.0.0.1:8474", "localhost:8474", "LOCALHOST", "[::1]:8474", "127.1.2.3"} {
		w.want(200, "", "GET", "/api/v1/status", "", "Host: "+host)
	}
	for _, host := range []string{"evil.example.org", "evil.example.org:8474", "10.0.0.1:8474", "localhost.evil.example.org", "127.0.0.1.evil.example.org", ""} {
		w.want(421, "localhost", "GET", "/api/v1/status", "", "Host: "+host)
	}
	for _, header := range []string{"Origin: http://evil.example.org", "Sec-Fetch-Site: cross-site", "Origin: null"} {
		w.want(403, "another site", "POST", "/api/v1/reload", "", header)
	}
	w.want(200, "", "POST", "/api/v1/reload", "", "Origin: http://127.0.0.1:8474", "Sec-Fetch-Site: same-origin")
	if len(w.control.asked) != 1 {
		t.Errorf("asked %q", w.control.asked)
	}
}

func TestAnAddressServesOnlyByTheLoginsThatItWasGiven(t *testing.T) {
	w := newTestWorld(t, Options{Bind: "127.0.0.1:0"}).cluster()
	before := w.Address().String()
	o := withLogins(t)
	o.Bind = "localhost:0"
	if err := w.Apply(o); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get("http://" + before + "/healthz"); err == nil {
		t.Error("the address before still answers")
	}
	answer, err := http.Get("http://" + w.Address().String() + "/api/v1/status")
	if err != nil || answer.StatusCode != 401 {
		t.Errorf("got %v, %v; want 401", answer, err)
	}
	bad := o
	bad.Bind = "192.0.2.1:1"
	if err := w.Apply(bad); err == nil {
		t.Error("an address of another machine was taken")
	}
	if answer, err = http.Get("http://" + w.Address().String() + "/api/v1/status"); err != nil || answer.StatusCode != 401 {
		t.Errorf("after an address that cannot be had: got %v, %v", answer, err)
	}
}
