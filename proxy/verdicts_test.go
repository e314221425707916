package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds rows of the table of verdicts that no other test is about: FAILUREs which prove that a write was not committed.

// TestAWriteThatWasRefusedIsNotInDoubt: its client hears what the member said, it is run once, and nobody has to look what became of it.
func TestAWriteThatWasRefusedIsNotInDoubt(t *testing.T) {
	const (
		constraint = "Neo.ClientError.Schema.ConstraintValidationFailed"
		deadlock   = "Neo.TransientError.Transaction.DeadlockDetected"
		unheardOf  = "Neo.DatabaseError.Unheard.Of"
	)
	eachVersion(t, bolt.V1, func(t *testing.T, g *gate, v bolt.Version) {
		w := g.logged(v)
		refused := func(code, at string, requests ...[]byte) {
			t.Helper()
			before := g.server.Counts()
			list := w.ask(requests...)
			for len(list) > 1 && list[0].tag != bolt.TagFailure {
				list = list[1:]
			}
			after := g.server.Counts()
			if list[0].code() != code || after.InDoubt != before.InDoubt {
				t.Errorf("refused at %s with %s: its client was told %s, %d in doubt", at, code, show(list), after.InDoubt-before.InDoubt)
			}
			for why, n := range after.Resent {
				if n != before.Resent[why] {
					t.Errorf("refused at %s with %s: sent again (%s)", at, code, why)
				}
			}
			w.expect("SUCCESS()", bolt.Reset)
		}
		text := func(code, at string) []byte { return write(v, "refused", m{"fail": code, "fail_at": at}) }

		for _, code := range []string{bolt.CodeStateChanged, bolt.CodeInvalidBookmark, bolt.CodeBookmarkMixture, unheardOf} {
			refused(code, "RUN", text(code, "run"), pull(v))
		}
		for _, code := range []string{constraint, deadlock} {
			refused(code, "PULL", text(code, "pull"), pull(v))
			refused(code, "the commit of PULL", run(v, "CREATE (n)", m{"mark": "refused", "fail": code, "fail_at": "commit"}, nil), pull(v))
			w.ask(join(beginTx(v, nil), [][]byte{text(code, "commit"), pull(v)})...)
			refused(code, "COMMIT", commitTx(v)...)
		}
		begin := beginTx(v, m{"bookmarks": []any{"nonsense"}})
		if v < bolt.V3 {
			begin = [][]byte{run(v, "BEGIN", m{"bookmarks": []any{"nonsense"}}, nil), pull(v)}
		}
		refused(bolt.CodeInvalidBookmark, "BEGIN", begin...)
		refused(bolt.CodeInvalidBookmark, "BEGIN, with all that follows sent", join(begin, [][]byte{write(v, "refused", nil), pull(v)}, commitTx(v))...)

		for _, mark := range g.marks() {
			if mark == "refused" {
				t.Error("one of them is there")
			}
		}
		w.row(aWrite, m{"mark": "fine"}, nil)
	})
}

// TestAWriteLeavesAHAMasterThatSwitches: one that changes its role says InstanceStateChanged at RUN, and rolls back what it ran; the write goes on at
// the next master.
func TestAWriteLeavesAHAMasterThatSwitches(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Generation: cluster.HA, Members: 3, Seed: 4}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V3)
		old := g.cluster.Leader("")
		w.send(write(w.v, "switched", m{"fail": bolt.CodeStateChanged, "at_member": old}), pull(w.v))
		time.Sleep(2 * time.Second)
		now := g.anotherLeads()
		row, err := firstRow(w.answers(2))
		if err != nil || row["member"] != now {
			t.Errorf("got %v %v; want %s, which is the master now", row, err, now)
		}
		if c := g.server.Counts(); c.Resent["refused"] == 0 || c.InDoubt != 0 {
			t.Errorf("sent again %v, %d in doubt", c.Resent, c.InDoubt)
		}
		if got := fmt.Sprint(g.marks()); got != "[switched]" {
			t.Errorf("committed %s", got)
		}
	})
}
