package main

// This file owns the list of members: those of the configuration, those that discovery found, and those that left either of
// the two and are drained first. It belongs to the daemon's one goroutine.

import (
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/discovery"
)

// roster is the members in force. The zero roster has none.
type roster struct {
	present []*cluster.Member // equal ones stay the same from one list to the next, so that their pools and checks go on
	leaving []*leaver
	asked   map[string]cluster.Condition // what the operator asked of members, by name
	weights map[string]reweighed         // the same of weights
}

// reweighed is a weight that the operator set in place of the configuration's.
type reweighed struct {
	Was int `json:"was"`
	Now int `json:"now"`
}

// ask notes what the operator asks of a member.
func (r *roster) ask(member string, c cluster.Condition) error {
	if r.find(member) == nil {
		return admin.ErrNoMember
	}
	if r.asked == nil {
		r.asked = map[string]cluster.Condition{}
	}
	r.asked[member] = c
	return nil
}

// weigh notes the weight that the operator gives a member; the next set applies it.
func (r *roster) weigh(member string, weight int) error {
	m := r.find(member)
	if m == nil {
		return admin.ErrNoMember
	}
	was := m.Weight
	if w, ok := r.weights[member]; ok {
		was = w.Was
	}
	if r.weights == nil {
		r.weights = map[string]reweighed{}
	}
	r.weights[member] = reweighed{was, weight}
	return nil
}

// reweigh puts the operator's weights in the place of those of the configuration, but for one that has changed there since.
func (r *roster) reweigh(members []*cluster.Member) {
	for i, m := range members {
		switch w, ok := r.weights[m.Name]; {
		case ok && w.Was == m.Weight:
			other := *m
			other.Weight = w.Now
			members[i] = &other
		case ok:
			delete(r.weights, m.Name)
		}
	}
}

func (r *roster) find(member string) *cluster.Member {
	for _, m := range r.all() {
		if m.Name == member {
			return m
		}
	}
	return nil
}

// leaver is a member that is drained because it is in no list any more: what began on it may end there.
type leaver struct {
	member *cluster.Member
	since  time.Time
	busy   time.Time // when work was seen on it last
}

// drainFor is how long a member that left stays without any work to be seen on it: as long as an HTTP transaction that another
// gate began may wait for its next request here.
const drainFor = time.Minute

// merge adds to the members of the configuration those that were found and do not stand there already.
func merge(given, found []*cluster.Member) []*cluster.Member {
	all := slices.Clone(given)
	for _, m := range found {
		if !slices.ContainsFunc(given, func(g *cluster.Member) bool { return g.Name == m.Name || sameServer(g, m) }) {
			all = append(all, m)
		}
	}
	return all
}

// sameServer tells whether two members share an address.
func sameServer(a, b *cluster.Member) bool {
	return a.Bolt != "" && a.Bolt == b.Bolt || a.HTTP != "" && a.HTTP == b.HTTP
}

// set replaces the members that are present. Of those that are not any more, the ones that may have work on them leave by
// and by; one whose server stays under another name is that server's business.
func (r *roster) set(members []*cluster.Member, mayWork func(*cluster.Member) bool, now time.Time) (left []string) {
	r.reweigh(members)
	for i, m := range members {
		for _, o := range r.all() {
			if sameMember(o, m) {
				members[i] = o
			}
		}
	}
	were := r.present
	r.present = members
	for _, o := range were {
		if !r.replaces(o) && mayWork(o) {
			r.leaving = append(r.leaving, &leaver{o, now, now})
			left = append(left, o.Name)
		}
	}
	r.leaving = slices.DeleteFunc(r.leaving, func(l *leaver) bool { return r.replaces(l.member) })
	return left
}

// replaces tells whether a member that is present has the name or the server of o.
func (r *roster) replaces(o *cluster.Member) bool {
	return slices.ContainsFunc(r.present, func(m *cluster.Member) bool { return m.Name == o.Name || sameServer(m, o) })
}

func sameMember(a, b *cluster.Member) bool {
	return a.Name == b.Name && a.Bolt == b.Bolt && a.HTTP == b.HTTP && a.Weight == b.Weight &&
		a.MaxInFlight == b.MaxInFlight && slices.Equal(a.Tags, b.Tags)
}

// all are the members that are present, and behind them those that leave.
func (r *roster) all() []*cluster.Member {
	all := slices.Clip(r.present)
	for _, l := range r.leaving {
		all = append(all, l.member)
	}
	return all
}

// conditions are those that the operator asked for; who leaves is drained at the least.
func (r *roster) conditions() map[string]cluster.Condition {
	c := make(map[string]cluster.Condition, len(r.leaving)+len(r.asked))
	maps.Copy(c, r.asked)
	for _, l := range r.leaving {
		c[l.member.Name] = max(c[l.member.Name], cluster.Drain)
	}
	return c
}

func (r *roster) anyLeaves() bool { return len(r.leaving) > 0 }

// letGo drops those that leave and have no work any more, or can do none, and tells whom.
func (r *roster) letGo(mayWork func(*cluster.Member) bool, busy func(*cluster.Member) bool, now time.Time) (gone []*leaver) {
	r.leaving = slices.DeleteFunc(r.leaving, func(l *leaver) bool {
		if busy(l.member) {
			l.busy = now
		}
		over := !mayWork(l.member) || now.Sub(l.busy) >= drainFor
		if over {
			gone = append(gone, l)
		}
		return over
	})
	return gone
}

// given are the members that do not come from members: listed, or found by DNS.
func (d *daemon) given() []*cluster.Member { return merge(membersOf(d.cfg), d.finder.Members()) }

// setMembers puts the newest list of members in force, after those that are given may have changed.
func (d *daemon) setMembers() {
	d.hear()
	d.putMembers()
}

// hear learns from what members tell of each other, and tells whether that is anything new.
func (d *daemon) hear() (changed bool) {
	if !learns(d.cfg) {
		d.learner.Forget()
		return false
	}
	return d.learner.Hear(discovery.Known{Given: d.given(), Addresses: addressesOf(d.cfg)}, d.monitor.Heard())
}

func (d *daemon) putMembers() {
	left := d.members.set(merge(d.given(), d.learner.Members()), d.mayWork, time.Now())
	for _, name := range left {
		d.log.Info("member leaves; what began on it may end there", "member", name)
	}
	d.tellMembers()
}

// letGo ends the drain of members that have nothing to do any more.
func (d *daemon) letGo(now time.Time) {
	busy := func(m *cluster.Member) bool {
		return d.pools.Stats(m.Name).InFlight > 0 || d.server.Transactions(m) > 0
	}
	gone := d.members.letGo(d.mayWork, busy, now)
	for _, l := range gone {
		d.log.Info("member left", "member", l.member.Name, "after", now.Sub(l.since).Round(time.Second))
	}
	if len(gone) > 0 {
		d.tellMembers()
	}
}

func (d *daemon) tellMembers() {
	d.pools.Retain(d.members.all())
	o := healthOptions(d.cfg, d.members, d.learner.Candidates(), d.tls)
	if d.dial != nil {
		o.Dial = d.dial
	}
	d.monitor.Update(o)
}

// mayWork tells whether there can be work on a member that left: not when it is down. A single server is exchanged at once,
// for beside another it would not be single.
func (d *daemon) mayWork(m *cluster.Member) bool {
	v := d.current.View()
	s := v.Member(m.Name)
	return s != nil && s.Up && v.Generation != cluster.Standalone
}
