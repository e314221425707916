package e2e

// This file owns the tests, one per lab. Each starts its servers once and runs everything that concerns them as subtests.

import (
	"context"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

func TestHA(t *testing.T) {
	everything(t, labs.HA, classify, readOnly, stage{"migrated", migratedHA}, stage{"classic", classicHA}, learning)
}
func TestCausal(t *testing.T) {
	everything(t, labs.Causal, stage{"causality", causality}, stage{"causality over HTTP", causalityHTTP}, stage{"application", causalGate}, learning, twoLeaders)
}
func TestCommunity44(t *testing.T) { everything(t, labs.Community44, classify, readOnly, byDatabase) }
func TestCommunity5(t *testing.T) {
	everything(t, labs.Community5, classify, browser, readOnly, byDatabase, stage{"newest over HTTP", newestOverHTTP}, stage{"reloads", reloaded}, stage{"life of a member", lifeOfAMember})
}
func TestCommunity2026(t *testing.T) {
	everything(t, labs.Community2026, classify, readOnly, byDatabase, stage{"newest over HTTP", newestOverHTTP})
}

// stage is what one lab goes through beside the rest; it may kill members.
type stage struct {
	name string
	run  func(*testing.T, *labs.Cluster)
}

// classify holds cypher.Classify against the lab's server; it changes nothing there.
var classify = stage{"classify", classified}

// readOnly holds the lab's data against clients that may only read.
var readOnly = stage{"read-only", guarded}

// byDatabase holds work that names databases against the lab's server.
var byDatabase = stage{"databases", databases}

// everything is what every lab goes through, and then its own stages.
func everything(t *testing.T, lab labs.Lab, stages ...stage) {
	c := labs.Start(t, lab)
	programs := install(t) // while the servers start
	c.WaitReady()
	t.Run("direct", func(t *testing.T) {
		t.Run("raw", func(t *testing.T) { rawDirect(t, c) })
		for _, p := range programs {
			t.Run(p.Driver.Name, func(t *testing.T) { smokeDirect(t, c, p) })
		}
	})
	t.Run("gate", func(t *testing.T) {
		gate := startGate(t, c, gateConfig(c, "auto", "")).Address
		awaitVersions(t, gate)
		t.Run("raw", func(t *testing.T) { rawThroughGate(t, c, gate, forThePage) })
		for _, p := range programs {
			t.Run(p.Driver.Name, func(t *testing.T) { smokeThroughGate(t, c, p, gate) })
		}
	})
	t.Run("procedures", func(t *testing.T) { procedures(t, c) })
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) { s.run(t, c) })
	}
}

// lifeOfAMember takes a server through everything that a test may do to it, and leaves it dead: it holds package labs to its word.
func lifeOfAMember(t *testing.T, c *labs.Cluster) {
	m := c.Leader()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	back := func(what string) {
		t.Helper()
		if _, err := m.Await(ctx, labs.Leader); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := m.Suspend(); err != nil {
		t.Fatal(err)
	}
	if role, err := m.Role(ctx); err == nil || !m.Running() {
		t.Fatalf("a suspended member answers: %q, running %v", role, m.Running())
	}
	if err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	back("resumed")
	if err := m.Kill(); err != nil || m.Running() {
		t.Fatalf("killed: %v, running %v", err, m.Running())
	}
	if err := m.Suspend(); err == nil {
		t.Fatal("a member that does not run was suspended")
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	back("killed and started again")
	if err := m.Stop(); err != nil || m.Running() {
		t.Fatalf("stopped: %v, running %v", err, m.Running())
	}
}
