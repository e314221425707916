// Package pool keeps the connections to members: it dials, logs on, lends for one unit of work, takes back, limits and
// queues. What was lent comes back in one place, Release, which closes whatever is not clean.
package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// Options are the limits of a Set; see design "pool" in the configuration reference.
type Options struct {
	MaxPerMember   int           // Bolt connections to one member, log-ons included; 0 means 100
	ConnectTimeout time.Duration // for dial, TLS, handshake and log-on together; 0 means 5 s
	IdleTimeout    time.Duration // a Bolt connection idle for longer is closed; 0 means 5 min
	HTTPIdle       time.Duration // the same for HTTP; 0 means 20 s
	MaxLifetime    time.Duration // an older connection is not lent again, give or take a second; 0 means 1 h
	MaxQueue       int           // units of work that may wait for one member; 0 means 10,000
	TLS            *tls.Config   // to members; nil: plain
	Agent          string        // what we call ourselves in HELLO; "" means boltgate/1
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.ConnectTimeout, 5*time.Second)
	def(&o.IdleTimeout, 5*time.Minute)
	def(&o.HTTPIdle, 20*time.Second)
	def(&o.MaxLifetime, time.Hour)
	if o.MaxPerMember == 0 {
		o.MaxPerMember = 100
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 10000
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	return o
}

// Errors of Acquire. A *bolt.Failure is the member's refusal of the log-on.
var (
	ErrFull   = errors.New("pool: the line is full") // wrapped by what says which line
	ErrClosed = errors.New("pool: the gate shuts down")
	ErrMoved  = errors.New("pool: the member takes no new work any more; pick another")
	ErrDial   = errors.New("pool: no connection to the member") // wraps dial, TLS and handshake errors
)

// errLine is the ErrFull of a member's line.
var errLine = fmt.Errorf("%w: pool.max_queued units of work wait for this member", ErrFull)

// Key says which connections are alike: any of them may serve a unit of work that asks for this key.
type Key struct {
	Version bolt.Version // 0: HTTP
	UTC     bool         // patch_bolt ["utc"] was accepted (4.3 and 4.4)
	Routed  bool         // HELLO carries a routing map
	Notify  string       // encoded notification filters of HELLO, where RUN and BEGIN cannot carry them
	Auth    string       // bolt.Auth.Entries; "" for HTTP
}

// Identity is a Key made ready for look-ups, with what a log-on needs. Sessions make one per log-on and keep it.
type Identity struct {
	Key         unique.Handle[Key]
	shape       unique.Handle[Key] // Key without Auth
	auth        bolt.Auth
	notifyCount int
	single      bool // presented once: such a connection is never lent again (kerberos, custom)
}

// Format leaves out the credential whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "bolt %v utc=%v routed=%v", k.Version, k.UTC, k.Routed)
}

// MarshalText is what Format prints, for encoders and structured logs.
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// Format names the user and the kind of connection, never the secret.
func (id Identity) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v, %v", id.auth, id.Key.Value()) }

// NewIdentity returns the identity of a session. notifyCount is how many pairs k.Notify holds.
func NewIdentity(k Key, auth bolt.Auth, notifyCount int) *Identity {
	k.Auth = auth.Entries
	shape := k
	shape.Auth = ""
	return &Identity{
		Key: unique.Make(k), shape: unique.Make(shape), auth: auth, notifyCount: notifyCount,
		single: auth.Scheme == "kerberos" || auth.Scheme == "custom",
	}
}

// HTTP is the identity of every HTTP connection: requests carry their own credentials.
var HTTP = NewIdentity(Key{}, bolt.Auth{}, 0)

// Set is the pools of all members. Safe for concurrent use.
type Set struct {
	options atomic.Pointer[Options]
	log     *slog.Logger

	mu      sync.Mutex                             // held to change members
	members atomic.Pointer[map[string]*memberPool] // by name; replaced as a whole, so that a look-up takes no lock
	closed  chan struct{}
	once    sync.Once
	sweeps  sync.WaitGroup
}

// NewSet returns an empty Set and starts its sweeper; Close ends it.
func NewSet(o Options, log *slog.Logger) *Set {
	s := &Set{log: log, closed: make(chan struct{})}
	s.members.Store(&map[string]*memberPool{})
	s.Apply(o)
	s.sweeps.Go(s.sweepEverySecond)
	return s
}

// Apply changes the limits; connections that are there stay. Who waits in line gets the slots that there are more of now.
func (s *Set) Apply(o Options) {
	o = o.withDefaults()
	s.options.Store(&o)
	s.each(func(p *memberPool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.grant()
	})
}

// find returns the pool of that name, or nil.
func (s *Set) find(member string) *memberPool { return (*s.members.Load())[member] }

// pool finds or makes the pool of a member. A member whose address changed gets a new pool; the old one drains.
func (s *Set) pool(m *cluster.Member) *memberPool {
	p := s.find(m.Name)
	if p != nil && p.member.Load() == m {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.find(m.Name)
	switch {
	case p == nil:
		p = newMemberPool(s, m)
		select {
		case <-s.closed:
			p.retired = true
		default:
		}
		members := maps.Clone(*s.members.Load())
		members[m.Name] = p
		s.members.Store(&members)
	case p.member.Load() != m:
		p.retarget(m)
	}
	return p
}

// TryAcquire lends an idle connection when a slot is free, nobody waits, and one is there that was used within the last
// 30 s; else nil. It never blocks, but for a moment's look at a TLS connection.
func (s *Set) TryAcquire(m *cluster.Member, id *Identity) *Lease {
	p := s.pool(m)
	for {
		l := p.tryTake(id)
		if l == nil || l.Link.Raw() { // a plain socket is looked at while it sends (netio.Link.Exchange)
			return l
		}
		if l.Link.Quiet() == nil {
			return l
		}
		l.putBack(false)
	}
}

// Acquire lends a connection to m, logged on as id: an idle one, or a new one; when all slots are taken it waits in line
// until ctx ends. Errors: ErrFull, ErrClosed, ErrDial, context.Cause(ctx), or the member's *bolt.Failure.
func (s *Set) Acquire(ctx context.Context, m *cluster.Member, id *Identity) (*Lease, error) {
	return s.pool(m).acquire(ctx, id, false, Turn{})
}

// Turn is how somebody stands in a member's line. The zero value is everybody's.
type Turn struct {
	Priority int    // the higher goes first, among equals in order
	InLine   func() // when not nil it is called once the place in line, or the slot, is taken: who of the same priority asks behind that comes after
	bound    bool   // to this member: another would not do
}

// AcquireInLine is Acquire with a turn of its own.
func (s *Set) AcquireInLine(ctx context.Context, m *cluster.Member, id *Identity, turn Turn) (*Lease, error) {
	return s.pool(m).acquire(ctx, id, false, turn)
}

// Verify logs on to m on a connection of its own and, when the member accepts, lends it: how a client's credentials are
// checked. Errors as Acquire's.
func (s *Set) Verify(ctx context.Context, m *cluster.Member, id *Identity, turn Turn) (*Lease, error) {
	return s.pool(m).acquire(ctx, id, true, turn)
}

// Forget closes the idle connections that were logged on with id's credential, of every kind.
func (s *Set) Forget(id *Identity) {
	s.each(func(p *memberPool) {
		p.dropIdle(func(l *Lease) bool { return l.id != HTTP && l.id.auth.Entries == id.auth.Entries })
	})
}

// Disperse makes those who wait in the member's line pick another, with ErrMoved; called when a View that gives it no new work
// is out. Sessions that are bound to the member by a kept connection go on waiting.
func (s *Set) Disperse(member string) {
	if p := s.find(member); p != nil {
		p.disperse()
	}
}

// Retain drops the idle connections of members that are not in the list any more; a reload calls it.
func (s *Set) Retain(members []*cluster.Member) {
	keep := map[string]bool{}
	for _, m := range members {
		keep[m.Name] = true
	}
	s.mu.Lock()
	var gone []*memberPool
	left := map[string]*memberPool{}
	for name, p := range *s.members.Load() {
		if keep[name] {
			left[name] = p
		} else {
			gone = append(gone, p)
		}
	}
	s.members.Store(&left)
	s.mu.Unlock()
	for _, p := range gone {
		p.retire()
	}
}

// each calls f for every pool, without mu: f may take its time.
func (s *Set) each(f func(*memberPool)) {
	for _, p := range *s.members.Load() {
		f(p)
	}
}

func (s *Set) sweepEverySecond() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-s.closed:
			return
		case now := <-t.C:
			s.each(func(p *memberPool) { p.sweep(now) })
		}
	}
}

// Close refuses new leases, closes idle connections and wakes everybody who waits. Connections that are lent are closed
// by their Release.
func (s *Set) Close() error {
	s.once.Do(func() { close(s.closed) })
	s.sweeps.Wait()
	s.mu.Lock() // a pool that is being made is either there, or will have seen the end
	last := *s.members.Load()
	s.mu.Unlock()
	for _, p := range last {
		p.retire()
	}
	return nil
}

// Stats is what one member's pool holds.
type Stats struct{ Open, Idle, InFlight, Queued int }

// Stats of the member's pool; zero when nothing was ever asked of it.
func (s *Set) Stats(member string) Stats {
	p := s.find(member)
	if p == nil {
		return Stats{}
	}
	return p.stats()
}

// Lent is how many leases the member has had; zero when nothing was ever asked of it.
func (s *Set) Lent(member string) int64 {
	p := s.find(member)
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lent
}

// Load of the member; zero when nothing was ever asked of it. Lines count as work in flight.
func (s *Set) Load(member string) cluster.Load {
	p := s.find(member)
	if p == nil {
		return cluster.Load{}
	}
	return p.load()
}

// dialError marks what Acquire met before a byte of a request could leave.
func dialError(m *cluster.Member, err error) error {
	return fmt.Errorf("%w %s: %w", ErrDial, m.Name, err)
}

// Single tells whether connections of this identity serve one session only: its credential may be presented once.
func (id *Identity) Single() bool { return id.single }

// User is whom the identity logs on as; "" where its scheme names nobody.
func (id *Identity) User() string { return id.auth.Principal }

// Auth is the credential. It is secret.
func (id *Identity) Auth() bolt.Auth { return id.auth }

// With is the same credential with another kind of connection.
func (id *Identity) With(k Key) *Identity { return NewIdentity(k, id.auth, id.notifyCount) }
