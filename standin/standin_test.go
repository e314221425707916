package standin

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/test/memnet"
)

// bench is a cluster on a network in memory.
type bench struct {
	t   *testing.T
	net *memnet.Network
	*Cluster
}

func start(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, net: memnet.New(o.Seed)}
	o.Listen = func(member, protocol string) (net.Listener, error) {
		return b.net.Listen(member + ":" + map[string]string{"bolt": "7687", "http": "7474"}[protocol])
	}
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Cluster = c
	t.Cleanup(func() { c.Close() })
	return b
}

// raw connects to a member and shakes hands on v.
func (b *bench) raw(member string, v bolt.Version) net.Conn {
	b.t.Helper()
	conn, err := b.net.Dial(context.Background(), "", member+":7687")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	if got, err := bolt.Handshake(conn, v); err != nil || got != v {
		b.t.Fatalf("%s: handshake for %v: got %v, %v", member, v, got, err)
	}
	return conn
}

// client is a logged-on client of a member.
func (b *bench) client(member string, v bolt.Version) *bolt.Client {
	b.t.Helper()
	c := bolt.NewClient(b.raw(member, v), v)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(DefaultUser, DefaultPassword)); err != nil {
		b.t.Fatalf("%s: login over %v: %v", member, v, err)
	}
	return c
}

// row runs a query and returns its first row by column, and the summary.
func row(t *testing.T, c *bolt.Client, text string, params, extra map[string]any) (map[string]any, map[string]any) {
	t.Helper()
	res, err := c.Query(text, params, extra)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	first := make(map[string]any)
	if len(res.Rows) > 0 {
		for i, name := range res.Fields {
			first[name] = res.Rows[0][i]
		}
	}
	return first, res.Summary
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var f *bolt.Failure
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("got %v; want %s", err, code)
	}
}

func TestAnAnswerSaysWhoGaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Replicas: 1, Seed: 1, Lag: time.Second})
		leader, follower := b.client("s1", bolt.V5_8), b.client("s2", bolt.V4_4)
		got, end := row(t, leader, "CREATE (n) RETURN n", map[string]any{"mark": "m1"}, nil)
		if got["member"] != "s1" || got["role"] != "leader" || got["mark"] != "m1" || got["db"] != "neo4j" || got["user"] != "neo4j" {
			t.Errorf("leader: got %v", got)
		}
		if end["type"] != "rw" || end["db"] != "neo4j" || end["bookmark"] == nil {
			t.Errorf("leader's summary: got %v", end)
		}
		if got, _ := row(t, follower, "MATCH (n) RETURN n", nil, map[string]any{"mode": "r"}); got["role"] != "follower" || got["applied"] != int64(1) || got["mode"] != "r" {
			t.Errorf("follower before the lag: got %v", got)
		}
		begin := time.Now()
		got, _ = row(t, follower, "MATCH (n) RETURN n", nil, map[string]any{"mode": "r", "bookmarks": []any{end["bookmark"]}})
		if got["applied"] != int64(2) || time.Since(begin) != time.Second {
			t.Errorf("with the bookmark: got %v after %v; want transaction 2 after 1s", got, time.Since(begin))
		}
		_, err := follower.Query("CREATE (n)", nil, nil)
		wantCode(t, err, bolt.CodeNotALeader)
		_, err = b.client("r1", bolt.V5_4).Query("CREATE (n)", nil, nil)
		wantCode(t, err, bolt.CodeReadOnlyDatabase)
		_, err = leader.Query("CREATE (n)", nil, map[string]any{"mode": "r"})
		wantCode(t, err, bolt.CodeAccessMode)
		_, err = leader.Query("RETURN 1", nil, map[string]any{"db": "nope"})
		wantCode(t, err, bolt.CodeDatabaseNotFound)
		if log := b.Log("neo4j"); len(log) != 1 || log[0].Leader != "s1" || log[0].Tx != 2 || log[0].Marks[0] != "m1" {
			t.Errorf("log: got %+v", log)
		}
	})
}

func TestAKilledLeaderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var elections []Election
		b := start(t, Options{Seed: 7, ElectionTime: 4 * time.Second, OnElection: func(e Election) { elections = append(elections, e) }})
		row(t, b.client("s1", bolt.V5_0), "CREATE (n)", nil, nil)
		b.Kill("s1")
		begin := time.Now()
		if b.Leader("neo4j") != "" {
			t.Error("there is a leader right after the kill")
		}
		_, err := b.client("s2", bolt.V5_0).Query("CREATE (n)", nil, nil)
		wantCode(t, err, bolt.CodeNotALeader)
		next := b.WaitLeader("neo4j", time.Minute)
		if took := time.Since(begin); next == "" || next == "s1" || took < 4*time.Second || took > 5*time.Second {
			t.Fatalf("got leader %q after %v; want another within 4 to 5s", next, took)
		}
		if got, _ := row(t, b.client(next, bolt.V5_0), "CREATE (n) RETURN n", nil, nil); got["member"] != next || got["applied"] != int64(2) {
			t.Errorf("got %v", got)
		}
		if err := b.Restart("s1"); err != nil {
			t.Fatal(err)
		}
		if r := b.Role("neo4j", "s1"); r != cluster.Follower {
			t.Errorf("restarted: got %v; want a follower", r)
		}
		if !b.WaitApplied("neo4j", "s1", 3, time.Minute) {
			t.Error("the restarted member does not catch up")
		}
		synctest.Wait()
		if last := elections[len(elections)-1]; last.Leader != next || last.Before != "s1" {
			t.Errorf("announced %+v", last)
		}
	})
}
