// Package admin is the operator's side: the HTTP API, probes, metrics and the stats page, on addresses of their own. It reads
// what the other packages publish and asks a Control for what an operator wants changed; nothing on the path of a query
// waits for it.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/backup"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/querystats"
)

// Options are what a reload may change. The zero value listens nowhere.
type Options struct {
	Bind         string // host:port; "" none
	Optional     bool   // Bind is only the default: when it is taken, the gate runs without and goes on trying
	Probes       string // host:port that answers probes alone; "" none
	MetricsLogin bool   // /metrics asks for a login
	Users        []User
	Tokens       []Token
	TLS          *tls.Config // on Bind; nil: plain
	Webhooks     []Webhook
}

// User may log in by Basic, and on the page.
type User struct {
	Name string
	Role Role
	Hash string // bcrypt, of the password
}

// Token is a program's login, sent as Authorization: Bearer.
type Token struct {
	Name  string
	Role  Role
	Token string
}

// Role is what somebody may do.
type Role uint8

// The roles: nothing, see, also act.
const (
	Nobody Role = iota
	Viewer
	Operator
)

// String is the role as the configuration names it.
func (r Role) String() string { return [...]string{"nobody", "viewer", "operator"}[r] }

// Gate is what *proxy.Server shows of clients and their work.
type Gate interface {
	Transactions(*cluster.Member) int
	Frontends() map[string]proxy.FrontendStats
	Counts() proxy.Counts
	Clients() []proxy.Client
	Kill(id string) bool
	Queries() *querystats.Table
	SlowQueries() []proxy.SlowQuery
}

// Pools is what *pool.Set shows.
type Pools interface {
	Stats(member string) pool.Stats
	Counters(member string) pool.Counters
	Slots(*cluster.Member) int
}

// Monitor is what *health.Monitor shows.
type Monitor interface {
	Checks(member string) health.Checks
}

var (
	_ Gate    = (*proxy.Server)(nil)
	_ Pools   = (*pool.Set)(nil)
	_ Monitor = (*health.Monitor)(nil)
)

// Control carries out what an operator asked. Its methods are called from any goroutine, and return when the change is in
// force: new work goes by it. Errors: ErrNoMember, a *Refusal, or what went wrong.
type Control interface {
	SetCondition(ctx context.Context, member string, to cluster.Condition, force bool) error
	SetWeight(ctx context.Context, member string, weight int) error
	Reload(ctx context.Context) error
	PreviewReload(ctx context.Context) (changes []string, err error) // what Reload would change, a line a key; it changes nothing
}

// ErrNoMember says that no member has this name.
var ErrNoMember = errors.New("no member has this name")

var errNoSession = errors.New("no client has this session")

// Refusal is a change that was not made, and why; for people.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return r.Why }

// World is what the operator's side shows and acts on. All fields but Certificates and Backups must be set.
type World struct {
	Current *cluster.Current
	Monitor Monitor
	Pools   Pools
	Gate    Gate
	Control Control
	Events  *Events
	Log     *slog.Logger
	Version string

	Certificates func() map[string]time.Time // when those of our own end, by what they are of; the zero time: it cannot be read. Asked every few seconds
	Backups      func() []backup.State       // of the jobs that are watched, by name
}

// Server serves the operator's side. Its methods may be called from any goroutine.
type Server struct {
	world   World
	started time.Time
	state   atomic.Pointer[state]
	ending  atomic.Bool // readyz says so
	guard   guard
	sampler sampler
	history history
	alarms  *alarms
	all     http.Handler
	probes  http.Handler

	// Listen opens a listener; nil means net.Listen. Set before Apply.
	Listen func(network, address string) (net.Listener, error)

	mu    sync.Mutex
	here  *binding // guarded by mu; nil: there is none
	apart *binding // guarded by mu; nil: there is none
	hooks webhooks // guarded by mu
}

// state is what follows from one Options; it never changes.
type state struct {
	Options
	logins map[string]User    // by name
	tokens map[[32]byte]Token // by SHA-256, so that a look-up tells nothing of the token
}

func (s *state) open() bool { return len(s.logins)+len(s.tokens) == 0 }

// New returns a Server that listens nowhere, and tells alarms; Apply changes that, and Close ends both.
func New(w World) *Server {
	if w.Certificates == nil {
		w.Certificates = func() map[string]time.Time { return nil }
	}
	if w.Backups == nil {
		w.Backups = func() []backup.State { return nil }
	}
	s := &Server{world: w, started: time.Now(), Listen: net.Listen}
	s.state.Store(new(state))
	s.guard.init()
	s.sampler.read = s.sample
	s.all, s.probes = s.routes(), s.probeRoutes()
	s.hooks = newWebhooks(w.Events, w.Log)
	s.keepHistory()
	s.alarms = watchAlarms(w)
	return s
}

// Apply puts options in force, or nothing of them: an address that cannot be listened on is an error, and everything is as
// before.
func (s *Server) Apply(o Options) error {
	next := &state{Options: o, logins: map[string]User{}, tokens: map[[32]byte]Token{}}
	for _, u := range o.Users {
		next.logins[u.Name] = u
	}
	for _, t := range o.Tokens {
		next.tokens[tokenKey(t.Token)] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	probe, err := s.rebind(s.apart, bindTo{where: o.Probes}, s.probes)
	if err != nil {
		return fmt.Errorf("admin.probes: %w", err)
	}
	main, err := s.rebind(s.here, bindTo{o.Bind, o.Optional}, s.all)
	if err != nil {
		if probe != s.apart {
			probe.close()
		}
		return fmt.Errorf("admin.bind: %w", err)
	}
	s.replace(&s.apart, probe) // an address never serves by logins that were made for another
	s.replace(&s.here, main)
	s.state.Store(next)
	s.guard.forget()
	s.start(probe)
	s.start(main)
	s.hooks.apply(o.Webhooks)
	return nil
}

// replace puts next in the place of a binding, which ends. The caller holds mu.
func (s *Server) replace(at **binding, next *binding) {
	if old := *at; old != nil && old != next {
		old.close()
	}
	*at = next
}

// Ending makes /readyz say no: other balancers look elsewhere.
func (s *Server) Ending() { s.ending.Store(true) }

// Address is where the API listens; nil while it does not. For tests, which bind port 0.
func (s *Server) Address() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.here.address()
}

// ProbesAddress is the same of the address for probes.
func (s *Server) ProbesAddress() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apart.address()
}

// Close closes every listener and connection.
func (s *Server) Close() {
	s.history.stop()
	s.alarms.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(&s.here, nil)
	s.replace(&s.apart, nil)
	s.hooks.close()
}
