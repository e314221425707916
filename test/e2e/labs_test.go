package e2e

// This file owns the tests, one per lab. Each starts its servers once and runs everything that concerns them as subtests.

import (
	"testing"

	"github.com/boltgate/boltgate/test/labs"
)

func TestHA(t *testing.T)            { everything(t, labs.HA) }
func TestCausal(t *testing.T)        { everything(t, labs.Causal) }
func TestCommunity44(t *testing.T)   { everything(t, labs.Community44) }
func TestCommunity5(t *testing.T)    { everything(t, labs.Community5) }
func TestCommunity2026(t *testing.T) { everything(t, labs.Community2026) }

// everything is what every lab goes through.
func everything(t *testing.T, lab labs.Lab) {
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
		t.Run("raw", func(t *testing.T) { rawThroughGate(t, c, gate) })
		for _, p := range programs {
			t.Run(p.Driver.Name, func(t *testing.T) { smokeThroughGate(t, c, p, gate) })
		}
	})
}
