package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what becomes of open sessions when members are upgraded and rolled back under them.

// become restarts a member as another release, and waits until the checks know.
func (g *gate) become(name, version string) {
	g.t.Helper()
	g.kill(name)
	if err := g.cluster.Upgrade(name, standin.Release{ServerVersion: version}); err != nil {
		g.t.Fatal(err)
	}
	g.await(func(v *cluster.View) bool { return !v.Member(name).Up })
	g.restart(name)
	g.await(func(v *cluster.View) bool {
		s := v.Member(name)
		return s.Up && s.Agent == "Neo4j/"+version && v.Leader("") != nil
	})
}

// lead makes a member the leader, and waits until the checks know.
func (g *gate) lead(name string) {
	g.t.Helper()
	if err := g.cluster.Elect("neo4j", name); err != nil {
		g.t.Fatal(err)
	}
	g.await(func(v *cluster.View) bool { l := v.Leader(""); return l != nil && l.Name == name })
}

// refusedVersion checks that the gate has no version in common with a client of v alone.
func (g *gate) refusedVersion(v bolt.Version) {
	g.t.Helper()
	conn, err := g.network.Dial(context.Background(), "tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if got, err := bolt.Handshake(conn, v); err != bolt.ErrNoVersion {
		g.t.Errorf("a client of %v alone: got %v, %v; want 00 00 00 00", v, got, err)
	}
}

// serverOf logs on and returns what HELLO said of the server.
func (g *gate) serverOf(v bolt.Version) any {
	g.t.Helper()
	w := g.open(v)
	defer w.conn.Close()
	return w.ask(logonMessages(v, standin.DefaultUser, standin.DefaultPassword)...)[0].meta()["server"]
}

// follower is some member that does not lead.
func (g *gate) follower() string {
	for _, m := range g.cluster.Members() {
		if m.Name != g.cluster.Leader("") {
			return m.Name
		}
	}
	panic("no follower")
}

// TestARollBackUnderOpenSessions: a session goes on while the leader speaks its version, on the members that do; it ends,
// between units of work, when another leads.
func TestARollBackUnderOpenSessions(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, ServerVersion: "5.26.30"}}, func(t *testing.T, g *gate) {
		newer, older := g.logged(bolt.V5_8), g.logged(bolt.V4_4)
		if s := g.serverOf(bolt.V5_8); s != "Neo4j/5.26.30" {
			t.Errorf("server: %v", s)
		}
		rolled := g.follower()
		g.become(rolled, "4.4.48")
		g.refusedVersion(bolt.V5_8)
		if s := g.serverOf(bolt.V4_4); s != "Neo4j/4.4.48" {
			t.Errorf("server of a mixed cluster: %v; want the lowest", s)
		}
		served := map[bolt.Version]map[any]bool{bolt.V5_8: {}, bolt.V4_4: {}}
		for range 20 {
			for _, w := range []*wire{newer, older} {
				served[w.v][w.row(oneRow, nil, m{"mode": "r"})["member"]] = true
			}
			newer.row(aWrite, nil, nil)
		}
		if served[bolt.V5_8][rolled] || !served[bolt.V4_4][rolled] {
			t.Errorf("reads by version: %v; %s speaks 4.4 alone", served, rolled)
		}
		inTx := g.logged(bolt.V4_4) // the versions of the new session are those that all speak
		inTx.ask(beginTx(inTx.v, m{"mode": "r"})...)
		newer.ask(beginTx(newer.v, m{"mode": "r"})...)
		newer.row(oneRow, nil, nil)
		idle := newer // in a transaction: it must not be cut
		g.lead(rolled)
		time.Sleep(5 * time.Second)
		idle.row(oneRow, nil, nil)
		if got := show(idle.ask(commitTx(idle.v)...)); !strings.HasPrefix(got, "SUCCESS") {
			t.Errorf("COMMIT of a transaction on a member that stayed: %s", got)
		}
		idle.closed()
		inTx.row(oneRow, nil, nil)
		inTx.ask(commitTx(inTx.v)...)
		for _, w := range []*wire{older, inTx} {
			if row := w.row(aWrite, nil, nil); row["member"] != rolled {
				t.Errorf("a write on 4.4 went to %v", row["member"])
			}
		}
	})
}

// TestIdleSessionsEndWithTheirVersion, those that wait in a failed state and before the login as well, and one that
// streams only after its end.
func TestIdleSessionsEndWithTheirVersion(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 2, ServerVersion: "5.26.30"}}, func(t *testing.T, g *gate) {
		idle, failed, introduced, streams := g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.open(bolt.V5_8), g.logged(bolt.V5_8)
		failed.expect("FAILURE(Neo.ClientError.Statement.TypeError) IGNORED", auto(failed.v, failRun)...)
		introduced.ask(logonMessages(introduced.v, "", "")[0])
		stays := g.logged(bolt.V4_4)
		rolled := g.follower()
		g.become(rolled, "4.4.48")
		streams.ask(run(streams.v, someRows, nil, m{"mode": "r"}), stream(streams.v, bolt.TagPull, m{"n": 1}))
		g.lead(rolled)
		for _, w := range []*wire{idle, failed, introduced} {
			w.closed()
		}
		if got := show(streams.ask(pull(streams.v))); got != "RECORD SUCCESS(bookmark db statuses t_last type)" {
			t.Errorf("the rest of a stream: %s", got)
		}
		streams.closed()
		stays.row(aWrite, nil, nil)
	})
}

// TestARequestThatComesAtTheWrongMomentIsALeaderSwitch: what the client has sent already is answered before the end.
func TestARequestThatComesAtTheWrongMomentIsALeaderSwitch(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 3, ServerVersion: "5.26.30"}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		rolled := g.follower()
		g.become(rolled, "4.4.48")
		request := auto(w.v, aWrite)
		w.send(request[0][:7]) // the rest is on its way
		time.Sleep(time.Second)
		g.lead(rolled)
		time.Sleep(time.Second)
		w.send(request[0][7:], request[1])
		if got := show(w.answers(2)); got != "FAILURE("+bolt.CodeLeaderSwitch+") IGNORED" {
			t.Errorf("got %s", got)
		}
		w.closed()
		if len(g.marks()) != 0 {
			t.Errorf("committed: %v", g.marks())
		}
	})
}

// TestAParkedSessionEndsWithItsVersion, on real sockets: there sessions park.
func TestAParkedSessionEndsWithItsVersion(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 4, ServerVersion: "5.26.30"}, server: Options{ParkEvery: 5 * time.Millisecond}})
	gone, stays := g.logged(bolt.V5_8), g.logged(bolt.V4_4)
	g.awaitParked(2)
	rolled := g.follower()
	g.become(rolled, "4.4.48")
	gone.row(aWrite, nil, nil)
	g.awaitParked(2)
	g.lead(rolled)
	gone.closed()
	g.awaitParked(1)
	stays.row(aWrite, nil, nil)
}

// TestTheUTCPatchIsForLife: it is agreed on only when all accept it, and a session with it is not served by a member
// without, whatever its version.
func TestTheUTCPatchIsForLife(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 5, Generation: cluster.Causal, ServerVersion: "4.4.48"}}, func(t *testing.T, g *gate) {
		patched := func() (*wire, bool) {
			w := g.open(bolt.V4_4)
			hello := bolt.AppendMessage(nil, bolt.TagHello, m{"user_agent": "test/1", "scheme": "basic", "principal": standin.DefaultUser,
				"credentials": standin.DefaultPassword, "patch_bolt": []any{"utc"}})
			return w, fmt.Sprint(w.ask(hello)[0].meta()["patch_bolt"]) == "[utc]"
		}
		w, ok := patched()
		if !ok {
			t.Fatal("all members accept the patch, the gate does not")
		}
		old := g.follower()
		g.become(old, "4.4.8")
		without, ok := patched()
		if ok {
			t.Errorf("the gate accepts the patch that %s does not know", old)
		}
		seen := map[bool][]any{}
		for range 20 {
			for _, s := range []*wire{w, without} {
				seen[s == w] = append(seen[s == w], s.row(oneRow, nil, m{"mode": "r"})["member"])
			}
		}
		if slices.Contains(seen[true], any(old)) || !slices.Contains(seen[false], any(old)) {
			t.Errorf("with the patch %v, without %v; %s does not know it", seen[true], seen[false], old)
		}
		g.lead(old)
		w.closed()
		without.row(aWrite, nil, nil)
	})
}

// TestOnlyWhatIsNeededEndsASession: leaders of system, and of nothing, are no reason.
func TestOnlyWhatIsNeededEndsASession(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 6, ServerVersion: "5.26.30"}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		rolled := g.follower()
		g.become(rolled, "4.4.48")
		if err := g.cluster.Elect("system", rolled); err != nil {
			t.Fatal(err)
		}
		g.await(func(v *cluster.View) bool { l := v.Leader("system"); return l != nil && l.Name == rolled })
		time.Sleep(5 * time.Second)
		w.row(aWrite, nil, nil)
		w.expect("FAILURE("+bolt.CodeLeaderSwitch+") IGNORED", auto(w.v, "CREATE USER x SET PASSWORD 'secret123'")...)
		w.closed()
	})
}

// TestAHandshakeWaitsForTheFirstAnswer and ends with 00 00 00 00 when none comes.
func TestAHandshakeWaitsForTheFirstAnswer(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 7}}, func(t *testing.T, g *gate) {
		g.kill("s1", "s2", "s3")
		g.await(func(v *cluster.View) bool { return v.Versions == nil })
		began := time.Now()
		g.refusedVersion(bolt.V5_8)
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("refused after %v; failover.hold is 20 s", took)
		}
		go func() {
			time.Sleep(3 * time.Second)
			g.restart("s2")
		}()
		began = time.Now()
		g.open(bolt.V5_8)
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("agreed after %v; the first member was back after 3 s", took)
		}
	})
}

// TestNothingInCommonIsRefused at once: waiting would not help.
func TestNothingInCommonIsRefused(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 8, Versions: []bolt.Version{bolt.V5_8}}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		g.kill("s3")
		if err := g.cluster.Upgrade("s3", standin.Release{Versions: []bolt.Version{bolt.V4_4}}); err != nil {
			t.Fatal(err)
		}
		g.restart("s3")
		g.await(func(v *cluster.View) bool { return v.Versions != nil && len(v.Versions) == 0 })
		began := time.Now()
		for _, v := range bolt.Versions {
			g.refusedVersion(v)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("refused after %v", took)
		}
		if g.cluster.Leader("neo4j") != "s3" {
			w.row(oneRow, nil, nil) // who is there already goes on
		}
	})
}
