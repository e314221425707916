//go:build mutants

package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/test/seeds"
)

// breaks are the rules by which each bug is found out; a violation of another may be its doing too, but does not count.
var breaks = map[mutant.Mutant][]string{
	mutant.ResendLostWrite:  {ruleTwice},
	mutant.ResendSelf:       {ruleTwice, ruleSelf},
	mutant.ResendCommit:     {ruleTwice},
	mutant.ResendDelivered:  {ruleRecords, ruleOthersAnswer},
	mutant.LendUnclean:      {ruleOthersAnswer, ruleLost, ruleNothingDone},
	mutant.ReturnEarly:      {ruleRecords, ruleVisible},
	mutant.OthersLogin:      {ruleOthersAnswer},
	mutant.SkipMarks:        {ruleStale},
	mutant.MarksByArrival:   {ruleStale},
	mutant.DropBookmarks:    {ruleStale},
	mutant.KeepNotALeader:   {ruleVisible},
	mutant.DoubtIsRetryable: {ruleNothingDone},
	mutant.LossIsSuccess:    {ruleLost},
	mutant.StaleClaimant:    {ruleClaimant},
	mutant.ResetFirst:       {ruleOthersAnswer, ruleLost},

	mutant.WebAnswerTwice:     {ruleOthersAnswer},
	mutant.WebResendLostWrite: {ruleTwice},
	mutant.WebLossIsSuccess:   {ruleLost},
	mutant.ClusterOwnGate:     {ruleStale},
}

// TestEveryMutantIsCaught plants one bug after the other and looks for the first seed that finds it:
//
//	go test -tags mutants -run TestEveryMutantIsCaught -v ./test/sim                     all of them
//	go test -tags mutants -run TestEveryMutantIsCaught/lend-unclean -v ./test/sim        one
func TestEveryMutantIsCaught(t *testing.T) {
	from, to := seeds.Range(t, 2000)
	for bug := mutant.None + 1; bug < mutant.End; bug++ {
		t.Run(bug.String(), func(t *testing.T) {
			mutant.Plant(bug)
			defer mutant.Plant(mutant.None)
			for seed := from; seed <= to; seed++ {
				var caught []Violation
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					caught = slices.DeleteFunc(Check(Play(t, seed)), func(v Violation) bool { return !slices.Contains(breaks[bug], v.Rule) })
				})
				if len(caught) > 0 {
					t.Logf("%v: caught after %d seeds: %v", bug, seed-from+1, caught[0])
					return
				}
			}
			t.Errorf("%v: not caught by seeds %d to %d", bug, from, to)
		})
	}
}
