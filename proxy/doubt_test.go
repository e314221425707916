package proxy

import (
	"testing"

	"github.com/boltgate/boltgate/bolt"
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
