package proxy

import (
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// TestAReadingTransactionIsNotInDoubt: what a member held to mode "r" cannot have been changed, whatever became of the COMMIT.
func TestAReadingTransactionIsNotInDoubt(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}})
		w := g.logged(v)
		for _, at := range []string{"commit", "committed"} {
			w.ask(beginTx(v, m{"mode": "r"})...)
			w.ask(run(v, oneRow, m{"close": at}, nil), pull(v))
			w.expect("FAILURE("+bolt.CodeLeaderSwitch+")", commitTx(v)...)
			w.expect("SUCCESS()", bolt.Reset)
		}
	}
}

// TestAReadKeptAtTheLeaderIsNotInDoubt: without bookmarks, and with other gates writing, a read that nobody declared has to be at the leader. It
// is a read all the same.
func TestAReadKeptAtTheLeaderIsNotInDoubt(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V1, bolt.V2} {
		var asked ran
		inBubble(t, gateOptions{
			standin:  standin.Options{Generation: cluster.Causal, ServerVersion: "3.4.18", Seed: 1, OnQuery: asked.note},
			frontend: func(f *Frontend) { f.Causality = CausalityCluster },
		}, func(t *testing.T, g *gate) {
			w := g.logged(v)
			leader := g.cluster.Leader("")
			w.row("MATCH (n) RETURN n", m{"mark": "at home"}, nil)
			w.expect("FAILURE("+bolt.CodeLeaderSwitch+") IGNORED", run(v, "MATCH (n) RETURN n", m{"mark": "lost", "close": "run"}, nil), pull(v))
			for _, mark := range []string{"at home", "lost"} {
				if by := slices.Compact(slices.Sorted(slices.Values(asked.of(mark)))); len(by) != 1 || by[0] != leader {
					t.Errorf("Bolt %v: %s was asked of %v; want %s alone", v, mark, by, leader)
				}
			}
			if n := g.server.Counts().InDoubt; n != 0 {
				t.Errorf("Bolt %v: %d reads are in doubt", v, n)
			}
			asked.list = nil
		})
	}
}

// TestADoubtOfTheMembersOwnIsNotRetryable: what a member says at a commit without knowing whether it took place is no reason to try again, by any
// code that drivers take for one.
func TestADoubtOfTheMembersOwnIsNotRetryable(t *testing.T) {
	const deadlock = "Neo.TransientError.Transaction.DeadlockDetected"
	told := map[string]string{
		codeReplication: bolt.CodeCommitFailed, bolt.CodeDatabaseUnavailable: bolt.CodeCommitFailed, bolt.CodeLeaderSwitch: bolt.CodeCommitFailed,
		deadlock: deadlock, "Neo.DatabaseError.Unheard.Of": "Neo.DatabaseError.Unheard.Of",
	}
	for _, r := range releases {
		for _, v := range r.versions {
			g := startGate(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}})
			doubts := int64(0)
			for code, want := range told {
				fails := m{"fail": code, "fail_at": "commit"}
				for how, requests := range map[string][][]byte{
					"auto-commit": {run(v, "CREATE (n)", fails, nil), pull(v)},
					"COMMIT":      join(beginTx(v, nil), [][]byte{run(v, "CREATE (n)", fails, nil), pull(v)}, commitTx(v)),
				} {
					w := g.logged(v)
					l := g.onlyLogin()
					before := l.marks.loose.Load()
					if got := show(w.ask(requests...)); !strings.Contains(got, "FAILURE("+want+")") {
						t.Errorf("%s Bolt %v, %s answered with %s: %s", r.server, v, how, code, got)
					}
					if code != deadlock && l.marks.loose.Load() == before {
						t.Errorf("%s Bolt %v, %s answered with %s: the user's reads do not have to see it, should it be there", r.server, v, how, code)
					}
					w.ask(bolt.Reset)
					w.row(oneRow, nil, nil)
					if code != deadlock {
						doubts++
					}
				}
			}
			if n := int64(g.server.Counts().InDoubt); n != doubts {
				t.Errorf("%s Bolt %v: counted %d; want %d", r.server, v, n, doubts)
			}
		}
	}
}
