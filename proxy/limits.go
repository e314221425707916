package proxy

import (
	"maps"
	"time"
)

// This file owns what users, addresses and frontends may ask for: the settings, and what they come to for one unit of work. Where
// nothing is set a frontend has no limits at all (frontend.limits is nil), and a unit of work costs that one look.

// UserLimits are the limits of one user. 0 is no limit.
type UserLimits struct {
	Rate        float64       // units of work a second
	MaxInFlight int           // units of work at once
	Priority    int           // in every line, added to the frontend's
	Transaction time.Duration // what a unit of work has at its member
	MaxRows     int           // of the results of one unit of work, over Bolt
	MaxBytes    int64         // of the results of one unit of work
}

// Limits are what users and addresses may ask for. The zero value limits nothing.
type Limits struct {
	PerUser     UserLimits            // of each user that Users does not name
	Users       map[string]UserLimits // by name: the whole of that user's limits
	AddressRate float64               // units of work a second of one client address; 0 no limit
	Burst       int                   // units of work at once before a rate counts; 0: as many as one second has, at least one

	UserQueue     int // units of work that wait for each user's MaxInFlight
	PerDatabase   int // units of work at once on one database, of all users; 0 no limit
	DatabaseQueue int // that wait for that
}

// limits are what is in force at one frontend. They never change; a reload makes others.
type limits struct {
	address pace
	each    unitLimits
	named   map[string]*unitLimits
}

// unitLimits are what one user's units of work may take at one frontend.
type unitLimits struct {
	rate        pace
	user        room // places of the user
	database    room // places of the database
	priority    int
	transaction time.Duration
	rows, bytes int64
}

// newLimits puts together what all frontends share and what one of them says; nil when that limits nothing.
func newLimits(l *Limits, f *Frontend) *limits {
	made := &limits{address: paceOf(l.AddressRate, l.Burst), each: l.unit(l.PerUser, f), named: map[string]*unitLimits{}}
	for name, u := range l.Users {
		one := l.unit(u, f)
		made.named[name] = &one
	}
	maps.DeleteFunc(made.named, func(_ string, u *unitLimits) bool { return *u == made.each })
	if made.address == (pace{}) && made.each == (unitLimits{}) && len(made.named) == 0 {
		return nil
	}
	return made
}

// unit is what a user's limits come to at a frontend: the lower of both.
func (l *Limits) unit(u UserLimits, f *Frontend) unitLimits {
	return unitLimits{
		rate:        paceOf(u.Rate, l.Burst),
		user:        roomOf(u.MaxInFlight, l.UserQueue),
		database:    roomOf(l.PerDatabase, l.DatabaseQueue),
		priority:    u.Priority + f.Priority,
		transaction: lower(u.Transaction, f.Timeouts.Transaction),
		rows:        lower(int64(u.MaxRows), int64(f.MaxRows)),
		bytes:       lower(u.MaxBytes, f.MaxBytes),
	}
}

func roomOf(inFlight, queued int) room {
	if inFlight <= 0 {
		return room{}
	}
	return room{inFlight, queued}
}

// turn is the priority; of none it is 0.
func (u *unitLimits) turn() int {
	if u == nil {
		return 0
	}
	return u.priority
}

// lower is the lower of two limits, of which 0 is none.
func lower[N ~int64](a, b N) N {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// of is what counts for a user.
func (l *limits) of(user string) *unitLimits {
	if u := l.named[user]; u != nil {
		return u
	}
	return &l.each
}
