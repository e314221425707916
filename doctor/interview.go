package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file owns the questions to one member that checks do not ask.

// interview is what a member answered. Zero values: it was not asked, or did not answer.
type interview struct {
	member *cluster.Member
	status *cluster.Status

	refused    int           // HTTP status by which its role endpoint refused the login of the checks: 401, 403
	boltLogin  error         // why it refused that login over Bolt
	expired    bool          // the password has to be changed
	mayNotList error         // why the user may not list servers
	noAuth     bool          // everybody may log in
	factory    bool          // neo4j/neo4j may
	offset     time.Duration // its clock before ours
	precision  time.Duration // of offset; 0: not known
	certs      []seenCert
	wantsTLS   []string // addresses that speak TLS, where the configuration says off
}

// agent is what members see as user_agent.
const agent = "boltgate-doctor/1"

// interviewAll asks every member at once.
func (f *facts) interviewAll(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range f.view.Members {
		i := &interview{member: s.Member, status: s}
		f.members = append(f.members, i)
		all.Go(func() { i.run(ctx, f) })
	}
	all.Wait()
}

func (i *interview) run(ctx context.Context, f *facts) {
	i.lookAtTLS(ctx, f)
	if i.member.HTTP != "" {
		i.askHTTP(ctx, f)
	}
	if i.member.Bolt != "" && len(i.status.Versions) > 0 {
		i.askBolt(ctx, f)
	}
}

// dial connects as checks do, but for a certificate that does not verify: that is a finding of its own.
func (f *facts) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	conn, err := f.plain(ctx, address)
	if err != nil || f.o.Health.TLS == nil {
		return conn, err
	}
	config := f.o.Health.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

func (f *facts) plain(ctx context.Context, address string) (net.Conn, error) {
	dial := f.o.Health.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(f.o.Timeout))
	}
	return conn, err
}

// askHTTP asks for the time, and for a role with the login of the checks.
func (i *interview) askHTTP(ctx context.Context, f *facts) {
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true,
		DialContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, i.member.HTTP) },
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, i.member.HTTP) },
	}
	client := &http.Client{Transport: transport, Timeout: f.o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(path string, login bool) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.member.HTTP+path, nil)
		if err != nil {
			return nil
		}
		r.Header.Set("User-Agent", agent)
		if login && f.o.Health.User != "" {
			r.SetBasicAuth(f.o.Health.User, f.o.Health.Password)
		}
		answer, err := client.Do(r)
		if err != nil {
			return nil
		}
		io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)) //nolint:errcheck // what is read is of no interest
		answer.Body.Close()
		return answer
	}
	begun := time.Now()
	if answer := get("/", false); answer != nil {
		i.clock(answer.Header.Get("Date"), begun, f)
	}
	if answer := get(rolePath(f.view.Generation, i.status.Agent), true); answer != nil {
		switch answer.StatusCode {
		case http.StatusUnauthorized:
			i.refused = answer.StatusCode
		case http.StatusForbidden:
			if f.view.Generation != cluster.Causal && f.view.Generation != cluster.HA { // there it says that the member is of another kind
				i.refused = answer.StatusCode
			}
		}
	}
}

// rolePath is a role endpoint of the member's version.
func rolePath(g cluster.Generation, agent string) string {
	switch {
	case g == cluster.HA:
		return "/db/manage/server/ha/available"
	case strings.HasPrefix(agent, "Neo4j/3."):
		return "/db/manage/server/causalclustering/available"
	}
	return "/db/system/cluster/available"
}

// clock reads a Date, which counts whole seconds: it is half a second old on average.
func (i *interview) clock(date string, begun time.Time, f *facts) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	taken := time.Since(begun)
	middle := f.o.Now().Add(-taken / 2)
	i.offset, i.precision = at.Add(500*time.Millisecond).Sub(middle), 500*time.Millisecond+taken/2
}

// askBolt tries who may log in, and what the user of the checks may see.
func (i *interview) askBolt(ctx context.Context, f *facts) {
	if c, err := i.logOn(ctx, f, nobody()); err == nil {
		c.Close()
		i.noAuth = true
	}
	h := &f.o.Health
	if f.o.Guess && !i.noAuth && (h.User != factoryUser || h.Password != factoryPassword) {
		if c, err := i.logOn(ctx, f, bolt.Basic(factoryUser, factoryPassword)); err == nil {
			c.Close()
			i.factory = true
		}
	}
	if h.User == "" {
		return
	}
	client, err := i.logOn(ctx, f, bolt.Basic(h.User, h.Password)) // last: a success forgets the failures before it
	if err != nil {
		if _, isRefusal := errors.AsType[*bolt.Failure](err); isRefusal {
			i.boltLogin = err
		}
		return
	}
	defer client.Close()
	i.expired, _ = client.Hello["credentials_expired"].(bool)
	i.list(client, f.view.Generation)
}

const factoryUser, factoryPassword = "neo4j", "neo4j" // of every fresh installation

func nobody() bolt.Auth {
	auth, _ := bolt.ParseAuth(schemeNone) // a constant
	return auth
}

// schemeNone is {scheme: "none"}.
var schemeNone = append([]byte{0xA1, 0x86}, "scheme\x84none"...)

func (i *interview) logOn(ctx context.Context, f *facts, auth bolt.Auth) (*bolt.Client, error) {
	conn, err := f.dial(ctx, i.member.Bolt)
	if err != nil {
		return nil, err
	}
	versions := i.status.Versions
	v, err := bolt.Handshake(conn, versions[:min(4, len(versions))]...)
	if err != nil {
		conn.Close()
		return nil, err
	}
	client := bolt.NewClient(conn, v)
	if err := client.Logon(bolt.HelloOptions{Agent: agent}, auth); err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}

// list asks for the servers, which takes a right of its own.
func (i *interview) list(client *bolt.Client, g cluster.Generation) {
	text := ""
	switch {
	case g == cluster.Autonomous:
		text = "SHOW SERVERS"
	case g == cluster.Causal:
		text = "CALL dbms.cluster.overview()"
	default:
		return
	}
	extra := map[string]any{"mode": "r"}
	if client.Version >= bolt.V4_0 {
		extra["db"] = "system"
	}
	_, err := client.Query(text, nil, extra)
	if f, ok := errors.AsType[*bolt.Failure](err); ok && strings.Contains(f.Code, ".Security.") {
		i.mayNotList = fmt.Errorf("%s: %w", text, err)
		if f.Code == bolt.CodeCredentialsExpired {
			i.expired, i.mayNotList = true, nil
		}
	}
}

// tryAddresses dials what members and frontends advertise and no member of the configuration has.
func (f *facts) tryAddresses(ctx context.Context) {
	var addresses []string
	for _, a := range f.strangers() {
		addresses = append(addresses, a.reach)
	}
	for _, front := range f.o.Frontends {
		addresses = append(addresses, front.Advertise...)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	errs := make([]error, len(addresses))
	var all sync.WaitGroup
	for n, address := range addresses[:min(len(addresses), 64)] {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
			defer cancel()
			conn, err := f.plain(ctx, address)
			if err == nil {
				conn.Close()
			}
			errs[n] = err
		})
	}
	all.Wait()
	for n, address := range addresses {
		f.reach[address] = errs[n]
	}
}
