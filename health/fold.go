package health

import (
	"maps"
	"slices"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file holds what is decided from answers, as functions of values: whether a member is up, which kind of cluster it
// is, and its roles (who leads: claims.go). None of it does I/O or reads a clock.

// streak is how a member's checks went lately. The zero streak is a member that is not up and that nobody has asked.
type streak struct {
	Up        bool
	Good, Bad int // answers in a row
}

// fold adds one answer: up after rise good ones in a row, down after fall bad ones.
func fold(s streak, good bool, rise, fall int) streak {
	if good {
		s.Good, s.Bad = s.Good+1, 0
	} else {
		s.Good, s.Bad = 0, s.Bad+1
	}
	s.Up = s.Up && s.Bad < fall || s.Good >= rise
	return s
}

// settle turns words into roles by member and database with at most one leader for each database. Where some members tell
// roles by database and others one role for all, only the former count: a View must not have a leader under each key.
func settle(words []word) (settled map[string]map[string]cluster.Role, verdicts map[string]verdict) {
	named := slices.ContainsFunc(words, func(w word) bool {
		for db := range w.roles {
			if db != cluster.AnyDatabase {
				return true
			}
		}
		return false
	})
	usable := make([]word, 0, len(words))
	for _, w := range words {
		w.roles = maps.Clone(w.roles)
		if named {
			delete(w.roles, cluster.AnyDatabase)
		}
		usable = append(usable, w)
	}
	verdicts = leaders(usable)
	settled = make(map[string]map[string]cluster.Role, len(usable))
	for _, w := range usable {
		maps.DeleteFunc(w.roles, func(_ string, r cluster.Role) bool { return r == cluster.Unknown })
		for db, r := range w.roles {
			if r == cluster.Leader && verdicts[db].leader != w.member {
				w.roles[db] = cluster.Unknown // it hosts the database: without an entry nobody might seem to
			}
		}
		for _, db := range w.hosts {
			if _, told := w.roles[db]; !told && !(named && db == cluster.AnyDatabase) {
				w.roles[db] = cluster.Unknown
			}
		}
		settled[w.member] = w.roles
	}
	return settled, verdicts
}

// conclude is the generation after new evidence: a configured one always; else what most members show. A conclusion yields
// only when more than half of all members show another, so failed checks, silence and a stray server never undo it.
// Standalone needs exactly one member.
func conclude(configured, was cluster.Generation, evidence []cluster.Generation, members int) cluster.Generation {
	if configured != cluster.UnknownGeneration {
		return configured
	}
	count := make(map[cluster.Generation]int)
	for _, g := range evidence {
		if g != cluster.UnknownGeneration && (g != cluster.Standalone || members == 1) {
			count[g]++
		}
	}
	best := cluster.UnknownGeneration
	for _, g := range []cluster.Generation{cluster.Autonomous, cluster.Causal, cluster.HA, cluster.Standalone} {
		if count[g] > count[best] {
			best = g
		}
	}
	if best == cluster.UnknownGeneration || was != cluster.UnknownGeneration && 2*count[best] <= members {
		return was
	}
	return best
}

// agrees tells whether evidence fits the generation that is configured or was concluded. Causal and autonomous clusters
// tell roles the same way, and a server that is configured as standalone may be of any kind.
func agrees(g, evidence cluster.Generation) bool {
	clustered := func(g cluster.Generation) bool { return g == cluster.Causal || g == cluster.Autonomous }
	return evidence == cluster.UnknownGeneration || g == evidence || g == cluster.Standalone || clustered(g) && clustered(evidence)
}

// common is what all of the given lists of versions share, in the order of the first; empty lists are not known and do
// not count. nil while none is known.
func common(lists [][]bolt.Version) []bolt.Version {
	var shared []bolt.Version
	for _, list := range lists {
		switch {
		case len(list) == 0:
		case shared == nil:
			shared = slices.Clone(list)
		default:
			shared = append([]bolt.Version{}, bolt.Common(shared, list)...) // empty, not nil: nothing in common is known
		}
	}
	return shared
}
