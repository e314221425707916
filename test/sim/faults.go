package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/boltgate/boltgate/test/memnet"
)

// faultKind is what goes wrong for a while.
type faultKind uint8

const (
	crash     faultKind = iota // kill -9, and a restart at the end
	freeze                     // SIGSTOP
	partition                  // members hear only their own side
	elect                      // another member leads, in good order
	refuse                     // the gate is refused and its connections cut; members hear each other
	silence                    // a half-open link: bytes wait, in one direction or both
	vanish                     // connections that are open lose every byte from now on, until keepalives find out
	slow                       // a slow link
	lag                        // a member that is behind
	cut                        // every connection to a member breaks
	faultKinds
	babble // new connections turn to garbage, those of checks too or not; drawn apart
)

func (k faultKind) String() string {
	return [...]string{"crash", "freeze", "partition", "elect", "refuse", "silence", "vanish", "slow", "lag", "cut", "", "garbage"}[k]
}

// fault is one planned fault.
type fault struct {
	at, lasts time.Duration
	kind      faultKind
	member    string // "": whoever leads the database then
	db        string
	with      string // a second member of a partition's side; or ""
	up, down  bool   // silence
	delay     time.Duration
}

func (f fault) String() string {
	return fmt.Sprintf("%v of %q (%s %s) for %v up=%v down=%v delay=%v", f.kind, f.member, f.db, f.with, f.lasts, f.up, f.down, f.delay)
}

// drawFaults draws a few faults over the plan's length; they may overlap.
func (p *plan) drawFaults(r *rand.Rand) {
	names := p.members()
	for range 2 + r.IntN(5) {
		f := fault{at: between(r, time.Second, p.length), kind: faultKind(r.IntN(int(faultKinds))), db: p.databases[r.IntN(len(p.databases))]}
		f.lasts = between(r, 10*time.Millisecond, 8*time.Second)
		if r.IntN(2) == 0 {
			f.member = names[r.IntN(len(names))]
		}
		if r.IntN(2) == 0 {
			f.with = names[r.IntN(len(names))]
		}
		f.up, f.down = r.IntN(2) == 0, r.IntN(2) == 0
		if !f.up {
			f.down = true
		}
		f.delay = between(r, 5*time.Millisecond, 700*time.Millisecond)
		p.faults = append(p.faults, f)
	}
}

// suffer lets a fault come and go.
func (w *world) suffer(f fault) {
	time.Sleep(f.at)
	if f.member == "" {
		if f.member = w.cluster.Leader(f.db); f.member == "" {
			f.member = "s1"
		}
	}
	w.history.note("fault begins: %v", f)
	w.begin(f)
	time.Sleep(f.lasts)
	w.end(f)
	w.history.note("fault ends: %v", f)
}

func (w *world) begin(f fault) {
	switch f.kind {
	case crash:
		w.kill(f.member)
	case freeze:
		w.cluster.Freeze(f.member) //nolint:errcheck // the name is right
	case partition:
		side := []string{f.member}
		if f.with != "" && f.with != f.member && w.plan.cluster.Members > 3 {
			side = append(side, f.with)
		}
		w.cluster.Partition(side...) //nolint:errcheck // the names are right
	case elect:
		w.move(f.db, f.member)
	case refuse:
		w.links(f.member, func(l *memnet.Link) { l.Refuse(true); l.Cut() })
	case silence:
		w.links(f.member, func(l *memnet.Link) { l.Silence(f.up, f.down) })
	case vanish:
		w.links(f.member, func(l *memnet.Link) { l.Vanish(f.lasts) })
	case slow:
		slow := memnet.Weather{Least: f.delay / 4, Most: f.delay, Split: w.plan.weather.Split}
		w.links(f.member, func(l *memnet.Link) { l.Weather(slow) })
	case lag:
		w.cluster.SetLag(f.member, 20*f.delay) //nolint:errcheck // the name is right
	case cut:
		w.links(f.member, (*memnet.Link).Cut)
	case babble:
		w.babblers.add(f.member, 1)
		if f.down {
			w.babblers.add(f.member+" checks", 1)
		}
	}
}

func (w *world) end(f fault) {
	switch f.kind {
	case crash:
		w.restart(f.member)
	case freeze:
		w.cluster.Thaw(f.member) //nolint:errcheck // the name is right
	case partition:
		w.cluster.Heal()
	case refuse:
		w.links(f.member, func(l *memnet.Link) { l.Refuse(false) })
	case silence:
		w.links(f.member, func(l *memnet.Link) { l.Silence(false, false) })
	case slow:
		w.links(f.member, func(l *memnet.Link) { l.Weather(w.plan.weather) })
	case lag:
		w.cluster.SetLag(f.member, w.plan.cluster.Lag) //nolint:errcheck // the name is right
	case babble:
		w.babblers.add(f.member, -1)
		if f.down {
			w.babblers.add(f.member+" checks", -1)
		}
	}
}

// kill and restart may be asked for by several faults at once.
func (w *world) kill(member string) {
	w.lives.Lock()
	defer w.lives.Unlock()
	if w.cluster.Alive(member) {
		w.cluster.Kill(member) //nolint:errcheck // the name is right
	}
}

func (w *world) restart(member string) {
	w.lives.Lock()
	defer w.lives.Unlock()
	if w.cluster.Alive(member) {
		return
	}
	if err := w.cluster.Restart(member); err != nil {
		w.history.wrong(ruleVisible, "", "the simulator itself: %v", err)
	}
}

// move makes another voter than from lead db, where it can.
func (w *world) move(db, from string) {
	for _, name := range w.plan.members() {
		if name != from && strings.HasPrefix(name, "s") && w.cluster.Elect(db, name) == nil {
			return
		}
	}
}

// links does something to every link between the gate and a member.
func (w *world) links(member string, do func(*memnet.Link)) {
	for i := range w.gates {
		for _, from := range [...]string{nameOf(gateHost, i), nameOf(checksHost, i)} {
			for _, address := range [...]string{member + boltPort, member + httpPort} {
				do(w.network.Link(from, address))
			}
		}
	}
}
