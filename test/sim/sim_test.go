package sim

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/boltgate/boltgate/test/seeds"
)

// One processor makes runs of one seed alike; see docs/reliability.md.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	m.Run()
}

// TestTheRulesHold plays seeds:
//
//	BOLTGATE_SEEDS=2000 go test -run TestTheRulesHold ./test/sim       as many, from 0 on
//	BOLTGATE_SEEDS=17-17 go test -run TestTheRulesHold -v ./test/sim   one of them again, with all that happened
func TestTheRulesHold(t *testing.T) {
	from, to := seeds.Range(t, 30)
	var s sums
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := Play(t, seed)
			s.add(h)
			report(t, h)
			if from == to {
				t.Log("what happened:\n" + h.Trace())
			}
		})
	}
	t.Logf("%+v", s)
}

func report(t *testing.T, h *History) {
	t.Helper()
	found := Check(h)
	if len(found) == 0 {
		return
	}
	for _, v := range found[:min(len(found), 4)] {
		t.Errorf("%v\n%s", v, h.About(v.Mark))
	}
	t.Logf("%d violations. Once more: BOLTGATE_SEEDS=%d-%d go test -run '^TestTheRulesHold$' -v ./test/sim", len(found), h.plan.seed, h.plan.seed)
}

// sums are what all runs together had.
type sums struct {
	Seeds, Attempts, Done, Doubt, Retryable, Broken, Resent int
}

func (s *sums) add(h *History) {
	s.Seeds++
	for _, a := range h.attempts {
		s.Attempts++
		switch {
		case a.outcome == done:
			s.Done++
		case a.code == "Neo.DatabaseError.Transaction.TransactionCommitFailed":
			s.Doubt++
		case a.outcome == failed:
			s.Retryable++
		case a.outcome == broken:
			s.Broken++
		}
		if len(h.deliveries[a.mark]) > 1 && !(a.web && a.explicit) {
			s.Resent++
		}
	}
}
