// Package chaos takes real clusters through faults while real drivers write and read, and accounts for every value: what was acknowledged and
// is gone (lost), what is there more often than it was written (twice), what failed, and how long nothing went.
//
//	make chaos                                                     5 rounds of each fault on the causal and the HA cluster
//	make chaos CHAOS=25                                            25 of each
//	make contenders                                                kill-leader beside the driver alone and HAProxy
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

// TestMain prints the tables.
func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Print(results.String(), inFlight.String())
	os.Exit(code)
}

// ci is how many rounds `make chaos CHAOS=ci` goes through: five of each fault, and fewer of what is not about a stall.
var ci = map[string]int{
	"causal/kill-leader": 5, "causal/kill-follower": 5, "causal/freeze-leader": 5, "causal/restart-all": 5, "causal/commits": 1, "causal/batch": 2,
	"ha/kill-leader": 5, "ha/kill-follower": 5, "ha/freeze-leader": 5, "ha/restart-all": 5, "ha/batch": 1,
	"partitions/causal": 5, "partitions/ha": 5,
}

// rounds is how often something is to be gone through: BOLTGATE_CHAOS; without it these tests are skipped, for they take most of an hour.
func rounds(t *testing.T, what string) int {
	t.Helper()
	text := os.Getenv("BOLTGATE_CHAOS")
	switch text {
	case "":
		t.Skip("SKIPPED: chaos takes long; BOLTGATE_CHAOS says how many rounds of each fault (make chaos: 5)")
	case "ci":
		n, ok := ci[what]
		if !ok && what != "" {
			t.Fatalf("nobody said how many rounds of %s CI goes through", what)
		}
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BOLTGATE_CHAOS=%q: want a number of rounds, or ci", text)
	}
	return n
}

// TestChaos holds the gate, with its default settings, to the bars.
func TestChaos(t *testing.T) {
	rounds(t, "")
	for _, lab := range []labs.Lab{labs.Causal, labs.HA} {
		t.Run(lab.Name, func(t *testing.T) {
			c := labs.Start(t, lab)
			c.WaitReady()
			prepare(t, c)
			gate := throughGate(t, c)
			for _, f := range faults(lab) {
				t.Run(f.name, func(t *testing.T) {
					for i := range rounds(t, lab.Name+"/"+f.name) {
						t.Run(strconv.Itoa(i+1), func(t *testing.T) { oneRound(t, c, gate, f) })
					}
				})
			}
			t.Run("batch", func(t *testing.T) { batches(t, c, gate, rounds(t, lab.Name+"/batch")) })
			if lab.Kind == labs.CausalMode {
				t.Run("commits", func(t *testing.T) { commits(t, c, rounds(t, lab.Name+"/commits")) })
			}
		})
	}
}

// oneRound goes through a fault, notes what came of it, and holds it to the bars.
func oneRound(t *testing.T, c *labs.Cluster, gate *contender, f fault) {
	r := run(t, c, gate, f)
	results.add(c.Lab.Name, gate.name, f.name, r)
	r.hold(t, f)
}
