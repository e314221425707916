package standin

import (
	"fmt"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

const systemDB = "system"

// systemUUID is that of the system database on every Neo4j (facts of Neo4j, "Bookmarks").
var systemUUID = [16]byte{15: 1}

// Entry is one committed transaction in a database's log.
type Entry struct {
	Tx      int64
	Leader  string // the member that committed it
	User    string
	Marks   []any // parameters "mark" of its writes, in order
	Dropped []any // the same of its deletes, which come before
	At      time.Time
}

// database is one database of the cluster. Everything in it is guarded by the cluster's mu.
type database struct {
	name    string // "" before 4.0
	uuid    [16]byte
	stopped bool
	created int64     // the transaction of system that created it
	online  time.Time // when it can be used; zero: from the beginning
	virtual bool      // a composite, or a database of another cluster: it lies on no member
	remote  bool      // the latter
	hosts   []*member // that have it, voters first

	base    int64   // transactions at or below it are no longer in entries
	entries []Entry // Tx base+1, base+2, …
	applied map[*member]int64

	belief   map[*member]belief // who leads, as each member sees it
	term     int64              // the newest
	vacant   time.Time          // when the newest leader was lost; zero while it leads
	patience time.Duration      // from vacant to the election
	isolated map[*member]time.Time
}

type belief struct {
	leader *member // nil: unknown
	term   int64
}

func (d *database) last() int64 { return d.base + int64(len(d.entries)) }

// addDatabase is called with mu held.
func (c *Cluster) addDatabase(name string) *database {
	d := &database{name: name, uuid: c.newUUIDLocked(), base: 1, applied: make(map[*member]int64),
		belief: make(map[*member]belief), isolated: make(map[*member]time.Time)}
	if name == systemDB {
		d.uuid = systemUUID
	}
	only, listed := c.opt.Hosting[name]
	for _, m := range c.members {
		if !listed || slices.Contains(only, m.name) {
			d.hosts = append(d.hosts, m)
			d.applied[m] = d.base
		}
	}
	if voters := d.voters(); len(voters) > 0 {
		c.lead(d, voters[len(c.dbs)%len(voters)])
	}
	c.dbs = append(c.dbs, d)
	return d
}

func (d *database) voters() []*member {
	var list []*member
	for _, m := range d.hosts {
		if !m.replica {
			list = append(list, m)
		}
	}
	return list
}

// find looks up a database; "" is the first one. Called with mu held; nil when there is none.
func (c *Cluster) find(name string) *database {
	if name == "" && len(c.dbs) > 0 {
		return c.dbs[0]
	}
	for _, d := range c.dbs {
		if foldName(d.name) == foldName(name) {
			return d
		}
	}
	return c.findVirtual(foldName(name))
}

// role is what m is to d, as m itself sees it. Called with mu held.
func (d *database) role(m *member) cluster.Role {
	switch {
	case !slices.Contains(d.hosts, m):
		return cluster.Unknown
	case m.replica:
		return cluster.Replica
	case d.belief[m].leader == m:
		return cluster.Leader
	}
	return cluster.Follower
}

// commit appends a transaction at its leader and returns its number. With no lag it is everywhere at once.
func (c *Cluster) commit(m *member, t *transaction) (int64, *bolt.Failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(t.db)
	switch {
	case d == nil:
		return 0, m.databaseNotFound(t.db)
	case d.remote:
	case d.role(m) != cluster.Leader:
		return 0, notALeader(m)
	case !c.majority(d, m):
		return 0, failure("Neo.TransientError.Cluster.ReplicationFailure", "Failed to replicate the transaction: there is no majority of members.")
	}
	e := Entry{Tx: d.last() + 1, Leader: m.name, User: t.user, Marks: t.marks, Dropped: t.dropped, At: time.Now()}
	d.entries = append(d.entries, e)
	if over := len(d.entries) - c.opt.LogSize; over > c.opt.LogSize/8 { // not at every commit
		d.entries = slices.Clone(d.entries[over:])
		d.base += int64(over)
	}
	d.applied[m] = e.Tx
	c.replicate(d, e.At)
	c.broadcast()
	return e.Tx, nil
}

// replicate lets members that hear the leader apply what is due, and returns when the next entry is (zero: none waits).
func (c *Cluster) replicate(d *database, now time.Time) (next time.Time) {
	leader := c.present(d)
	if leader == nil {
		return next
	}
	for _, m := range d.hosts {
		if m == leader || !c.linked(leader, m) {
			continue
		}
		at := max(d.applied[m], d.base)
		lag := c.lag(m)
		for at < d.last() {
			due := d.entries[at-d.base].At.Add(lag)
			if due.After(now) {
				next = earliest(next, due)
				break
			}
			at++
		}
		d.applied[m] = at
	}
	return next
}

func (c *Cluster) lag(m *member) time.Duration {
	if lag, ok := c.lags[m.name]; ok {
		return lag
	}
	return c.opt.Lag
}

// earliest is the earlier of two moments, of which the zero one is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Log is what was committed to db ("" is the first database), oldest first; the newest Options.LogSize entries at most.
func (c *Cluster) Log(db string) []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.find(db); d != nil {
		return slices.Clone(d.entries)
	}
	return nil
}

// Applied is the number of the last transaction of db that a member has.
func (c *Cluster) Applied(db, name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.find(db); d != nil {
		return d.applied[c.member(name)]
	}
	return 0
}

// WaitApplied waits until a member has applied transaction tx of db; false when limit passes first.
func (c *Cluster) WaitApplied(db, name string, tx int64, limit time.Duration) bool {
	return c.waitFor(c.ctx.Done(), limit, func() bool {
		d := c.find(db)
		return d != nil && d.applied[c.member(name)] >= tx
	})
}

// newUUID draws an id from the seed.
func (c *Cluster) newUUID() [16]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newUUIDLocked()
}

func (c *Cluster) newUUIDLocked() (id [16]byte) {
	for i := range id {
		id[i] = byte(c.random.Uint32())
	}
	id[6], id[8] = id[6]&0x0F|0x40, id[8]&0x3F|0x80
	return id
}

func formatUUID(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
