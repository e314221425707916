// Package routing chooses: an Intent and a View give a member. It does no I/O and reads no clock.
package routing

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// Mode is the access mode that a unit of work needs.
type Mode uint8

// The modes. Write is the zero value: in doubt it is a write.
const (
	Write Mode = iota
	Read
)

// Intent is what a unit of work needs.
type Intent struct {
	Mode    Mode
	DB      string       // "" is the default database
	Version bolt.Version // that the member must speak; 0 for HTTP
	UTC     bool         // the session runs with patch_bolt ["utc"]
	Now     time.Time    // for slow_start; the zero time makes every member new

	// AtLeader is for a read that belongs at the leader all the same: a command that concerns one member, so that the next
	// one finds what this one saw.
	AtLeader bool

	Marks []bolt.Position // a read that has to see these; borrowed while Pick runs
	Since time.Time       // a read that has to see what the leader had committed by then; zero: nothing
}

// Why no member could be picked.
var (
	ErrNoLeader = errors.New("routing: no leader is known")                       // writes wait for one
	ErrNoReader = errors.New("routing: no member serves reads")                   // reads wait too
	ErrVersion  = errors.New("routing: the member speaks another version")        // the session has to be opened anew
	ErrTried    = errors.New("routing: every member that could serve was tried")  // give up, or wait for the next View
	ErrAbsent   = errors.New("routing: the frontend's member is not in the View") // as if it were down
)

// Policy is how a Router chooses.
type Policy struct {
	LeaderAlwaysReads bool          // leader_reads: always; else the leader reads only when nobody else can
	Balance           Balance       // among the members that can serve a read
	Prefer            []string      // tags: members with the first that any has are taken before all others
	SlowStart         time.Duration // how long after it came up a member's share of reads grows; 0 it has all at once
	MaxLag            int64         // transactions that a member may be behind the leader, as far as it is known, and still read; 0 any number
	Member            string        // this one member only; "" means all
}

// Router picks members. Safe for concurrent use; its zero value balances round-robin.
type Router struct {
	Policy Policy
	Load   func(member string) cluster.Load            // for the balances that ask; nil: they are round-robin
	Has    func(*cluster.Status, []bolt.Position) bool // the member is known to have these transactions; nil: none is
	Late   func(m *cluster.Member, now time.Time) bool // reads that waited for a transaction there waited long, of late; nil: none did

	next  atomic.Uint64 // reads handed out so far
	asked atomic.Uint64 // reads for which some members were known to have what they need, and others not
}

// Pick chooses the member for in by the View, leaving out those in tried. The error says why there is none.
func (r *Router) Pick(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	in.DB = Fold(in.DB)
	switch {
	case r.Policy.Member != "":
		return r.pinned(v, in, tried)
	case v.Composites[in.DB] && !v.Hosted(in.DB):
		return r.anywhere(v, in, tried)
	case !Known(v, in.DB):
		return r.stranger(v, in, tried)
	case in.DB == System && in.Mode == Read:
		return r.system(v, in, tried)
	case in.Mode == Read && !in.AtLeader:
		return r.reader(v, in, tried)
	}
	return leader(v, in, tried)
}

// Moved tells whether work for which an older View gave m does not belong there by v: a leader was to do it, and that is not m, or nobody. Reads
// for which any reader is good, and work that any member may do, never move.
func (r *Router) Moved(v *cluster.View, in Intent, m *cluster.Member) bool {
	in.DB = Fold(in.DB)
	switch {
	case r.Policy.Member != "", v.Composites[in.DB] && !v.Hosted(in.DB), !Known(v, in.DB), in.Mode == Read && !in.AtLeader:
		return false
	}
	s := v.Leader(in.DB)
	return s == nil || s.Name != m.Name || s.Bolt != m.Bolt || s.HTTP != m.HTTP
}

// System is the database of users, databases and aliases, which every server of a cluster hosts.
const System = "system"

// Fold is the spelling by which database names compare: they have no case.
func Fold(db string) string {
	if hasUpper(db) {
		return strings.ToLower(db)
	}
	return db
}

func hasUpper(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return 'A' <= c && c <= 'Z' || c > 0x7F })
}

func leader(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	s := v.Leader(in.DB)
	switch {
	case s == nil || unknown(s, in):
		return nil, ErrNoLeader
	case !usable(s, in):
		return nil, ErrVersion
	case slices.Contains(tried, s.Member):
		return nil, ErrTried
	}
	return s, nil
}

// reader takes its turn over those who serve reads, by weight; the leader stands in when there is no other.
func (r *Router) reader(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	var room [16]*cluster.Status
	can := room[:0]
	add := func(s *cluster.Status) {
		if usable(s, in) && !slices.Contains(tried, s.Member) && r.fresh(v, s, in) {
			can = append(can, s)
		}
	}
	if l := v.Leader(in.DB); l != nil && r.Policy.LeaderAlwaysReads && usable(l, in) && !slices.Contains(tried, l.Member) {
		can = append(can, l)
	}
	for s := range v.Readers(in.DB) {
		add(s)
	}
	if len(can) > 0 {
		return r.choose(preferred(r.ahead(can, in), r.Policy.Prefer), in.Now), nil
	}
	s, err := leader(v, in, tried)
	if errors.Is(err, ErrNoLeader) {
		return nil, whyNoReader(v, in)
	}
	return s, err
}

// whyNoReader tells what kept every reader from being picked, where no leader can stand in.
func whyNoReader(v *cluster.View, in Intent) error {
	err := ErrNoReader
	for s := range v.Readers(in.DB) {
		if usable(s, in) { // then it was tried
			return ErrTried
		}
		if !unknown(s, in) {
			err = ErrVersion
		}
	}
	return err
}

func weight(s *cluster.Status) int { return max(s.Weight, 1) }

// Known tells whether the View says who serves the database. For one that nobody knows a member is asked all the same, and
// its own refusal is the answer.
func Known(v *cluster.View, db string) bool {
	return v.Hosted(db) || !anyUp(v) || v.Generation == cluster.UnknownGeneration
}

func anyUp(v *cluster.View) bool {
	for range v.Up() {
		return true
	}
	return false
}

// stranger serves a database that no member was seen to host: the leader of system first, which knows every database that
// there is; then the default's leader, then anybody.
func (r *Router) stranger(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	for _, db := range [...]string{System, ""} {
		if s := v.Leader(db); s != nil && usable(s, in) && !slices.Contains(tried, s.Member) {
			return s, nil
		}
	}
	err := ErrVersion
	for s := range v.Up() {
		switch {
		case usable(s, in) && !slices.Contains(tried, s.Member):
			return s, nil
		case usable(s, in) || unknown(s, in):
			err = ErrTried
		}
	}
	return nil, err
}

// system serves a read of system: its leader, so that an administrator sees what the last command did, and others only
// while it has none.
func (r *Router) system(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	s, err := leader(v, in, tried)
	if err == nil || in.AtLeader {
		return s, err
	}
	return r.reader(v, in, tried)
}

// anywhere serves a composite database, which lies on no member: its parts are found from each of them.
func (r *Router) anywhere(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	var room [16]*cluster.Status
	can, err := room[:0], ErrNoReader
	for s := range v.Up() {
		switch {
		case !usable(s, in):
			err = ErrVersion
		case slices.Contains(tried, s.Member):
			err = ErrTried
		default:
			can = append(can, s)
		}
	}
	if len(can) == 0 {
		return nil, err
	}
	return r.choose(preferred(can, r.Policy.Prefer), in.Now), nil
}

func (r *Router) pinned(v *cluster.View, in Intent, tried []*cluster.Member) (*cluster.Status, error) {
	s := v.Member(r.Policy.Member)
	switch {
	case s == nil || !s.Up || s.Condition != cluster.Ready || unknown(s, in):
		return nil, ErrAbsent
	case !usable(s, in):
		return nil, ErrVersion
	case slices.Contains(tried, s.Member):
		return nil, ErrTried
	}
	return s, nil
}
