//go:build mutants

package mutant

import "sync/atomic"

var planted atomic.Uint32

// Is tells whether the bug is planted.
func Is(m Mutant) bool { return Mutant(planted.Load()) == m }

// Plant switches one bug on, and every other off.
func Plant(m Mutant) { planted.Store(uint32(m)) }
