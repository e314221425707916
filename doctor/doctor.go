// Package doctor looks at a configuration and the live cluster behind it, and names the mistakes that people really make.
//
// It changes nothing. It asks members what health asks them, with health's own Monitor, and a few questions more (interview.go: the clock, who may
// log in, what the user of the checks may see; certs.go: certificates); what follows from the answers is decided in pure functions (findings.go,
// cluster.go). No password is shown.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
)

// Level is how bad a Finding is.
type Level string

// The levels. An Error is what clients feel, now or at the next failure.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// Finding is one thing that is wrong.
type Finding struct {
	Level  Level  `json:"level"`
	Code   string `json:"code"`             // stable, for programs: docs/doctor.md lists them
	Member string `json:"member,omitempty"` // what it is about, where it is a member
	Where  string `json:"where,omitempty"`  // file:line:column of the setting
	Key    string `json:"key,omitempty"`    // that setting
	What   string `json:"what"`
	Do     string `json:"do"`
}

// Options are a configuration, as far as it can be wrong. Health must have members.
type Options struct {
	Health    health.Options
	Frontends []Frontend
	Users     []User                  // of the operator's side
	Certs     []string                // PEM files of the operator's side
	Within    time.Duration           // for the checks to come to an end; 0 means 5s
	Timeout   time.Duration           // for each further question; 0 means 2s
	Guess     bool                    // try the password that Neo4j is installed with
	Where     func(key string) string // nil: no file
	Now       func() time.Time        // nil means time.Now
}

// Frontend is what of a frontend can be wrong.
type Frontend struct {
	Name      string
	Advertise []string // host:port
	Certs     []string // PEM files
}

// User may log in on the operator's side.
type User struct{ Name, Hash string }

// Report is what was found, the worst first.
type Report struct {
	Findings   []Finding      `json:"findings"`
	Members    []MemberReport `json:"members"`
	Generation string         `json:"generation"`
}

// MemberReport is what a member is like, for whoever reads that nothing is wrong.
type MemberReport struct {
	Name    string `json:"name"`
	Up      bool   `json:"up"`
	Version string `json:"version"`
	Leads   bool   `json:"leads"` // some database
}

// Failed tells whether anything found is an Error.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Error })
}

// facts are all that was seen.
type facts struct {
	o       *Options
	view    *cluster.View
	heard   []cluster.Heard
	said    []saying // health's warnings
	members []*interview
	reach   map[string]error // addresses that members, or frontends, advertise
	now     time.Time
}

// Examine looks once. It takes at most Within and a few times Timeout.
func Examine(ctx context.Context, o Options) *Report {
	o.Within, o.Timeout = cmp.Or(o.Within, 5*time.Second), cmp.Or(o.Timeout, 2*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Where == nil {
		o.Where = func(string) string { return "" }
	}
	f := &facts{o: &o, now: o.Now(), reach: map[string]error{}}
	f.check(ctx)
	f.interviewAll(ctx)
	f.tryAddresses(ctx)
	r := &Report{Findings: []Finding{}, Generation: f.view.Generation.String()}
	for _, find := range finders {
		for _, one := range find(f) {
			one.Where = o.Where(one.Key)
			r.Findings = append(r.Findings, one)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Level, b.Level) })
	for _, s := range f.view.Members {
		leads := slices.ContainsFunc(databases(f.view), func(db string) bool { return s.Role(db) == cluster.Leader })
		r.Members = append(r.Members, MemberReport{s.Name, s.Up, s.Agent, leads})
	}
	return r
}

// saying is a warning of health's.
type saying struct {
	text   string
	fields map[string]string
}

// collector is a log handler that keeps warnings.
type collector struct {
	mu   sync.Mutex
	said []saying // guarded by mu
}

func (c *collector) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (c *collector) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *collector) WithGroup(string) slog.Handler                { return c }

func (c *collector) Handle(_ context.Context, r slog.Record) error {
	s := saying{r.Message, map[string]string{}}
	r.Attrs(func(a slog.Attr) bool {
		s.fields[a.Key] = fmt.Sprint(a.Value.Resolve().Any())
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, s)
	return nil
}

// checksInOrder is how many good checks a member gives before what it tells of others is believed.
const checksInOrder = 3

// check runs the daemon's own checks until they have told all that they will, or Within is over.
func (f *facts) check(ctx context.Context) {
	ho := f.o.Health
	ho.Learn, ho.Interval, ho.FastInterval = true, 300*time.Millisecond, 100*time.Millisecond
	current, heard := new(cluster.Current), new(collector)
	monitor := health.New(ho, current, slog.New(heard))
	ctx, cancel := context.WithCancel(ctx) // without a deadline, which would make bad answers of the checks that it ends
	defer cancel()
	over := time.After(f.o.Within)
	var running sync.WaitGroup
	running.Go(func() { monitor.Run(ctx) }) //nolint:errcheck // it ends with its context
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && !settled(current.View(), monitor.Heard()); {
		select {
		case <-look.C:
		case <-over:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	f.view, f.heard = current.View(), monitor.Heard()
	cancel()
	running.Wait()
	f.said = heard.said
}

// settled tells whether nothing more is to be expected soon: everybody is up and has told.
func settled(v *cluster.View, heard []cluster.Heard) bool {
	if v.Generation == cluster.UnknownGeneration || len(heard) == 0 {
		return false
	}
	for _, h := range heard {
		if !h.Up || h.Good < checksInOrder || h.Servers == nil && v.Generation != cluster.Standalone {
			return false
		}
	}
	return v.Leader("") != nil
}

// databases are those for which any member has a role; AnyDatabase alone where roles are the member's.
func databases(v *cluster.View) []string {
	seen := map[string]bool{}
	for _, s := range v.Members {
		for db := range s.Roles {
			seen[db] = true
		}
	}
	var all []string
	for db := range seen {
		all = append(all, db)
	}
	slices.Sort(all)
	return all
}
