// Package discovery finds members by DNS: the addresses behind names, and SRV records, asked for again when their TTL ends; and it
// learns them from members, which tell checks of each other (learn.go).
//
// An answer that is missing or wrong takes no member away: a name that stops resolving keeps its last answer until it resolves
// again. Whoever asks is a Finder, with one goroutine a name; what follows from answers is decided in pure functions (members.go).
package discovery

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// Options say which names stand for members. The zero Options find nobody.
type Options struct {
	Hosts    []Host
	Services []Service
	Lookup   func(context.Context, Question) (Answer, error) // nil means new(Resolver).Lookup
}

// Bounds of the time between two questions for one name: between answers it is their TTL; after a failure it begins with
// minRetry and doubles.
const (
	minTTL   = time.Second
	maxTTL   = 5 * time.Minute
	minRetry = time.Second
	maxRetry = 30 * time.Second
)

// Finder asks for names and keeps their answers. Its methods may be called from any goroutine; Run once.
type Finder struct {
	log     *slog.Logger
	changed chan struct{} // room for one: members are others
	updated chan struct{} // room for one: o is another

	mu      sync.Mutex // guards all below; not held while asking
	o       Options
	before  Options           // names that o has not any more; their answers count as long as pending is not empty
	pending map[Question]bool // names that came with a reload and have no answer yet
	names   map[Question]*name
	members []*cluster.Member
}

// name is what is known of one name. Guarded by the Finder's mu.
type name struct {
	records  []Record           // of the last good answer; nil before the first
	tried    bool               // there was an answer, or a failure
	failures int                // since the last good answer
	stop     context.CancelFunc // ends its goroutine; nil before Run started it, and when it is not wanted any more
}

// New returns a Finder that asks once Run runs. A nil log discards.
func New(o Options, log *slog.Logger) *Finder {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Finder{log: log, changed: make(chan struct{}, 1), updated: make(chan struct{}, 1), names: make(map[Question]*name), pending: make(map[Question]bool)}
	f.Update(o)
	return f
}

// Members are those that the last good answers tell of, the ones with the lowest priority first, then by name. They do not
// change; another answer makes another list.
func (f *Finder) Members() []*cluster.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members
}

// Changed receives after Members has become another list. The first list is made when every name has been asked for once.
func (f *Finder) Changed() <-chan struct{} { return f.changed }

// Update replaces the options, as a reload does. Answers to names that stay are kept; those to names that go count until
// every new name has an answer, so that a mistake in a name costs no member.
func (f *Finder) Update(o Options) {
	if o.Lookup == nil {
		o.Lookup = new(Resolver).Lookup
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.before.questions()) == 0 {
		clear(f.pending) // what did not resolve before holds nothing up
	}
	f.before = Options{Hosts: slices.Concat(f.o.Hosts, f.before.Hosts), Services: slices.Concat(f.o.Services, f.before.Services)}
	f.before.drop(o.questions())
	f.o = o
	wanted := o.questions()
	maps.DeleteFunc(f.pending, func(q Question, _ bool) bool { return !slices.Contains(wanted, q) })
	for _, q := range wanted {
		if f.names[q] == nil {
			f.names[q], f.pending[q] = new(name), true
		}
	}
	f.settle()
	notify(f.updated)
}

// Run asks until ctx ends and then waits for its goroutines.
func (f *Finder) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		f.start(ctx, &asking)
		select {
		case <-ctx.Done():
			return
		case <-f.updated:
		}
	}
}

// start starts a goroutine for each name that has none and ends those of names that are not asked for any more.
func (f *Finder) start(ctx context.Context, asking *sync.WaitGroup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := f.o.questions()
	for q, n := range f.names {
		switch {
		case !slices.Contains(wanted, q) && n.stop != nil:
			n.stop()
			n.stop = nil
		case slices.Contains(wanted, q) && n.stop == nil:
			var its context.Context
			its, n.stop = context.WithCancel(ctx)
			asking.Go(func() { f.follow(its, q) })
		}
	}
}

// follow asks for one name until ctx ends.
func (f *Finder) follow(ctx context.Context, q Question) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		f.mu.Lock()
		lookup := f.o.Lookup
		f.mu.Unlock()
		a, err := lookup(ctx, q)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(f.take(q, a, err))
	}
}

// take keeps an answer, or the one before when there is none, and tells when to ask again.
func (f *Finder) take(q Question, a Answer, err error) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[q]
	if n == nil {
		return maxRetry // forgotten while it was asked for; its context ends
	}
	n.tried = true
	if err != nil {
		wait = f.failed(q, n, err)
	} else {
		if n.failures > 0 {
			f.log.Info("a name resolves again", "name", q.Name, "failures", n.failures)
		}
		n.records, n.failures = a.Records, 0
		delete(f.pending, q)
		wait = min(max(a.TTL, minTTL), maxTTL)
	}
	f.settle()
	return wait
}

// failed counts a failure, says so if it is the first, and tells when to try again.
func (f *Finder) failed(q Question, n *name, err error) time.Duration {
	switch n.failures++; {
	case n.failures > 1:
	case n.records != nil:
		f.log.Warn("a name does not resolve; its last answer stays in force", "name", q.Name, "records", len(n.records), "error", err)
	default:
		f.log.Warn("a name does not resolve; it brings no members until it does", "name", q.Name, "error", err)
	}
	return min(minRetry<<min(n.failures-1, 10), maxRetry)
}

// settle makes the list of members anew. The caller holds mu.
func (f *Finder) settle() {
	if len(f.pending) == 0 {
		f.forget()
	}
	answers := make(map[Question][]Record, len(f.names))
	for q, n := range f.names {
		answers[q] = n.records
	}
	if slices.ContainsFunc(f.o.questions(), func(q Question) bool { return !f.names[q].tried }) {
		return
	}
	members := fold(slices.Concat(f.o.Hosts, f.before.Hosts), slices.Concat(f.o.Services, f.before.Services), answers)
	if slices.ContainsFunc(f.o.Services, func(s Service) bool { return s.HTTP }) {
		keepHTTP(members, f.members)
	}
	if slices.EqualFunc(members, f.members, same) {
		return
	}
	f.log.Info("members discovered", changes(f.members, members)...)
	f.members = members
	notify(f.changed)
}

// forget drops what the names before told. The caller holds mu.
func (f *Finder) forget() {
	f.before = Options{}
	wanted := f.o.questions()
	for q, n := range f.names {
		if slices.Contains(wanted, q) {
			continue
		}
		if n.stop != nil {
			n.stop()
		}
		delete(f.names, q)
	}
}

// changes says for the log what becomes of a list of members.
func changes(were, members []*cluster.Member) []any {
	args := []any{"members", len(members)}
	for _, change := range []struct {
		key string
		got []string
	}{{"came", missing(were, members)}, {"left", missing(members, were)}} {
		if len(change.got) > 0 {
			args = append(args, change.key, change.got)
		}
	}
	return args
}

// missing names those of b that a has not.
func missing(a, b []*cluster.Member) (names []string) {
	for _, m := range b {
		if !slices.ContainsFunc(a, func(o *cluster.Member) bool { return o.Name == m.Name }) {
			names = append(names, m.Name)
		}
	}
	return names
}

func same(a, b *cluster.Member) bool {
	return a.Name == b.Name && a.Bolt == b.Bolt && a.HTTP == b.HTTP && a.Weight == b.Weight && slices.Equal(a.Tags, b.Tags)
}

// questions are what o asks, each once.
func (o *Options) questions() []Question {
	var all []Question
	add := func(q Question) {
		if !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	for _, h := range o.Hosts {
		add(Question{h.Name, Addresses})
	}
	for _, s := range o.Services {
		add(Question{s.Name, Services})
	}
	return all
}

// drop takes names out.
func (o *Options) drop(names []Question) {
	o.Hosts = slices.DeleteFunc(o.Hosts, func(h Host) bool { return slices.Contains(names, Question{h.Name, Addresses}) })
	o.Services = slices.DeleteFunc(o.Services, func(s Service) bool { return slices.Contains(names, Question{s.Name, Services}) })
}

// notify puts a token into a channel with room for one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
