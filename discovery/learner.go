package discovery

import (
	"log/slog"
	"slices"

	"github.com/boltgate/boltgate/cluster"
)

// Learner keeps what was learned of members from what members tell. It is not safe for concurrent use; the zero Learner is
// ready.
type Learner struct {
	Log *slog.Logger // nil discards

	learned Learned
}

// Members are those learned, by name. They do not change; another list is another slice.
func (l *Learner) Members() []*cluster.Member { return l.learned.Members }

// Candidates are servers that members tell of, to be checked before they are members.
func (l *Learner) Candidates() []*cluster.Member { return l.learned.Candidates }

// Hear takes over what checks heard, and tells whether members or candidates are others now.
func (l *Learner) Hear(k Known, heard []cluster.Heard) (changed bool) {
	now := learn(k, heard, l.learned)
	was := l.learned
	now.Members, now.Candidates = keep(was.Members, now.Members), keep(was.Candidates, now.Candidates)
	l.learned = now
	if len(now.Unknown) > 0 && !slices.Equal(was.Unknown, now.Unknown) {
		l.log().Warn("members are not learned from the cluster while nobody can tell these from the servers that members tell of: "+
			"give cluster.check.user the right to see the address that they advertise, map it in cluster.addresses, or set cluster.discover.cluster: false",
			"members", now.Unknown)
	}
	if slices.EqualFunc(was.Members, now.Members, same) {
		return !slices.EqualFunc(was.Candidates, now.Candidates, same)
	}
	l.log().Info("members learned from the cluster", changes(was.Members, now.Members)...)
	return true
}

// Forget drops all that was learned.
func (l *Learner) Forget() { l.learned = Learned{} }

func (l *Learner) log() *slog.Logger {
	if l.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Log
}

// keep replaces members by equal ones that there were: who holds on to a member holds on to that one.
func keep(were, now []*cluster.Member) []*cluster.Member {
	for i, m := range now {
		if j := slices.IndexFunc(were, func(o *cluster.Member) bool { return same(o, m) }); j >= 0 {
			now[i] = were[j]
		}
	}
	return now
}
