package standin

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func TestAnExpiredPasswordMustBeChangedFirst(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		b.ExpirePassword(DefaultUser)
		db := ""
		change := map[string]any{}
		text := "CALL dbms.security.changePassword('next')"
		if b.MultiDatabase() {
			db, change, text = "system", map[string]any{"db": "system"}, "ALTER CURRENT USER SET PASSWORD FROM '"+DefaultPassword+"' TO 'next'"
		}
		c := b.client(b.Leader(db), v)
		if c.Hello["credentials_expired"] != true {
			t.Errorf("the login said %v", c.Hello)
		}
		_, err := c.Query("RETURN 1", nil, nil)
		wantCode(t, err, bolt.CodeCredentialsExpired)
		row(t, c, text, nil, change)
		row(t, c, "RETURN 1", nil, nil)
		again := bolt.NewClient(b.raw("s2", v), v)
		if err := again.Logon(bolt.HelloOptions{}, bolt.Basic(DefaultUser, "next")); err != nil || again.Hello["credentials_expired"] != nil {
			t.Errorf("with the new password: %v, %v", err, again.Hello)
		}
	})
}

func TestAnExpiredPasswordOverOldHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Generation: cluster.HA})
		b.ExpirePassword(DefaultUser)
		a := b.web("GET", "s1", "/db/data/", "")
		if a.status != http.StatusForbidden || a.body["password_change"] != "http://s1:7474/user/neo4j/password" {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		if a := b.web("POST", "s1", "/user/neo4j/password", `{"password":"`+DefaultPassword+`"}`); a.status != http.StatusOK {
			t.Errorf("changing it: got %d %s", a.status, a.raw)
		}
		if a := b.web("GET", "s1", "/db/data/", ""); a.status != http.StatusOK {
			t.Errorf("afterwards: got %d", a.status)
		}
	})
}
