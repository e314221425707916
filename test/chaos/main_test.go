// Package chaos takes real clusters through faults while real drivers write and read, and accounts for every value: what was acknowledged and
// is gone (lost), what is there more often than it was written (twice), what failed, and how long nothing went.
//
//	make chaos                                                     5 rounds of each fault on the causal and the HA cluster
//	make chaos CHAOS=25                                            25 of each
//	BOLTGATE_CHAOS=1 go test -v -run TestChaos/causal/kill-leader ./test/chaos
//
// It wants Java and Maven, as test/e2e does, and skips loudly without; docs/reliability.md has the bars and what was measured.
//
// This file owns the run as a whole; round_test.go one round, faults_test.go the faults, workload_test.go the writers and readers,
// ledger_test.go the account, watch_test.go who leads as the harness sees it, contenders_test.go what stands between drivers and members,
// report_test.go the bars and the table.
package chaos

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/boltgate/boltgate/test/labs"
)

// rounds is how often each fault is to be brought about: BOLTGATE_CHAOS; without it these tests are skipped, for they take most of an hour.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("BOLTGATE_CHAOS")
	if text == "" {
		t.Skip("SKIPPED: chaos takes long; BOLTGATE_CHAOS says how many rounds of each fault (make chaos: 5)")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BOLTGATE_CHAOS=%q: want a number of rounds", text)
	}
	return n
}

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Print(results.String())
	os.Exit(code)
}

// TestChaos holds the gate, with its default settings, to the bars.
func TestChaos(t *testing.T) {
	n := rounds(t)
	for _, lab := range []labs.Lab{labs.Causal, labs.HA} {
		t.Run(lab.Name, func(t *testing.T) {
			c := labs.Start(t, lab)
			c.WaitReady()
			prepare(t, c)
			gate := throughGate(t, c)
			for _, f := range faults(lab) {
				t.Run(f.name, func(t *testing.T) {
					for i := range n {
						t.Run(strconv.Itoa(i+1), func(t *testing.T) {
							r := run(t, c, gate, f)
							results.add(lab.Name, gate.name, f.name, r)
							r.hold(t, f)
						})
					}
				})
			}
		})
	}
}
