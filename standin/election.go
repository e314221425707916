package standin

import (
	"fmt"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// keep is the cluster's clock: it applies log entries that are due, and replaces leaders that are lost.
func (c *Cluster) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		c.mu.Lock()
		if next := c.tick(time.Now()); !next.IsZero() {
			wait = max(time.Until(next), 0)
		}
		c.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.nudge:
		case <-c.ctx.Done():
			return
		}
	}
}

// tick does what is due and returns when it wants to be called again; zero: at the next change. Called with mu held.
func (c *Cluster) tick(now time.Time) (next time.Time) {
	moved := false
	for _, d := range c.dbs {
		before := d.leaderAndProgress()
		next = earliest(next, c.stepDown(d, now))
		next = earliest(next, c.elect(d, now))
		next = earliest(next, c.replicate(d, now))
		moved = moved || before != d.leaderAndProgress()
	}
	if moved {
		c.settle()
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return next
}

// leaderAndProgress is a digest that changes with what waiters wait for.
func (d *database) leaderAndProgress() (sum [2]int64) {
	for _, m := range d.hosts {
		sum[0] += d.applied[m]
		sum[1] += d.belief[m].term * int64(m.index+2)
		if d.belief[m].leader == nil {
			sum[1]++
		}
	}
	return sum
}

// majority tells whether m hears most of the voters, itself included. Called with mu held.
func (c *Cluster) majority(d *database, m *member) bool {
	if !m.works() {
		return false
	}
	voters := d.voters()
	heard := 0
	for _, v := range voters {
		if c.linked(m, v) {
			heard++
		}
	}
	return 2*heard > len(voters)
}

// present is the leader that can commit; nil when there is none. Called with mu held.
func (c *Cluster) present(d *database) *member {
	for _, m := range d.hosts {
		if d.belief[m].leader == m && d.belief[m].term == d.term && c.majority(d, m) {
			return m
		}
	}
	return nil
}

// stepDown lets a leader that has not heard a majority for one and a half election times give up; until then two members
// may say that they lead, as real ones do.
func (c *Cluster) stepDown(d *database, now time.Time) (next time.Time) {
	for _, m := range d.hosts {
		if d.belief[m].leader != m || !m.works() || c.majority(d, m) {
			delete(d.isolated, m)
			continue
		}
		since, ok := d.isolated[m]
		if !ok {
			d.isolated[m], since = now, now
		}
		due := since.Add(c.opt.ElectionTime * 3 / 2)
		if !due.After(now) {
			d.belief[m] = belief{nil, d.belief[m].term}
			delete(d.isolated, m)
			continue
		}
		next = earliest(next, due)
	}
	return next
}

// elect replaces a lost leader once the members have waited for it long enough.
func (c *Cluster) elect(d *database, now time.Time) (next time.Time) {
	if c.present(d) != nil {
		d.vacant = time.Time{}
		return next
	}
	if d.vacant.IsZero() {
		d.vacant = now
		d.patience = c.opt.ElectionTime + time.Duration(c.random.Int64N(int64(c.opt.ElectionTime)/4+1))
	}
	if due := d.vacant.Add(d.patience); due.After(now) {
		return due
	}
	var able []*member
	for _, m := range d.voters() {
		if c.majority(d, m) {
			able = append(able, m)
		}
	}
	if len(able) > 0 {
		c.lead(d, able[c.random.IntN(len(able))])
	}
	return next
}

// lead makes m the leader in a new term, with every committed transaction in its log. Called with mu held.
func (c *Cluster) lead(d *database, m *member) {
	before := ""
	for _, b := range d.belief {
		if b.leader != nil && b.term == d.term {
			before = b.leader.name
		}
	}
	d.term++
	d.vacant = time.Time{}
	d.belief[m] = belief{m, d.term}
	d.applied[m] = d.last()
	delete(d.isolated, m)
	c.settleDatabase(d)
	c.log.Info("stand-in elected a leader", "db", d.name, "leader", m.name, "before", before, "term", d.term)
	if c.opt.OnElection != nil && c.announcing {
		select {
		case c.news <- Election{d.name, m.name, before, d.term, time.Now()}:
		default: // nobody has listened to the last 64
		}
	}
}

// announce calls OnElection, outside the lock.
func (c *Cluster) announce() {
	for {
		select {
		case e := <-c.news:
			c.opt.OnElection(e)
		case <-c.ctx.Done():
			return
		}
	}
}

// settle spreads the newest belief among members that hear each other. Called with mu held.
func (c *Cluster) settle() {
	for _, d := range c.dbs {
		c.settleDatabase(d)
	}
}

func (c *Cluster) settleDatabase(d *database) {
	for _, m := range d.hosts {
		if !m.alive {
			d.belief[m] = belief{}
			continue
		}
		for _, other := range d.hosts {
			if c.linked(m, other) && d.belief[other].term > d.belief[m].term {
				d.belief[m] = d.belief[other]
			}
		}
	}
}

// Leader is the name of the member that leads db ("" is the first database) and can commit; "" while there is none.
func (c *Cluster) Leader(db string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.find(db); d != nil {
		if m := c.present(d); m != nil {
			return m.name
		}
	}
	return ""
}

// WaitLeader waits until db has a leader and returns its name; "" when limit passes first.
func (c *Cluster) WaitLeader(db string, limit time.Duration) string {
	c.waitFor(c.ctx.Done(), limit, func() bool {
		d := c.find(db)
		return d != nil && c.present(d) != nil
	})
	return c.Leader(db)
}

// Role is what a member is to db as it sees it itself; Unknown when it is down.
func (c *Cluster) Role(db, name string) cluster.Role {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, m := c.find(db), c.member(name)
	if d == nil || m == nil || !m.alive {
		return cluster.Unknown
	}
	return d.role(m)
}

// Elect hands the leadership of db to a member at once. It fails when that member could not be elected.
func (c *Cluster) Elect(db, name string) error {
	m, err := c.known(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(db)
	switch {
	case d == nil:
		return fmt.Errorf("standin: no database is called %q", db)
	case d.role(m) == cluster.Unknown || m.replica:
		return fmt.Errorf("standin: %s is not a voting member of %q", name, db)
	case !c.majority(d, m):
		return fmt.Errorf("standin: %s does not hear a majority", name)
	case d.belief[m].leader != m:
		c.lead(d, m)
		c.broadcast()
	}
	return nil
}
