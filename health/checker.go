package health

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// checker asks one member, in one goroutine. Everything but wake and fast belongs to that goroutine.
type checker struct {
	member *cluster.Member
	o      *Options
	wake   chan struct{} // room for one: a check is due now
	fast   *atomic.Bool  // set by Run: the next check is due after FastInterval

	http     httpRoles
	bolt     boltRoles
	version  string      // neo4j_version when Bolt was asked last
	probed   time.Time   // when probeOnly identified the member
	failed   bool        // the last check failed
	shyTill  time.Time   // until then the login, which was refused, is not tried again
	peersDue time.Time   // when it is asked for its peers again
	heard    atomic.Bool // the member said anything, in the present check
	ear      ear
	life     context.Context // of run
}

func newChecker(m *cluster.Member, o *Options, known book, fast *atomic.Bool, contested *contested) *checker {
	c := &checker{member: m, o: o, wake: make(chan struct{}, 1), fast: fast}
	c.http = httpRoles{
		client:    httpClient{dial: func(ctx context.Context) (net.Conn, error) { return c.connect(ctx, m.HTTP, &c.heard) }, host: m.HTTP},
		databases: o.Databases, contested: contested,
	}
	for _, db := range [...]string{"neo4j", "system"} {
		if !slices.Contains(c.http.databases, db) {
			c.http.databases = append(slices.Clip(c.http.databases), db)
		}
	}
	c.bolt = boltRoles{
		dial: func(ctx context.Context) (net.Conn, error) { return c.connect(ctx, m.Bolt, &c.heard) },
		auth: o.auth(), members: known, self: m.Name, alone: len(o.Members) == 1, contested: contested, learn: o.Learn,
	}
	return c
}

// connect dials address, with TLS where the options have it. What comes is noted in heard.
func (c *checker) connect(ctx context.Context, address string, heard *atomic.Bool) (net.Conn, error) {
	o := c.o
	conn, err := listening(o.Dial, heard)(ctx, "tcp", address)
	if err != nil || o.TLS == nil {
		return conn, err
	}
	config := o.TLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secure, nil
}

// run checks until ctx ends: at once, then every interval, counted from the start of a check, and at every wake. deliver hands an answer to Run; it returns when
// ctx ends too.
func (c *checker) run(ctx context.Context, deliver func(*answer)) {
	defer c.bolt.close()
	defer c.http.client.close()
	defer c.ear.close()
	c.life = ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	var began time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
			if early := time.Until(began.Add(c.spacing())); early > 0 {
				timer.Reset(early)
				continue
			}
		}
		began = time.Now()
		if a := c.check(ctx); ctx.Err() == nil {
			deliver(a)
		}
		interval := c.o.Interval
		if c.fast.Load() {
			interval = c.o.FastInterval
		}
		timer.Reset(max(interval-time.Since(began), c.o.FastInterval/10))
	}
}

// spacing is the least time between the starts of two checks, however often somebody wakes the checker: a burst of reports
// must not make Fall bad answers out of one moment's trouble.
func (c *checker) spacing() time.Duration {
	if c.failed {
		return c.o.FastInterval
	}
	return c.o.FastInterval / 10
}

// wakeUp makes a check due now, or right after the one that runs, no sooner than spacing has it.
func (c *checker) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// check asks once, within Timeout. A panic would be a fault of ours; it fails the check instead of the daemon.
func (c *checker) check(ctx context.Context) (a *answer) {
	defer func() {
		if p := recover(); p != nil {
			a = newAnswer(c.member.Name, time.Now())
			a.from, a.err = c, fmt.Errorf("health: a fault in the check itself: %v", p)
			c.http.client.close()
			c.bolt.forget()
		}
	}()
	return c.once(ctx)
}

func (c *checker) once(ctx context.Context) *answer {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	a := newAnswer(c.member.Name, time.Now())
	a.from = c
	if time.Now().After(c.shyTill) {
		c.retryLogin()
	}
	c.heard.Store(false)
	a.err = c.ask(ctx, a)
	a.silent = c.mute(a.err)
	if a.err != nil && ctx.Err() != nil {
		a.err = fmt.Errorf("no answer within %v: %w", c.o.Timeout, a.err)
	}
	c.remember(a)
	return a
}

func (c *checker) retryLogin() {
	c.shyTill = time.Time{}
	if c.o.User != "" || c.failed {
		c.bolt.refused = nil // without a user the same server would refuse again
	}
	if c.o.User != "" {
		c.http.client.login = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.o.User+":"+c.o.Password))
	}
}

// remember keeps what the next check needs to know: after a failure the server is looked at anew, unless it is only slow, when
// what was learnt helps the next check to come to its end; and a refused login is left alone for a while, since repeating a
// wrong password locks its user out.
func (c *checker) remember(a *answer) {
	if a.err != nil && (!c.failed || !isTimeout(a.err)) {
		c.bolt.doubt()
	}
	c.failed = a.err != nil
	refused := a.denied != "" || c.bolt.refused != nil
	if refused && c.shyTill.IsZero() {
		c.shyTill = time.Now().Add(max(10*time.Second, 5*c.o.Interval))
		c.http.client.login = ""
	}
}

// ask goes through the sources that the method allows: HTTP first, with at most half of the time when Bolt follows.
func (c *checker) ask(ctx context.Context, a *answer) error {
	if c.o.Method == MethodTCP {
		return c.connectOnly(ctx, a)
	}
	useHTTP := c.member.HTTP != "" && c.o.Method != MethodBolt
	useBolt := c.member.Bolt != "" && c.o.Method != MethodHTTP
	var httpErr error
	switch {
	case useHTTP && useBolt:
		half, cancel := context.WithTimeout(ctx, c.o.Timeout/2)
		httpErr = c.http.ask(half, a)
		cancel()
		if httpErr != nil && !c.heard.Load() {
			c.listenIn()
		}
	case useHTTP:
		httpErr = c.http.ask(ctx, a)
	case !useBolt:
		return fmt.Errorf("member %s has no address that check.method %s could ask: give it bolt or http", c.member.Name, c.o.Method)
	}
	a.overHTTP = useHTTP && httpErr == nil
	if !useBolt {
		c.probeOnly(ctx, a)
		if c.member.Bolt == "" && httpErr == nil {
			c.listPeers(ctx, a)
		}
		return httpErr
	}
	return c.askBolt(ctx, a, useHTTP, httpErr)
}

// askBolt asks the member's Bolt port, where it must answer. Its roles are taken over where HTTP told none, or where only
// Bolt tells what is missing: stopped databases and the default one.
func (c *checker) askBolt(ctx context.Context, a *answer, viaHTTP bool, httpErr error) error {
	if viaHTTP && httpErr != nil && !c.worthAsking(httpErr) {
		return httpErr
	}
	c.noticeUpgrade()
	if err := c.bolt.ping(ctx); err != nil {
		return errors.Join(err, httpErr)
	}
	if err := c.bolt.identify(ctx, c.http.version); err != nil {
		return errors.Join(err, httpErr)
	}
	a.identity = new(identity)
	*a.identity = c.bolt.id
	if oneRole := a.told && len(a.roles) == 1 && a.roles[cluster.AnyDatabase] != cluster.Unknown; oneRole && httpErr == nil {
		c.listProcedures(ctx, a)
		c.listPeers(ctx, a)
		c.bolt.close() // HTTP tells all that there is; the handshake above is enough
		return nil
	}
	told := newAnswer(a.member, a.started)
	if err := c.bolt.ask(ctx, told, a.told); err != nil {
		return errors.Join(err, httpErr)
	}
	a.merge(told)
	c.listProcedures(ctx, a)
	c.listPeers(ctx, a)
	if a.told || a.evidence == cluster.Standalone || c.o.Generation == cluster.Standalone {
		a.denied = ""
		return nil
	}
	return httpErr
}

// noticeUpgrade forgets what Bolt told when the discovery document names another release than at the last check.
func (c *checker) noticeUpgrade() {
	if c.http.version != c.version {
		c.version = c.http.version
		c.bolt.forget()
	}
}

// unavailable is an answer by which a member says that it serves nothing now.
type unavailable struct{ text string }

func (u unavailable) Error() string { return "the member is not available: " + u.text }

// worthAsking tells whether Bolt may know better after HTTP failed: not when the member itself said that it is not available.
func (c *checker) worthAsking(err error) bool {
	_, ok := errors.AsType[unavailable](err)
	return !ok
}

// connectOnly is MethodTCP: a connection is a good answer.
func (c *checker) connectOnly(ctx context.Context, a *answer) error {
	address := orElse(c.member.Bolt, c.member.HTTP)
	conn, err := c.connect(ctx, address, &c.heard)
	if err != nil {
		return err
	}
	conn.Close()
	c.probeOnly(ctx, a)
	return nil
}

// probeEvery is how long the versions of a member are believed that is not asked anything over Bolt: a restart between two
// checks need not show there, and a handshake shows only that the old versions are still spoken.
const probeEvery = 30 * time.Second

// probeOnly learns the member's Bolt versions for clients' sake where Bolt has no say in whether it is up.
func (c *checker) probeOnly(ctx context.Context, a *answer) {
	if c.member.Bolt == "" {
		return
	}
	c.noticeUpgrade()
	if time.Since(c.probed) > probeEvery {
		c.bolt.doubt()
	}
	known := c.bolt.known
	if c.bolt.ping(ctx) != nil || c.bolt.identify(ctx, c.http.version) != nil {
		c.bolt.doubt() // the next check tries again
		return
	}
	if c.bolt.close(); !known {
		c.probed = time.Now()
	}
	a.identity = new(identity)
	*a.identity = c.bolt.id
}
