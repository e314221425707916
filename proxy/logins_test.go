package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what becomes of idle connections when a login turns out to be out of date.

func TestARefusedCredentialTakesItsIdleConnectionsAlong(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	live := g.logged(bolt.V5_8)
	live.row(aWrite, nil, nil)
	g.awaitStats("the connection of the log-on", func(s pool.Stats) bool { return s == pool.Stats{Open: 1, Idle: 1} })
	g.cluster.SetPassword(standin.DefaultUser, "new")
	refused := func() {
		t.Helper()
		w := g.open(bolt.V5_8)
		list := w.ask(logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)...)
		if list[1].code() != bolt.CodeUnauthorized {
			t.Errorf("a log-on with the old password: %s", show(list))
		}
		w.conn.Close()
	}
	refused()
	dials := g.dials.Load()
	live.row(aWrite, nil, nil) // as at a member
	if n := g.dials.Load() - dials; n != 0 {
		t.Errorf("the session that is logged on needed %d new connections", n)
	}
	live.conn.Close()
	g.awaitStats("nobody uses the old password any more", func(s pool.Stats) bool { return s == pool.Stats{} })
	other := openWire(t, g.address, bolt.V5_8)
	other.logOn(standin.DefaultUser, "new")
	other.row(aWrite, nil, nil)
	refused()
	other.row(aWrite, nil, nil)
	g.awaitStats("the new password's connection stays", func(s pool.Stats) bool { return s == pool.Stats{Open: 1, Idle: 1} })
}

func TestAnOutdatedLoginTakesItsIdleConnectionsAlong(t *testing.T) {
	for code, gone := range map[string]bool{
		bolt.CodeAuthExpired:        true,
		bolt.CodeTokenExpired:       true,
		bolt.CodeCredentialsExpired: true,
		bolt.CodeForbidden:          false, // says nothing of the login: a user without the right would cost a log-on each time
	} {
		t.Run(code, func(t *testing.T) {
			g := startGate(t, gateOptions{standin: single, server: Options{Remember: time.Hour}})
			w, second := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
			w.ask(beginTx(w.v, nil)...)
			second.row(aWrite, nil, nil) // on a connection of its own, which is idle then
			w.ask(rollbackTx(w.v)...)
			g.awaitStats("two are idle", func(s pool.Stats) bool { return s == pool.Stats{Open: 2, Idle: 2} })
			w.ask(beginTx(w.v, nil)...)
			list := w.ask(run(w.v, aWrite, m{"fail": code}, nil), pull(w.v))
			if list[0].code() != code {
				t.Fatalf("got %s", show(list))
			}
			g.awaitStats("the unit is over", func(s pool.Stats) bool { return s.InFlight == 0 })
			if s := g.pools.Stats("s1"); (s.Open < 2) != gone {
				t.Errorf("%+v are left", s)
			}
			second.row(aWrite, nil, nil)
		})
	}
}

func TestAUserCommandClosesNoConnections(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{Remember: time.Hour}})
	w := g.logged(bolt.V5_8)
	w.row(aWrite, nil, nil)
	dials := g.dials.Load()
	text := "ALTER CURRENT USER SET PASSWORD FROM '" + standin.DefaultPassword + "' TO 'new'"
	w.expect("SUCCESS(fields t_first) SUCCESS(bookmark db stats statuses t_last type)", run(w.v, text, nil, m{"db": "system"}), pull(w.v))
	w.row(aWrite, nil, nil)
	if n := g.dials.Load() - dials; n != 0 {
		t.Errorf("who changed the own password needed %d new connections", n)
	}
	again := g.open(bolt.V5_8)
	if list := again.ask(logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)...); list[1].code() != bolt.CodeUnauthorized {
		t.Errorf("the old password was good for a log-on: %s", show(list))
	}
}

// A token that has ended is the one refusal of a lease's log-on that clients hear in the member's own words.
func TestTokenExpiredPassesWhole(t *testing.T) {
	sent := message(bolt.TagFailure, m{"neo4j_code": bolt.CodeTokenExpired, "message": "it ended", "gql_status": "42NFF", "diagnostic_record": m{"OPERATION": ""}})
	in := bolt.Reader{Source: bytes.NewReader(sent)}
	msg, err := in.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	f, err := bolt.ParseFailure(msg.Fields)
	if err != nil {
		t.Fatal(err)
	}
	s := &boltSession{srv: new(Server), front: new(frontend), version: bolt.V5_8, busy: new(busy), state: stateReady}
	s.owed.push(owed{tag: bolt.TagRun})
	s.owed.push(owed{tag: bolt.TagPull})
	if err := s.notServed(fmt.Errorf("no connection: %w", f)); !errors.Is(err, errClosed) {
		t.Errorf("got %v; want the session to end", err)
	}
	if want := append(sent, bolt.Ignored...); !bytes.Equal(s.out, want) {
		t.Errorf("got  %q\nwant %q", s.out, want)
	}
}

// TestAMemberThatTakesNoLogOnIsLeftForAnother: it has no threads left, stops, or is not ready. That says nothing of who logs on.
func TestAMemberThatTakesNoLogOnIsLeftForAnother(t *testing.T) {
	for _, code := range []string{bolt.CodeNoThreads, bolt.CodeDatabaseUnavailable, "Neo.DatabaseError.General.UnknownError"} {
		for _, v := range []bolt.Version{bolt.V3, bolt.V4_4, bolt.V5_8} {
			t.Run(fmt.Sprintf("%s Bolt %v", code, v), func(t *testing.T) {
				o := standin.Options{Members: 3, Seed: 1}
				if v < bolt.V4_4 {
					o.Generation, o.ServerVersion = cluster.Causal, "4.4.48"
				}
				g := startGate(t, gateOptions{standin: o})
				turn := func(code string, members ...string) {
					t.Helper()
					for _, name := range members {
						if err := g.cluster.TurnAway(name, code); err != nil {
							t.Fatal(err)
						}
					}
				}
				read := func(w *wire) []answer { return w.ask(run(v, oneRow, nil, m{"mode": "r"}), pull(v)) }
				leader := g.cluster.Leader("")
				var followers []string
				for _, name := range []string{"s1", "s2", "s3"} {
					if name != leader {
						followers = append(followers, name)
					}
				}
				turn(code, followers[0])
				for range 4 { // the client's own log-on, and those for connections that reads need
					if list := read(g.logged(v)); list[1].tag != bolt.TagRecord {
						t.Errorf("with %s turning log-ons away a read got %s", followers[0], show(list))
					}
				}
				if code != bolt.CodeNoThreads {
					return
				}
				w := g.logged(v)
				turn(code, followers[1], leader)
				l := g.onlyLogin()
				g.server.logins.mu.Lock()
				as := l.as
				g.server.logins.mu.Unlock()
				g.pools.Forget(as)
				if got := show(read(w)); got != "FAILURE("+code+") IGNORED" {
					t.Errorf("with all of them turning log-ons away a read got %s", got)
				}
				turn("", followers[0], followers[1], leader)
				w.ask(bolt.Reset)
				if list := read(w); list[1].tag != bolt.TagRecord {
					t.Errorf("with threads again the same session's read got %s", show(list))
				}
			})
		}
	}
}
