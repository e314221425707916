package proxy

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
)

// This file owns what the gate remembers of the transactions that one user, or one session, has seen (design "Causality").

// Causality says what a read that we moved off the leader on our own judgement has to see.
type Causality uint8

// The scopes of causality.
const (
	CausalityNone    Causality = iota // whatever its member has
	CausalitySession                  // what its own session saw and wrote
	CausalityUser                     // what any session of its user saw and wrote, through this gate
	CausalityCluster                  // whatever was committed before it came
)

// marks is the highest transaction of each database that was seen in any answer. Where a write gave none, or none that can
// be read, the time stands for it: a member serves reads then once it is known to have all that the leader had at that time.
// Reading and raising take no lock. The zero marks has seen nothing.
type marks struct {
	list  atomic.Pointer[[]*mark]
	wrote atomic.Int64 // UnixNano of the newest write's end; 0 never
	loose atomic.Int64 // the same of the newest write without a mark
	open  atomic.Int32 // writes under way whose end will be noted after the client may know of it
	mu    sync.Mutex   // guards changes of list
}

// mark is the highest transaction seen of one database.
type mark struct {
	db     [16]byte
	tx     atomic.Int64
	at     atomic.Int64  // UnixNano of when tx was raised
	format atomic.Uint32 // bolt.BookmarkFormat in which it came
}

// maxMarks bounds how many databases of one user are told apart. The one that was seen longest ago makes room, and is
// remembered by time.
const maxMarks = 8

func (m *marks) all() []*mark {
	if list := m.list.Load(); list != nil {
		return *list
	}
	return nil
}

// raise notes a transaction that was seen.
func (m *marks) raise(p bolt.Position, format bolt.BookmarkFormat, now time.Time) {
	k := m.of(p.DB)
	if k == nil {
		k = m.add(p.DB, now)
	}
	if mutant.Is(mutant.MarksByArrival) {
		k.tx.Store(p.Tx)
	}
	if raise(&k.tx, p.Tx) {
		k.at.Store(now.UnixNano())
		k.format.Store(uint32(format))
	}
}

// atLeast is p, or the later transaction of its database that was seen.
func (m *marks) atLeast(p bolt.Position) bolt.Position {
	if k := m.of(p.DB); k != nil {
		p.Tx = max(p.Tx, k.tx.Load())
	}
	return p
}

func (m *marks) of(db [16]byte) *mark {
	for _, k := range m.all() {
		if k.db == db {
			return k
		}
	}
	return nil
}

// add makes room for one more database.
func (m *marks) add(db [16]byte, now time.Time) *mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.of(db); k != nil {
		return k
	}
	list := append([]*mark(nil), m.all()...)
	if len(list) == maxMarks {
		oldest := 0
		for i, k := range list {
			if k.at.Load() < list[oldest].at.Load() {
				oldest = i
			}
		}
		m.loosen(now) // not at: a session that holds it may raise it yet
		list[oldest] = list[len(list)-1]
		list = list[:len(list)-1]
	}
	k := &mark{db: db}
	list = append(list, k)
	m.list.Store(&list)
	return k
}

// copy is what was seen until now, for a memory of its own. A write under way is remembered by time: its client may know of it.
func (m *marks) copy(now time.Time) *marks {
	own := new(marks)
	own.wrote.Store(m.wrote.Load())
	own.loose.Store(m.loose.Load())
	if m.open.Load() > 0 {
		own.loosen(now)
	}
	for _, k := range m.all() {
		own.raise(bolt.Position{DB: k.db, Tx: k.tx.Load()}, bolt.BookmarkFormat(k.format.Load()), time.Unix(0, k.at.Load()))
	}
	return own
}

// forget drops every mark, as members refuse one of them: what was written until now is remembered by time.
func (m *marks) forget(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loosen(now)
	m.list.Store(nil)
}

// written notes the end of a write that gave a mark.
func (m *marks) written(now time.Time) { raise(&m.wrote, now.UnixNano()) }

// loosen notes the end of a write without a mark.
func (m *marks) loosen(now time.Time) {
	m.written(now)
	raise(&m.loose, now.UnixNano())
}

// since is when the newest write ended that a read can be tied to by time alone: any write, or with marked those without a mark.
// The zero time: there was none.
func (m *marks) since(marked bool, now time.Time) time.Time {
	if m.open.Load() > 0 {
		return now
	}
	at := m.wrote.Load()
	if marked {
		at = m.loose.Load()
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// keepMarks is how long the marks of a user outlive the last session. A member that lags by more is behind for all.
const keepMarks = time.Hour

// fresh tells whether there was a write within keepMarks.
func (m *marks) fresh(now time.Time) bool {
	at := m.wrote.Load()
	return m.open.Load() > 0 || at != 0 && now.Sub(time.Unix(0, at)) < keepMarks
}

// raise makes v the greater of itself and n; it tells whether n was greater.
func raise(v *atomic.Int64, n int64) bool {
	for {
		old := v.Load()
		if n <= old {
			return false
		}
		if v.CompareAndSwap(old, n) {
			return true
		}
	}
}

// databases knows the databases' names, for bookmarks have UUIDs and clients have names. What it knows it learned from
// answers that name one database and hold a bookmark of one.
type databases struct {
	known atomic.Pointer[dbNames]
	mu    sync.Mutex // guards changes
}

// dbNames never changes once published.
type dbNames struct {
	ids   map[string][16]byte // by name or alias, in lower case
	names map[[16]byte]string // the names that answers had
}

// maxDatabases bounds how many names are kept. When there are more all are forgotten: those in use come back.
const maxDatabases = 4096

// id is the UUID of the database with a name in lower case.
func (d *databases) id(name []byte) (id [16]byte, known bool) {
	if k := d.known.Load(); k != nil {
		id, known = k.ids[string(name)]
	}
	return id, known
}

// name is the name of the database with a UUID, as answers had it.
func (d *databases) name(id [16]byte) (name string, known bool) {
	if k := d.known.Load(); k != nil {
		name, known = k.names[id]
	}
	return name, known
}

// learn notes the UUID of the database called name, in lower case: another than before when it was dropped and created. own says
// that the database itself has that name, which else may be an alias.
func (d *databases) learn(name []byte, id [16]byte, own bool) {
	if have, known := d.id(name); known && have == id {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	k := &dbNames{ids: map[string][16]byte{}, names: map[[16]byte]string{}}
	if old := d.known.Load(); old != nil && len(old.ids) < maxDatabases {
		maps.Copy(k.ids, old.ids)
		maps.Copy(k.names, old.names)
	}
	k.ids[string(name)] = id
	if own {
		k.names[id] = string(name)
	}
	d.known.Store(k)
}

// learnOne notes the UUID of the database called name, in lower case, when a bookmark of its own names no other.
func (d *databases) learnOne(name string, list []bolt.Position) {
	if len(list) == 1 && list[0].DB != [16]byte{} && name != "" {
		d.learn([]byte(name), list[0].DB, false)
	}
}
