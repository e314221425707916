package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file owns what answers tell of how far each member is: a bookmark that a member hands out it has.

// progress is what is known of all members.
type progress struct {
	current   *cluster.Current
	databases *databases
	members   sync.Map // of *cluster.Member to *memberProgress
}

// memberProgress is what is known of one member since it came up.
type memberProgress struct {
	since atomic.Int64               // the Status's Since for which it holds, as UnixNano
	list  atomic.Pointer[[]*reached] // by database
	mu    sync.Mutex                 // guards changes of list

	lateUntil atomic.Int64 // UnixNano
	lateFor   atomic.Int64 // how long the newest lateness is remembered
}

type reached struct {
	db [16]byte
	tx atomic.Int64
}

const (
	maxReached = 64 // databases of one member; of more nothing is known
	lateFirst  = time.Second
	lateMost   = 30 * time.Second
)

func (p *progress) of(m *cluster.Member) *memberProgress {
	if known, ok := p.members.Load(m); ok {
		return known.(*memberProgress)
	}
	p.prune()
	known, _ := p.members.LoadOrStore(m, new(memberProgress))
	return known.(*memberProgress)
}

// prune forgets members that are not in the View any more.
func (p *progress) prune() {
	v := p.current.View()
	p.members.Range(func(key, _ any) bool {
		if s := v.Member(key.(*cluster.Member).Name); s == nil || s.Member != key {
			p.members.Delete(key)
		}
		return true
	})
}

// note notes that a member has a transaction.
func (p *progress) note(m *cluster.Member, at bolt.Position) {
	known := p.of(m)
	if r := known.at(at.DB); r != nil {
		raise(&r.tx, at.Tx)
		return
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	if r := known.at(at.DB); r != nil { // another session was faster
		raise(&r.tx, at.Tx)
		return
	}
	var list []*reached
	if old := known.list.Load(); old != nil {
		if len(*old) >= maxReached {
			return
		}
		list = append(list, *old...)
	}
	r := &reached{db: at.DB}
	r.tx.Store(at.Tx)
	list = append(list, r)
	known.list.Store(&list)
}

func (p *memberProgress) at(db [16]byte) *reached {
	if list := p.list.Load(); list != nil {
		for _, r := range *list {
			if r.db == db {
				return r
			}
		}
	}
	return nil
}

// has tells whether the member is known to have all of these transactions. What was known before it went down and came up is
// forgotten: its store may be another one.
func (p *progress) has(s *cluster.Status, marks []bolt.Position) bool {
	if !s.Up {
		return false
	}
	known := p.of(s.Member)
	if since := s.Since.UnixNano(); known.since.Load() != since {
		known.mu.Lock()
		known.list.Store(nil)
		known.since.Store(since)
		known.mu.Unlock()
	}
	for i := range marks {
		if r := known.at(marks[i].DB); r != nil && r.tx.Load() >= marks[i].Tx {
			continue
		}
		if !p.checked(s, marks[i]) {
			return false
		}
	}
	return true
}

// highest is the newest transaction of the database that any member is known to have from its answers, one that is down included, but not one that
// has come back since, for its store may be another one; 0: none.
func (p *progress) highest(db [16]byte) (tx int64) {
	for _, s := range p.current.View().Members {
		known := p.of(s.Member)
		if since := known.since.Load(); s.Up && since != 0 && since != s.Since.UnixNano() {
			continue
		}
		if r := known.at(db); r != nil {
			tx = max(tx, r.tx.Load())
		}
	}
	return tx
}

// checked tells whether a check has found the transaction at the member.
func (p *progress) checked(s *cluster.Status, at bolt.Position) bool {
	name := cluster.AnyDatabase
	if at.DB != [16]byte{} {
		var ok bool
		if name, ok = p.databases.name(at.DB); !ok {
			return false
		}
	}
	return s.ProgressOf(name).Tx >= at.Tx
}

// wasLate notes that a read waited at the member for a transaction for longer than it may.
func (p *progress) wasLate(m *cluster.Member, now time.Time) {
	known := p.of(m)
	wait := min(max(2*time.Duration(known.lateFor.Load()), lateFirst), lateMost)
	known.lateFor.Store(int64(wait))
	known.lateUntil.Store(now.Add(wait).UnixNano())
}

// wasInTime notes that a read which may have had to wait was answered.
func (p *progress) wasInTime(m *cluster.Member) {
	if known := p.of(m); known.lateFor.Load() != 0 {
		known.lateFor.Store(0)
		known.lateUntil.Store(0)
	}
}

// late tells whether the member was late of late.
func (p *progress) late(m *cluster.Member, now time.Time) bool {
	return now.UnixNano() < p.of(m).lateUntil.Load()
}
