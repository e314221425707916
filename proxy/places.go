package proxy

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/boltgate/boltgate/internal/line"
	"github.com/boltgate/boltgate/routing"
)

// This file owns how many units of work a user, or all on one database, have at once (limits.per_user, limits.per_database), and the
// lines of those that wait for a place: the higher priority first, among equals in order. A unit keeps its places until it is over.

var (
	errUserPlaces     = errors.New("proxy: as many units of work as limits.per_user.max_queued wait for their user")
	errDatabasePlaces = errors.New("proxy: as many units of work as limits.per_database.max_queued wait for their database")
	errUserTime       = errors.New("proxy: limits.per_user.max_in_flight units of work of this user did not end within timeouts.queue")
	errDatabaseTime   = errors.New("proxy: limits.per_database.max_in_flight units of work on this database did not end within timeouts.queue")
)

// isTurned tells whether an error is of a limit that the client may come back to.
func isTurned(err error) bool {
	for _, is := range [...]error{errUserPlaces, errDatabasePlaces, errUserTime, errDatabaseTime} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// room is how many may be in at once, and wait. The zero value is without limit.
type room struct{ inFlight, queued int }

// places are those of users and databases that are in use, by a hash with a seed of this process. There are no more of them than units
// of work that run or wait.
type places struct {
	shards [16]placeShard
}

type placeShard struct {
	mu    sync.Mutex
	byKey map[uint64]*crowd
}

// crowd is who is in at one key, and who waits. Its shard's mu guards it.
type crowd struct {
	in, limit int
	line      []*inLine
}

// inLine is somebody who waits.
type inLine struct {
	priority int
	in       chan struct{} // closed when there is a place, or when it was pushed out
	pushed   bool          // guarded by the shard's mu: somebody of a higher priority took the line's last place
}

// Priority is how far in front it stands.
func (w *inLine) Priority() int { return w.priority }

func (p *places) shard(key uint64) *placeShard { return &p.shards[key%uint64(len(p.shards))] }

// try takes a place if there is one and nobody waits for it.
func (p *places) try(key uint64, r room) bool {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of(key, r)
	if len(c.line) > 0 || c.in >= c.limit {
		return false
	}
	c.in++
	return true
}

// of is the crowd at key, with the newest limit. The caller holds mu.
func (s *placeShard) of(key uint64, r room) *crowd {
	c := s.byKey[key]
	if c == nil {
		if s.byKey == nil {
			s.byKey = map[uint64]*crowd{}
		}
		c = new(crowd)
		s.byKey[key] = c
	}
	c.limit = r.inFlight
	return c
}

// enter waits for a place until ctx ends, whose cause it then returns. full is its error when the line is full, at once or because
// somebody of a higher priority came. Without an error there is a place to leave.
func (p *places) enter(ctx context.Context, key uint64, r room, priority int, full error) error {
	s := p.shard(key)
	s.mu.Lock()
	c := s.of(key, r)
	c.admit()
	if len(c.line) == 0 && c.in < c.limit {
		c.in++
		s.mu.Unlock()
		return nil
	}
	w := &inLine{priority: priority, in: make(chan struct{})}
	if !c.stand(w, r.queued) {
		s.mu.Unlock()
		return full
	}
	s.mu.Unlock()
	select {
	case <-w.in:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(c.line, w)
	switch {
	case w.pushed:
		return full
	case i >= 0:
		c.line = slices.Delete(c.line, i, i+1)
		return context.Cause(ctx)
	case ctx.Err() != nil: // let in at the same moment: the next one is
		s.free(key, c)
		return context.Cause(ctx)
	}
	return nil
}

// stand puts w in line, of at most room, where its priority belongs. The caller holds mu.
func (c *crowd) stand(w *inLine, room int) bool {
	with, pushed, hasPushed, ok := line.Stand(c.line, w, room)
	if hasPushed {
		pushed.pushed = true
		close(pushed.in)
	}
	c.line = with
	return ok
}

// leave frees a place.
func (p *places) leave(key uint64) {
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(key, s.byKey[key])
}

func (s *placeShard) free(key uint64, c *crowd) {
	c.in--
	c.admit()
	if c.in == 0 && len(c.line) == 0 {
		delete(s.byKey, key)
	}
}

// admit lets in those for whom there is a place. The caller holds mu.
func (c *crowd) admit() {
	for c.in < c.limit && len(c.line) > 0 {
		close(c.line[0].in)
		c.line = slices.Delete(c.line, 0, 1)
		c.in++
	}
}

// held are the places that a unit of work has. The zero value has none; the session's own.
type heldPlaces struct {
	user, database uint64 // keys; 0 none
	done           bool   // both were taken, where there are limits
}

// leave frees them.
func (h *heldPlaces) leave(p *places) {
	if h.user != 0 {
		p.leave(h.user)
	}
	if h.database != 0 {
		p.leave(h.database)
	}
	*h = heldPlaces{}
}

// tryBoth takes the places that a unit of a user on a database needs, as far as there is no waiting; true: that is all of them.
func (h *heldPlaces) tryBoth(p *places, l *unitLimits, user, database uint64) bool {
	if h.user == 0 && l.user.inFlight > 0 {
		if !p.try(user, l.user) {
			return false
		}
		h.user = user
	}
	if h.database == 0 && l.database.inFlight > 0 {
		if !p.try(database, l.database) {
			return false
		}
		h.database = database
	}
	h.done = true
	return true
}

// enterBoth is tryBoth that waits.
func (h *heldPlaces) enterBoth(ctx context.Context, p *places, l *unitLimits, user, database uint64, limitTime waitLimit) error {
	if h.user == 0 && l.user.inFlight > 0 {
		ctx, cancel := limitTime(ctx, errUserTime)
		defer cancel()
		if err := p.enter(ctx, user, l.user, l.priority, errUserPlaces); err != nil {
			return err
		}
		h.user = user
	}
	if h.database == 0 && l.database.inFlight > 0 {
		ctx, cancel := limitTime(ctx, errDatabaseTime)
		defer cancel()
		if err := p.enter(ctx, database, l.database, l.priority, errDatabasePlaces); err != nil {
			return err
		}
		h.database = database
	}
	h.done = true
	return nil
}

// waitLimit gives a wait its time, with the error at its end.
type waitLimit func(ctx context.Context, late error) (context.Context, context.CancelFunc)

// databaseKey is the key of a database's places.
func databaseKey(name string) uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	h.WriteString("database\x00" + routing.Fold(name)) //nolint:errcheck // never fails
	return h.Sum64()
}

// database is the name by which the unit's database has its places: work that names none counts for its user's home, as far as that
// is known.
func (s *boltSession) database() string {
	if db := s.unit.intent.DB; db != "" {
		return db
	}
	if home := s.login.homeDatabase(s.now); home != "" {
		return home
	}
	return s.srv.current.View().Default
}

// takePlaces takes the places that the unit needs where its user or database has limits, and waits for them. errLeave: it would have
// to wait, which is not for within the wait for the client.
func (s *boltSession) takePlaces(ctx context.Context) error {
	l := s.unit.limits
	if l == nil || s.places.done {
		return nil
	}
	database := uint64(0)
	if l.database.inFlight > 0 {
		database = databaseKey(s.database())
	}
	if s.places.tryBoth(&s.srv.places, l, s.account, database) {
		return nil
	}
	if s.within {
		return errLeave
	}
	err := s.waitWatching(ctx, func(ctx context.Context) error {
		return s.places.enterBoth(ctx, &s.srv.places, l, s.account, database, queueLimit(s.front.settings.Load()))
	})
	if err != nil {
		s.places.leave(&s.srv.places)
	}
	return err
}

// leavePlaces frees the places of a unit that is over; one that holds a lease goes on.
func (s *boltSession) leavePlaces() {
	if s.busy != nil && s.lease == nil && s.places != (heldPlaces{}) { // one that is parked has nothing
		s.places.leave(&s.srv.places)
	}
}

// queueLimit is how long a frontend's clients wait in line.
func queueLimit(f *Frontend) waitLimit {
	return func(ctx context.Context, late error) (context.Context, context.CancelFunc) {
		if f.Timeouts.Queue <= 0 {
			return ctx, func() {}
		}
		return context.WithTimeoutCause(ctx, f.Timeouts.Queue, late)
	}
}
