package bench

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt"
)

// startInstant runs an instant server until the test ends, and fails the test when its goroutines do not end then.
func startInstant(t *testing.T, role string) Addresses {
	t.Helper()
	s := Instant{Bolt: "127.0.0.1:0", HTTP: "127.0.0.1:0", Role: role}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return Addresses{s.Bolt, s.HTTP}
}

func dialInstant(t *testing.T, address string, v bolt.Version) *bolt.Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := bolt.Handshake(conn, v); err != nil {
		t.Fatal(err)
	}
	c := bolt.NewClient(conn, v)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic("neo4j", "x")); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestInstantServerAnswersInEveryVersionItOffers(t *testing.T) {
	alone, ha := startInstant(t, ""), startInstant(t, "master")
	for _, v := range []bolt.Version{bolt.V3, bolt.V4_0, bolt.V4_4, bolt.V5_0, bolt.V5_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			address, server := alone.Bolt, "Neo4j/5.26.0"
			if v == bolt.V3 {
				address, server = ha.Bolt, "Neo4j/3.5.0"
			}
			c := dialInstant(t, address, v)
			if c.Server != server {
				t.Errorf("server: got %q; want %q", c.Server, server)
			}
			for range 2 {
				r, err := c.Query("RETURN 1", nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if want := [][]any{{int64(1)}}; !reflect.DeepEqual(r.Rows, want) || r.Summary["bookmark"] == nil {
					t.Errorf("got %v %v; want %v and a bookmark", r.Rows, r.Summary, want)
				}
			}
			if _, err := c.Ask(bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{})); err != nil {
				t.Fatal(err)
			}
			r, err := c.Query("RETURN 1", nil, nil)
			if err != nil || r.Summary["bookmark"] != nil {
				t.Errorf("inside a transaction: got %v, %v; want no bookmark", r, err)
			}
			if end, err := c.Ask(bolt.AppendMessage(nil, bolt.TagCommit)); err != nil || end["bookmark"] == nil {
				t.Errorf("COMMIT: got %v, %v; want a bookmark", end, err)
			}
			if err := c.Reset(0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInstantServerLooksLikeAStandaloneCommunityServer(t *testing.T) {
	at := startInstant(t, "")
	c := dialInstant(t, at.Bolt, bolt.V5_4)
	r, err := c.Query("CALL dbms.components() YIELD name, versions, edition", nil, nil)
	if err != nil || len(r.Rows) != 1 || r.Rows[0][2] != "community" {
		t.Fatalf("dbms.components: got %v, %v; want one row of the community edition", r, err)
	}
	r, err = c.Query("SHOW DATABASES", nil, map[string]any{"db": "system"})
	if err != nil || len(r.Rows) != 2 || len(r.Rows[0]) != len(r.Fields) {
		t.Fatalf("SHOW DATABASES: got %v, %v; want two whole rows", r, err)
	}
	for i, f := range r.Fields {
		if f == "address" && r.Rows[0][i] != at.Bolt {
			t.Errorf("address: got %v; want %s", r.Rows[0][i], at.Bolt)
		}
	}
	rt, err := c.Ask(bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, map[string]any{}))
	if got := tableAddresses(rt, "WRITE"); err != nil || len(got) != 1 || got[0] != at.Bolt {
		t.Errorf("ROUTE: got %v, %v; want %s", got, err, at.Bolt)
	}
}

func TestInstantServerTakesMessagesCutAnywhere(t *testing.T) {
	one := bolt.AppendMessage(bolt.AppendMessage(nil, bolt.TagRun, "RETURN 1", map[string]any{}, map[string]any{}), bolt.TagPull, map[string]any{"n": 1000})
	all := bytes.Join([][]byte{bolt.Noop, one, bolt.Reset, one}, nil)
	answers := newBoltAnswers("a:1", "", "")
	var want []byte
	for cut := range all {
		s := instantSession{answers: answers}
		s.in = append(s.in, all[:cut]...)
		first := s.answer()
		s.in = append(s.in, all[cut:]...)
		if !first || !s.answer() || len(s.in) != 0 {
			t.Fatalf("cut at %d: gave up, or left %d bytes", cut, len(s.in))
		}
		if want == nil {
			want = s.out
		}
		if !bytes.Equal(s.out, want) {
			t.Fatalf("cut at %d: got % x; want % x", cut, s.out, want)
		}
	}
}

func TestInstantServerAnswersHTTPLikeAServer(t *testing.T) {
	alone, master, slave := startInstant(t, ""), startInstant(t, "master"), startInstant(t, "slave")
	for _, tt := range []struct {
		name, method, url, body string
		status                  int
		want                    string
	}{
		{"discovery of a standalone server", "GET", alone.HTTP + "/", "", 200, `"neo4j_edition":"community"`},
		{"a small read", "GET", alone.HTTP + "/db/data/labels", "", 200, `["Person"]`},
		{"a statement", "POST", alone.HTTP + "/db/neo4j/tx/commit", `{"statements":[]}`, 200, `"errors":[]`},
		{"a statement larger than the buffer", "POST", alone.HTTP + "/db/neo4j/tx/commit", strings.Repeat(" ", 100000), 200, `"errors":[]`},
		{"the master's role", "GET", master.HTTP + "/db/manage/server/ha/master", "", 200, "true"},
		{"the master is no slave", "GET", master.HTTP + "/db/manage/server/ha/slave", "", 404, "false"},
		{"the slave's role", "GET", slave.HTTP + "/db/manage/server/ha/available", "", 200, "slave"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, "http://"+tt.url, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
				t.Errorf("got %d %s %v; want %d %s", res.StatusCode, body, err, tt.status, tt.want)
			}
		})
	}
}

func TestInstantServerRefusesARoleThatThereIsNot(t *testing.T) {
	s := Instant{Role: "king"}
	if err := s.Listen(); err == nil {
		t.Error("got no error; want one that names the roles")
	}
}
