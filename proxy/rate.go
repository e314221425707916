package proxy

import (
	"container/list"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns units of work in a time (limits.rate). A rate is kept as one moment per user or address: when its next unit would be
// due if all were spaced evenly (the generic cell rate algorithm). That is a token bucket in eight bytes, which forgets by itself.

// pace is a rate as it is reckoned with. The zero value is no limit.
type pace struct {
	every time.Duration // between two units
	ahead time.Duration // how far the next unit's moment may lie ahead: the burst
}

// paceOf is the pace of units a second, with a burst; 0 means as many as one second has, at least one.
func paceOf(rate float64, burst int) pace {
	if rate <= 0 {
		return pace{}
	}
	if burst <= 0 {
		burst = max(1, int(rate))
	}
	every := time.Duration(math.Ceil(float64(time.Second) / rate))
	return pace{every: every, ahead: time.Duration(burst-1) * every}
}

// take takes one unit at now, where due is the moment that is kept. It returns the next moment, and how long to wait when it is too soon.
func (p pace) take(due, now time.Duration) (next, wait time.Duration) {
	if early := due - now - p.ahead; early > 0 {
		return due, early
	}
	return max(due, now) + p.every, 0
}

const (
	rateShards   = 16
	ratesInShard = 2048 // keys in one shard: some 33,000 users and addresses together, 3 MiB
)

// rates are the moments of users and addresses, by a hash with a seed of this process. Their number is bounded: the key that was not
// seen for longest makes room, and begins anew when it comes back.
type rates struct {
	shards [rateShards]rateShard
}

type rateShard struct {
	mu    sync.Mutex
	byKey map[uint64]*list.Element
	seen  list.List // of *dueKey, who was seen last in front
}

// dueKey is one key's moment.
type dueKey struct {
	key uint64
	due time.Duration // since started
}

// started is what moments count from: a time.Duration is half of a time.Time.
var started = time.Now()

// take takes one unit of key's; wait is how long until there is one when it is more than 0.
func (r *rates) take(key uint64, p pace, now time.Time) (wait time.Duration) {
	s := &r.shards[key%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.find(key)
	k.due, wait = p.take(k.due, now.Sub(started))
	return wait
}

// find returns the key's moment, that of a new one in the place of the oldest if need be. The caller holds mu.
func (s *rateShard) find(key uint64) *dueKey {
	if e := s.byKey[key]; e != nil {
		s.seen.MoveToFront(e)
		return e.Value.(*dueKey)
	}
	if s.byKey == nil {
		s.byKey = map[uint64]*list.Element{}
	}
	if s.seen.Len() >= ratesInShard {
		oldest := s.seen.Remove(s.seen.Back()).(*dueKey)
		delete(s.byKey, oldest.key)
	}
	k := &dueKey{key: key}
	s.byKey[key] = s.seen.PushFront(k)
	return k
}

// tooSoon is the refusal of a unit of work that is over a rate.
type tooSoon struct {
	whose string // user or address
	wait  time.Duration
}

var errRate = errors.New("proxy: too many units of work in a time")

func (e *tooSoon) Error() string {
	return fmt.Sprintf("proxy: more units of work than limits.rate.%s allows; please try again in %v", e.whose, e.wait.Round(time.Millisecond))
}

// Is makes all of them errRate.
func (e *tooSoon) Is(err error) bool { return err == errRate }

// seconds is the wait for Retry-After.
func (e *tooSoon) seconds() int { return int(math.Ceil(e.wait.Seconds())) }

// within takes one unit of the address and of the user. The user's own is not taken when the address has none left.
func (r *rates) within(address uint64, a pace, user uint64, u pace, now time.Time) error {
	if a.every > 0 && address != 0 {
		if wait := r.take(address, a, now); wait > 0 {
			return &tooSoon{"address", wait}
		}
	}
	if u.every > 0 {
		if wait := r.take(user, u, now); wait > 0 {
			return &tooSoon{"user", wait}
		}
	}
	return nil
}

// addressKey is the key of a client's address; 0 for one that has none (unix sockets). An IPv6 network of 64 bits is one client's.
func addressKey(remote string) uint64 {
	ip, err := netip.ParseAddr(host(remote))
	if err != nil {
		return 0
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64) //nolint:errcheck // 64 bits are never too many
		ip = p.Addr()
	}
	b := ip.As16()
	return maphash.Bytes(hashSeed, b[:])
}

// accountOf is the key of a user, the same for Bolt and HTTP: a gate user's by name, another's by name and password, so that who
// guesses at a password takes nothing from that user. Other schemes go by all that they sent.
func accountOf(g *gateUser, auth bolt.Auth) uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	password, basic := auth.Password()
	switch {
	case g != nil:
		h.WriteString("gate\x00" + g.name) //nolint:errcheck // never fails
	case basic:
		h.WriteString("basic\x00" + auth.Principal + "\x00" + password) //nolint:errcheck // never fails
	default:
		h.WriteString(auth.Entries) //nolint:errcheck // never fails
	}
	return h.Sum64()
}

// withinRates takes the unit that begins from what its user and address may have.
func (s *boltSession) withinRates(l *limits) error {
	u := l.of(s.user()).rate
	if l.address.every == 0 && u.every == 0 {
		return nil
	}
	return s.srv.rates.within(addressKey(s.remote), l.address, s.account, u, s.now)
}

// refusedByLimits refuses the opening request at the inbox's start when its user or address may not begin a unit of work now. One that
// has left the wait for its client since is not counted twice.
func (s *boltSession) refusedByLimits() bool {
	l := s.front.limits.Load()
	if l == nil {
		return false
	}
	if s.admitted {
		s.admitted = false
		return false
	}
	err := s.withinRates(l)
	if err == nil {
		return false
	}
	s.in.drop()
	s.in.unpin()
	s.turnAway(err)
	return true
}

// turnAway tells the client of an opening request, which is done with, to come back later.
func (s *boltSession) turnAway(err error) {
	s.srv.counts.turn(err)
	s.front.stats.failed(bolt.CodeNoThreads)
	s.fail(bolt.CodeNoThreads, "boltgate: "+plain(err))
	if l := s.srv.accessLine(&s.lineRoom, s.now, s.trace, s.traceState); l != nil {
		s.unit.reset()
		l.end, s.unit.line = bolt.CodeNoThreads, l
	}
}

// withinRates is the same for a request.
func (c *httpConn) withinRates(l *limits, user string) error {
	u := l.of(user).rate
	if l.address.every == 0 && u.every == 0 {
		return nil
	}
	c.user()
	return c.srv.rates.within(addressKey(c.remote), l.address, c.who.account, u, time.Now())
}
