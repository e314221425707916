package e2e

// This file owns the rehearsal: the raw conversations through a gate in front of stand-ins, which answer as the recordings do (standin/recordings_test.go).
// It needs no Java, and shows that each known difference is there and none beside them.

import (
	"testing"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/labs"
)

func TestRehearsalOfTheRawConversations(t *testing.T) {
	differencesMet := map[int]bool{}
	for _, lab := range labs.All() {
		t.Run(lab.Name, func(t *testing.T) {
			c := standInFor(t, lab)
			gate := startGate(t, c, gateConfig(c, "auto", "")).Address
			awaitVersions(t, gate)
			rawThroughGate(t, c, gate, rehearsed(differencesMet))
		})
	}
	if t.Failed() {
		return
	}
	for i, d := range differences {
		if !differencesMet[i] {
			t.Errorf("no conversation differs like this any more: %+v", d)
		}
	}
}

// standInFor is a stand-in with the kind and version of the lab's servers, as gates and raw clients see a lab.
func standInFor(t *testing.T, lab labs.Lab) *labs.Cluster {
	t.Helper()
	kinds := map[labs.Kind]cluster.Generation{labs.Alone: cluster.Standalone, labs.HAMode: cluster.HA, labs.CausalMode: cluster.Causal}
	s, err := standin.Start(standin.Options{Generation: kinds[lab.Kind], ServerVersion: lab.Version(), Members: lab.Cores, Replicas: lab.Replicas, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	c := &labs.Cluster{Lab: lab, User: standin.DefaultUser, Password: standin.DefaultPassword}
	for _, m := range s.Members() {
		c.Members = append(c.Members, &labs.Member{Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP})
	}
	return c
}
