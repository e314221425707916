package proxy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

func TestCredentialsAreTheSameOverHTTPAndBolt(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("neo4j:pass:word"))
	for header, want := range map[string]bolt.Auth{
		basic: bolt.Basic("neo4j", "pass:word"),
		strings.Replace(basic, "Basic ", "basic  ", 1): bolt.Basic("neo4j", "pass:word"),
		"Bearer t0ken": authOf(map[string]string{"credentials": "t0ken", "scheme": "bearer"}),
		"":             authOf(map[string]string{"scheme": "none"}),
	} {
		if got := httpAuth([]byte(header)); got.Entries != want.Entries {
			t.Errorf("%q: got %q; want %q", header, got.Entries, want.Entries)
		}
	}
	if httpAuth([]byte("Basic !")).Entries == httpAuth([]byte("Basic ?")).Entries {
		t.Error("two headers that cannot be read are taken for one user")
	}
}

func TestTooManyLoginsShareOne(t *testing.T) {
	l := newLogins(func() time.Duration { return 0 })
	for i := range maxLogins {
		u, _ := l.enter(bolt.Basic(fmt.Sprint("user", i), ""), nil)
		u.marks.loosen(time.Now())
	}
	a, _ := l.enter(bolt.Basic("a", ""), nil)
	b, known := l.enter(bolt.Basic("b", ""), nil)
	l.verified(b, nil)
	b.learnHome("secret", time.Now())
	if _, again := l.enter(bolt.Basic("a", ""), nil); a != b || known || again || a.homeDatabase(time.Now()) != "" {
		t.Error("logins beyond the limit do not share one of which nothing is remembered")
	}
	if b.marks.loosen(time.Now()); a.marks.since(true, time.Now()).IsZero() {
		t.Error("a write of one of many must count for each of them")
	}
	if len(l.known) != maxLogins {
		t.Errorf("%d logins are known", len(l.known))
	}
}
