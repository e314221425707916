package health

import (
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/internal/mutant"
)

// This file decides who leads a database: also where several members claim to, as after a partition, and where the only one
// that does is outvoted. Functions of values; no I/O, no clock.

// word is what one member that is up said last, in a good answer.
type word struct {
	member string
	fresh  bool                    // its newest check was that good answer: it is answering now
	at     time.Time               // when that answer was asked for
	roles  map[string]cluster.Role // what it says of itself, by database
	hosts  []string                // databases that it has all the same, where what it says of itself was refuted
	names  map[string]string       // whom it names as leader, by database; the member's name
	since  map[string]time.Time    // since when it names that one, by database
	leads  map[string]time.Time    // since when it says that it leads, by database
	terms  map[string]int64        // the term in which it knows that leader, by database, where it was asked
}

// vote is whom w names; a member that names nobody, but claims, votes for itself.
func (w *word) vote(db string) string {
	if named := w.names[db]; named != "" {
		return named
	}
	if w.claims(db) {
		return w.member
	}
	return ""
}

func (w *word) claims(db string) bool { return w.roles[db] == cluster.Leader }

// votes tells whether w has a voice in db: it answers now, and it votes in the cluster too. Read replicas hear of leaders
// late, and there may be many of them.
func (w *word) votes(db string) bool {
	return w.fresh && (w.claims(db) || w.roles[db] == cluster.Follower)
}

// verdict is what members' words on one database add up to.
type verdict struct {
	leader    string   // "": nobody gets writes
	claimants []string // who says that it leads
	rival     string   // who is named too, and is not heard to claim
	outvoted  bool     // rival has as many votes as any claimant
}

// disputed tells whether members disagree, so that soon one of them will say something else.
func (v verdict) disputed() bool { return len(v.claimants) > 1 || v.rival != "" }

func (v verdict) equal(o verdict) bool {
	return v.leader == o.leader && v.rival == o.rival && v.outvoted == o.outvoted && slices.Equal(v.claimants, o.claimants)
}

// leaders decides who leads each database that somebody claims.
func leaders(words []word) map[string]verdict {
	databases := make(map[string]bool)
	for _, w := range words {
		for db, role := range w.roles {
			if role == cluster.Leader {
				databases[db] = true
			}
		}
	}
	verdicts := make(map[string]verdict, len(databases))
	for db := range databases {
		verdicts[db] = judge(db, words)
	}
	return verdicts
}

// judge decides who leads db. Of several claimants it is the one that more of the answering voters name, then the one with
// the higher term, else nobody until one steps down. Nobody does either while as many voters name another, who is not heard to
// claim: what the claimant says may be of the time before a partition.
func judge(db string, words []word) verdict {
	v := verdict{claimants: claimants(db, words)}
	votes := tally(db, words, func(w *word) bool { return slices.Contains(v.claimants, w.vote(db)) })
	best, tied := first(v.claimants, func(m string) int64 { return votes[m] })
	if mutant.Is(mutant.StaleClaimant) {
		best, tied = first(v.claimants, func(m string) int64 { return -leads(db, m, words).UnixNano() })
	}
	if tied {
		best, tied = first(v.claimants, func(m string) int64 { return term(db, m, words) })
	}
	others := rivals(db, v.claimants, leads(db, best, words), words)
	for _, m := range slices.Sorted(maps.Keys(others)) {
		if v.rival == "" || others[m] > others[v.rival] {
			v.rival = m
		}
	}
	v.outvoted = v.rival != "" && others[v.rival] >= votes[best]
	if !tied && !v.outvoted {
		v.leader = best
	}
	return v
}

// tally counts the votes that count.
func tally(db string, words []word, counts func(*word) bool) map[string]int64 {
	votes := make(map[string]int64)
	for i := range words {
		if w := &words[i]; w.votes(db) && counts(w) {
			votes[w.vote(db)]++
		}
	}
	return votes
}

// rivals are those who are named and not heard to claim. A vote for one is void when it has answered since and does not claim,
// and when it is older than the claim that it would contradict, for a new leader's followers need a moment to hear of it.
func rivals(db string, claimants []string, claimed time.Time, words []word) map[string]int64 {
	denied := make(map[string]time.Time, len(words))
	for _, w := range words {
		if !w.claims(db) {
			denied[w.member] = w.at
		}
	}
	return tally(db, words, func(w *word) bool {
		named := w.vote(db)
		return named != "" && !slices.Contains(claimants, named) && !denied[named].After(w.since[db]) && !w.at.Before(claimed)
	})
}

// leads is since when a member says that it leads db.
func leads(db, member string, words []word) time.Time {
	for _, w := range words {
		if w.member == member {
			return w.leads[db]
		}
	}
	return time.Time{}
}

// claimants are those who say that they lead db. One that has stopped answering counts only where no answering one claims.
func claimants(db string, words []word) []string {
	var fresh, stale []string
	for _, w := range words {
		switch {
		case !w.claims(db):
		case w.fresh:
			fresh = append(fresh, w.member)
		default:
			stale = append(stale, w.member)
		}
	}
	if len(fresh) > 0 {
		return slices.Sorted(slices.Values(fresh))
	}
	return slices.Sorted(slices.Values(stale))
}

// first is the one with the most, and whether several have it.
func first(members []string, has func(string) int64) (best string, tied bool) {
	for i, m := range members {
		switch most := has(best); {
		case i == 0 || has(m) > most:
			best, tied = m, false
		case has(m) == most:
			tied = true
		}
	}
	return best, tied
}

// term is the term in which member claims db; 0 where it did not tell.
func term(db, member string, words []word) int64 {
	for _, w := range words {
		if w.member == member && w.vote(db) == member {
			return w.terms[db]
		}
	}
	return 0
}
