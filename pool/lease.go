package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/netio"
)

// Lease is a member connection lent for one unit of work. Its holder uses Link alone, and ends it by Release.
type Lease struct {
	Link   *netio.Link
	Member *cluster.Member
	Client *bolt.Client // how it logged on: Server and Hello; nil for HTTP
	Fresh  bool         // made for this lease; a used one may turn out to be closed at the first write

	// Connecting is what it took to have the connection, once there was a place at the member: dial and log-on, a question to one that
	// lay idle for long; 0 where an idle one was there.
	Connecting time.Duration

	id        *Identity
	pool      *memberPool
	address   string
	born      time.Time
	idleSince time.Time

	// Places in the pool's idle list and in its key's stack; guarded by the pool's mu.
	prev, next, under *Lease
	idle              bool // in the idle list

	work Work // see Begin

	kept bool // by Keep; set by the holder alone
	lost bool // closed while it was kept; guarded by the pool's mu
}

// Format names the member and the user, never the secret.
func (l *Lease) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "lease of %s for %v", l.Member.Name, l.id)
}

// Release gives the connection back. clean says that every answer was read and the member is in its READY state (Bolt),
// or that the response ended and may be followed by another (HTTP); anything else is closed, and so is a kept connection.
func (l *Lease) Release(clean bool) {
	if l.kept {
		l.letGo()
		return
	}
	l.Fresh = false
	if !l.pool.giveBack(l, clean, time.Now()) {
		l.close()
	}
}

// Returned is when the connection came back from its last holder; zero for a new one.
func (l *Lease) Returned() time.Time { return l.idleSince }

// Answered notes that the member took d to begin an answer.
func (l *Lease) Answered(d time.Duration) {
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency.note(d, p.now)
}

// putBack is Release after a look: the connection has been idle all the while.
func (l *Lease) putBack(good bool) {
	if !l.pool.giveBack(l, good, l.idleSince) {
		l.close()
	}
}

func (l *Lease) close() {
	if l.Client != nil && l.Link.Raw() {
		l.Link.TryWrite(goodbye(l.Client.Version)) //nolint:errcheck // the connection ends either way
	}
	l.Link.Conn.Close()
}

func goodbye(v bolt.Version) []byte {
	if v < bolt.V3 {
		return nil
	}
	return bolt.Goodbye
}

// sameTarget tells whether l still leads where m is. Part of giveBack, under the pool's mu.
func (l *Lease) sameTarget(m *cluster.Member) bool { return l.address == l.id.address(m) }

func (id *Identity) address(m *cluster.Member) string {
	if id == HTTP {
		return m.HTTP
	}
	return m.Bolt
}

// connect finds an idle connection for a slot that is ours, or makes one. fresh asks for a log-on in any case.
func (p *memberPool) connect(ctx context.Context, id *Identity, fresh bool) (*Lease, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.set.options.Load().ConnectTimeout, errConnectTimeout)
	defer cancel()
	for !fresh && !id.single {
		l := p.takeIdle(id)
		if l == nil {
			break
		}
		if l.wake(ctx) {
			return l, nil
		}
		p.discard(l)
		if cause := context.Cause(ctx); cause != nil { // the next one would fail like this one, for no fault of its own
			return nil, dialError(l.Member, cause)
		}
	}
	if id == HTTP {
		return p.dial(ctx, id)
	}
	l, evicted := p.room(id)
	if evicted != nil {
		evicted.close()
	}
	if l != nil && l.relogon(ctx, id) == nil {
		return l, nil
	}
	if l != nil { // its user could not be changed: a new one says why
		l.close()
	}
	l, err := p.dial(ctx, id)
	if err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}
	return l, err
}

var errConnectTimeout = errors.New("pool: connect_timeout passed")

func (p *memberPool) takeIdle(id *Identity) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.idle[id.Key]
	if l != nil {
		p.unlink(l)
		l.Member = p.member.Load()
	}
	return l
}

// discard closes a connection that was taken from the idle list and turned out bad.
func (p *memberPool) discard(l *Lease) {
	if l.id != HTTP {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}
	l.close()
}

// room makes place for one more Bolt connection. When the pool is full the longest idle of another credential goes: one
// of the same kind is returned to be logged on anew (5.1+), any other is returned to be closed.
func (p *memberPool) room(id *Identity) (reuse, evicted *Lease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.set.options.Load()
	if p.open < o.MaxPerMember {
		p.open++
		return nil, nil
	}
	if id.Key.Value().Version >= bolt.V5_1 && !id.single {
		for l := p.oldest; l != nil; l = l.next {
			if l.id.shape == id.shape && time.Since(l.born) <= o.MaxLifetime {
				p.unlink(l)
				l.Member = p.member.Load()
				return l, nil
			}
		}
	}
	for l := p.oldest; l != nil; l = l.next {
		if l.id != HTTP {
			p.unlink(l)
			return nil, l
		}
	}
	p.open++ // only while a lowered limit takes effect: every connection is lent, and so is a slot for each
	return nil, nil
}

// wake makes sure that a connection from the idle list may be lent: it is not too old and answers.
func (l *Lease) wake(ctx context.Context) bool {
	return time.Since(l.born) <= l.pool.set.options.Load().MaxLifetime && l.answers(ctx)
}

// answers tells whether the member is still there, as far as a look shows; one that lay idle for long is asked.
func (l *Lease) answers(ctx context.Context) bool {
	if l.Link.Quiet() != nil {
		return false
	}
	if l.Client == nil || time.Since(l.idleSince) <= staleAfter {
		return true
	}
	return l.within(ctx, func() error { return errors.Join(l.Client.Reset(0), l.Client.Trim()) }) == nil
}

func (l *Lease) relogon(ctx context.Context, id *Identity) error {
	err := l.within(ctx, func() error {
		if err := l.Link.Quiet(); err != nil {
			return err
		}
		return errors.Join(l.Client.Relogon(id.auth), l.Client.Trim())
	})
	l.id = id
	return err
}

// within is within for a connection that was in use: a deadline that its last holder left does not count.
func (l *Lease) within(ctx context.Context, f func() error) error {
	l.Link.SetDeadline(time.Time{})
	return within(ctx, l.Link.Conn, f)
}

// within runs f, whose I/O on conn ends when ctx does.
func within(ctx context.Context, conn net.Conn, f func() error) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

func (p *memberPool) dial(ctx context.Context, id *Identity) (*Lease, error) {
	m := p.member.Load()
	address := id.address(m)
	conn, err := p.set.options.Load().Dial(ctx, "tcp", address)
	if err != nil {
		return nil, dialError(m, err)
	}
	l := &Lease{Member: m, id: id, pool: p, address: address, born: time.Now(), Fresh: true}
	p.mu.Lock()
	p.counted.Opened++
	p.mu.Unlock()
	err = within(ctx, conn, func() error { return l.open(ctx, conn) })
	if err != nil {
		conn.Close()
		if f, ok := errors.AsType[*bolt.Failure](err); ok {
			return nil, f
		}
		return nil, dialError(m, err)
	}
	return l, nil
}

// open does TLS, handshake and log-on on a new connection.
func (l *Lease) open(ctx context.Context, conn net.Conn) error {
	o := l.pool.set.options.Load()
	if o.TLS != nil {
		c := o.TLS.Clone()
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(l.address)
		}
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secure
	}
	l.Link = netio.New(conn)
	k := l.id.Key.Value()
	if k.Version == 0 {
		return nil
	}
	if _, err := bolt.Handshake(conn, k.Version); err != nil {
		return err
	}
	l.Client = bolt.NewClient(conn, k.Version)
	hello := bolt.HelloOptions{Agent: o.Agent, UTC: k.UTC, Notifications: []byte(k.Notify), NotifyCount: l.id.notifyCount}
	if k.Routed {
		hello.Routing = map[string]string{}
	}
	if err := errors.Join(l.Client.Logon(hello, l.id.auth), l.Client.Trim()); err != nil {
		return err
	}
	if patches, _ := l.Client.Hello["patch_bolt"].([]any); k.UTC && !slices.Contains(patches, any("utc")) {
		return errPatch
	}
	return nil
}

// errPatch is met at a server that took the place of one which took the patch.
var errPatch = errors.New(`the server does not accept patch_bolt "utc" any more`)
