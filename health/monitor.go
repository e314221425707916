package health

import (
	"context"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// Monitor checks members and publishes Views. Its methods may be called from any goroutine; Run once.
type Monitor struct {
	current   *cluster.Current
	log       *slog.Logger
	answers   chan *answer
	all       chan struct{} // room for one: CheckNow was called
	changed   chan struct{} // room for one: next holds new options
	fast      atomic.Bool   // written by Run, read by checkers
	contested contested     // the same
	heard     atomic.Pointer[[]cluster.Heard]
	news      chan struct{} // room for one: heard is another
	record    record

	mu   sync.Mutex
	next *Options // guarded by mu: what Update brought and Run has not taken yet

	// Owned by Run.
	o          *Options       // never changed, only replaced: checkers read it
	members    []*memberState // in the order of the options
	candidates []*memberState // the same; nothing of them is in the View
	checkers   sync.WaitGroup
	generation cluster.Generation
	def        string // the default database's name
	discovery  []byte
	procedures procedureTable
	tables     tables
	leaders    map[string]*leaderLog // by database: where its leader was
	watch      lookout
	verdicts   map[string]verdict // of the newest View, by database
	said       map[string]bool    // warnings already logged
	databases  map[string]string  // by database: the id that most members tell
}

// memberState is what Run knows of one member. Owned by Run.
type memberState struct {
	member    *cluster.Member
	condition cluster.Condition
	asked     time.Time // since when condition holds
	streak    streak
	silence   silence
	conduct   conduct
	since     time.Time            // of the streak's Up
	last      *answer              // the last good one; nil when the member is down or none came yet
	fresh     bool                 // the newest answer was good
	lastError string               // of the newest answer
	refuted   map[string]time.Time // by database: when a client was told that this member does not lead
	namings   namings              // whom it names as leader, and since when
	claims    map[string]time.Time // by database: since when it says that it leads; never changes once made
	servers   []cluster.Server     // that it told of last
	ownID     string               // as it said then
	id        identity
	checker   *checker
	stop      context.CancelFunc // ends the checker; nil in maint
}

// New returns a Monitor that publishes to current once Run runs. A nil log discards.
func New(o Options, current *cluster.Current, log *slog.Logger) *Monitor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Monitor{
		current: current, log: log, next: &o,
		answers: make(chan *answer), all: make(chan struct{}, 1), changed: make(chan struct{}, 1), news: make(chan struct{}, 1),
		o: new(Options), said: make(map[string]bool), watch: newLookout(), tables: newTables(), leaders: make(map[string]*leaderLog),
	}
}

// Update replaces the options, as a reload does. What is known of a member that stays, with the same name and addresses,
// is kept until its next check. Conditions (drain, maint) change this way too.
func (m *Monitor) Update(o Options) {
	m.mu.Lock()
	m.next = &o
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// CheckNow makes a check of every member due at once.
func (m *Monitor) CheckNow() {
	select {
	case m.all <- struct{}{}:
	default:
	}
}

// Run checks until ctx ends and then waits for its goroutines. It publishes a first View, with no member up, before the
// first check. It returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	m.adopt(ctx)
	defer m.checkers.Wait()
	defer m.stopCheckers()
	calm := time.NewTimer(time.Hour)
	defer calm.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-m.answers:
			m.take(a)
		case r := <-m.current.Reports():
			m.report(r)
		case <-m.changed:
			m.adopt(ctx)
		case <-m.all:
			m.wakeAll()
		case <-calm.C:
		}
		m.pace(calm)
	}
}

// adopt takes over the newest options: members that stay keep their state, checkers start anew.
func (m *Monitor) adopt(ctx context.Context) {
	m.mu.Lock()
	o := m.next
	m.next = nil
	m.mu.Unlock()
	if o == nil {
		return
	}
	m.stopCheckers()
	m.generation = regard(*o, m.generation)
	*o = o.withDefaults()
	m.o = o
	before := make(map[string]*memberState, len(m.members))
	for _, list := range [...][]*memberState{m.members, m.candidates} {
		for _, s := range list {
			before[s.member.Name] = s
		}
	}
	clear(m.said)
	known := newBook(m.o.Members, m.o.Addresses)
	m.members = m.takeOver(ctx, m.o.Members, before, known)
	m.candidates = m.takeOver(ctx, m.o.Candidates, before, known)
	m.record.keep(m.o.Members)
	m.forgetStrangers()
	m.publish()
	m.tell()
}

// takeOver makes the states of a list of members, or finds them in before, and starts their checkers.
func (m *Monitor) takeOver(ctx context.Context, members []*cluster.Member, before map[string]*memberState, known book) []*memberState {
	var states []*memberState
	for _, member := range members {
		s := before[member.Name]
		if s == nil || s.member.Bolt != member.Bolt || s.member.HTTP != member.HTTP {
			s = &memberState{asked: time.Now(), since: time.Now(), refuted: make(map[string]time.Time)}
			m.record.forget(member.Name)
		}
		s.member = member
		if asked := m.o.Conditions[member.Name]; asked != s.condition {
			s.condition, s.asked = asked, time.Now()
		}
		states = append(states, s)
		m.start(ctx, s, known)
	}
	return states
}

// regard is the generation with which new options begin: the configured one, else what was concluded before, unless that
// was a standalone server and there are several members now.
func regard(o Options, was cluster.Generation) cluster.Generation {
	switch {
	case o.Generation != cluster.UnknownGeneration:
		return o.Generation
	case was == cluster.Standalone && len(o.Members) != 1:
		return cluster.UnknownGeneration
	}
	return was
}

// start starts the member's checker, unless the operator took the member out: then nothing is known of it.
func (m *Monitor) start(ctx context.Context, s *memberState, known book) {
	if s.condition == cluster.Maint {
		if s.streak.Up {
			s.since = time.Now()
		}
		s.streak, s.silence, s.last, s.fresh, s.lastError = streak{}, silence{}, nil, false, ""
		m.record.rest(s.member.Name)
		return
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.checker = newChecker(s.member, m.o, known, &m.fast, &m.contested)
	checker := s.checker
	m.checkers.Go(func() {
		checker.run(ctx, func(a *answer) {
			select {
			case m.answers <- a:
			case <-ctx.Done():
			}
		})
	})
}

// stopCheckers tells all checkers to end, without waiting: what they still deliver is dropped with their context.
func (m *Monitor) stopCheckers() {
	for _, s := range slices.Concat(m.members, m.candidates) {
		if s.stop != nil {
			s.stop()
			s.stop, s.checker = nil, nil
		}
	}
}

func (m *Monitor) wakeAll() {
	for _, s := range m.members {
		if s.checker != nil {
			s.checker.wakeUp()
		}
	}
}

func (m *Monitor) state(name string) *memberState {
	for _, s := range m.members {
		if s.member.Name == name {
			return s
		}
	}
	return nil
}

// take folds one answer into its member's state and publishes what follows.
func (m *Monitor) take(a *answer) {
	defer m.tell()
	if s := m.candidate(a); s != nil {
		s.add(a, m.o)
		return
	}
	s := m.state(a.member)
	if s == nil || s.checker != a.from {
		return // of a checker that was stopped
	}
	was := s.streak.Up
	s.add(a, m.o)
	m.record.note(a, m.o.Method, was, s.streak.Up)
	m.observe(s, a, was)
	if a.err != nil {
		m.log.Debug("check failed", "member", a.member, "error", a.err)
	}
	m.learn(a)
	if s.last == a {
		m.logLeader(a, m.roles()[a.member])
	}
	m.watch.answered(a, s.streak.Up)
	m.publish()
	if was && a.err != nil {
		m.suspect(a.member)
	}
}

// candidate is the candidate whom a is of; nil when it is of none.
func (m *Monitor) candidate(a *answer) *memberState {
	for _, s := range m.candidates {
		if s.checker == a.from {
			return s
		}
	}
	return nil
}

// add adds an answer to what is known of its member.
func (s *memberState) add(a *answer, o *Options) {
	was := s.streak.Up
	s.streak, s.silence = fold(s.streak, a.err == nil, o.Rise, o.Fall), s.silence.after(a)
	if s.streak.Up != was {
		s.since = time.Now()
	}
	s.fresh, s.lastError = a.err == nil, ""
	if a.identity != nil {
		s.id = *a.identity
	}
	if a.err != nil {
		s.lastError = ephemeral.ReplaceAllString(a.err.Error(), "")
	} else {
		s.last = a
		s.namings, s.claims = s.namings.after(a), claimsAfter(s.claims, a)
		maps.DeleteFunc(s.refuted, func(_ string, at time.Time) bool { return a.started.After(at) })
	}
	if !s.streak.Up {
		s.last, s.namings, s.claims = nil, nil, nil
		clear(s.refuted)
	}
	s.keepPeers(a)
}

// ephemeral is our own side of a connection in Go's network errors: it differs each time and says nothing.
var ephemeral = regexp.MustCompile(`\S+:\d+->`)

// learn keeps what an answer told of the cluster as a whole.
func (m *Monitor) learn(a *answer) {
	if a.discovery != nil {
		m.discovery = a.discovery
	}
	m.def = orElse(a.def, m.def)
	m.conclude(a.member)
	m.complain(a)
}

// conclude finds out the generation from what all members show. member brought the newest evidence.
func (m *Monitor) conclude(member string) {
	var evidence []cluster.Generation
	for _, s := range m.members {
		if s.last != nil {
			evidence = append(evidence, orElse(s.last.evidence, m.tableEvidence(s.member.Name)))
		}
	}
	was := m.generation
	m.generation = conclude(m.o.Generation, was, evidence, len(m.members))
	if m.generation != was {
		m.log.Info("generation found out", "generation", m.generation, "from", was, "member", member)
	}
}

// warn logs once, until the next reload, for each kind of trouble and what it is about.
func (m *Monitor) warn(kind, about, message string, args ...any) {
	if key := kind + " " + about; !m.said[key] {
		m.said[key] = true
		m.log.Warn(message, args...)
	}
}

// complain warns of what keeps an answer from being of use, once for each member and reason.
func (m *Monitor) complain(a *answer) {
	if a.err != nil {
		return
	}
	settled := m.state(a.member).streak.Good >= settledAfter
	if settled && m.generation != cluster.Standalone {
		m.complainOfStrangers(a.member, a.addresses)
	}
	switch {
	case a.denied != "" && m.generation != cluster.Standalone:
		about := a.member
		if m.o.User == "" {
			about = "all" // one setting is missing, not one for each member
		}
		m.warn("denied", about, "roles unknown: "+m.o.missing(), "member", a.member, "refusal", a.denied)
	case settled && !agrees(m.generation, a.evidence) && m.generation != cluster.UnknownGeneration:
		m.warn("kind", a.member, "the member is of another generation than the cluster; its role is not used",
			"member", a.member, "generation", m.generation, "member's", a.evidence)
	case m.generation == cluster.UnknownGeneration && a.evidence == cluster.Standalone:
		m.warn("alone", a.member, "the member belongs to no cluster, but several members are listed: list it alone, or set cluster.generation", "member", a.member)
	case m.generation == cluster.UnknownGeneration && a.evidence == cluster.UnknownGeneration:
		m.warn("silent", a.member, "the member does not show which kind of cluster it belongs to: set cluster.generation", "member", a.member)
	}
}

// settledAfter is how many good answers in a row a member gives before others have had the time to give theirs: to say which
// kind of cluster it is, and which addresses are their own.
const settledAfter = 3

// complainOfStrangers warns of advertised addresses that belong to no member.
func (m *Monitor) complainOfStrangers(member string, addresses []string) {
	if len(addresses) == 0 {
		return
	}
	known := m.addressBook()
	for _, address := range addresses {
		if known.member(address) == "" {
			m.warn("stranger", address, "an advertised address is no member's: list that member, or map the address in cluster.addresses",
				"address", address, "told by", member)
		}
	}
}
