package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
	"github.com/boltgate/boltgate/test/seeds"
)

// This file cuts clusters in two under busy sessions, by seeds: for a while two members say that they lead.
//
//	BOLTGATE_SEEDS=1000 go test -run TestNoWriteAtAStaleLeader ./proxy     as many seeds, from 0 on
//	BOLTGATE_SEEDS=17-17 go test -run TestNoWriteAtAStaleLeader ./proxy    one seed

// foundOut is how long the gate may take to find out who leads: an interval, and what fast checks add. The old leader claims for
// 1 to 2 s longer, so that a gate which believed it would be seen.
const (
	checked  = 100 * time.Millisecond
	foundOut = 3 * checked
)

// divided is a cluster that is cut in two again and again.
type divided struct {
	*application
	random *rand.Rand

	mu      sync.Mutex
	leader  string // that can commit; guarded by mu
	since   time.Time
	both    int // writes that arrived while two claimed
	thawed  map[string]time.Time
	members int
}

// elected notes each change of leader.
func (d *divided) elected(e standin.Election) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.DB == "neo4j" {
		d.leader, d.since = e.Leader, e.At
	}
}

// arrives holds every write to the rule: none comes to a member that lost its leadership longer ago than it takes to find out. One that
// was sent to a member which was frozen then is carried out, and refused, when it thaws.
func (d *divided) arrives(q standin.Query) {
	d.ran(q)
	if !strings.HasPrefix(q.Text, "CREATE") {
		return
	}
	claimants := 0
	for _, m := range d.g.cluster.Members() {
		if d.g.cluster.Role("", m.Name) == cluster.Leader {
			claimants++
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if claimants > 1 {
		d.both++
	}
	stale := d.leader != "" && q.Member != d.leader && time.Since(d.since) > foundOut
	if stale && d.g.cluster.Leader("") == d.leader && time.Since(d.thawed[q.Member]) > foundOut {
		d.note(fmt.Errorf("%v came to %s %v after %s was elected", q.Mark, q.Member, time.Since(d.since), d.leader))
	}
}

// TestNoWriteAtAStaleLeader: whoever says what, in a cluster that is cut in two no write goes to the leader of the smaller part once
// the others have another, none that was acknowledged is lost, and every answer is its client's own.
func TestNoWriteAtAStaleLeader(t *testing.T) {
	from, to := seeds.Range(t, 24)
	both := 0
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { both += partitions(t, seed) })
		})
	}
	if from != to && both == 0 {
		t.Error("not one write came while two members claimed to lead: this has shown little")
	}
	t.Logf("%d writes came while two members claimed to lead", both)
}

// kinds are clusters whose members show whom they follow each in their own way.
var kinds = []standin.Options{
	{Generation: cluster.Autonomous, ServerVersion: "5.26.30"}, {Generation: cluster.Autonomous, ServerVersion: "5.13.0"},
	{Generation: cluster.Causal, ServerVersion: "4.4.48"},
}

func partitions(t *testing.T, seed int64) (both int) {
	d := &divided{random: rand.New(rand.NewPCG(uint64(seed), 0x64697669)), thawed: map[string]time.Time{}}
	d.application = &application{rude: true, version: map[string]bolt.Version{}, done: map[string]bool{}, never: map[string]bool{}}
	o := kinds[seed%int64(len(kinds))]
	o.Seed, o.ElectionTime, o.OnQuery, o.OnElection = seed, 4*time.Second, d.arrives, d.elected
	o.Members = 3 + 2*d.random.IntN(2)
	d.members = o.Members
	d.g = startGate(t, gateOptions{network: memnet.New(seed), standin: o, health: func(h *health.Options) { h.Interval = checked }})
	d.mu.Lock()
	if d.leader == "" {
		d.leader, d.since = d.g.cluster.Leader(""), time.Now()
	}
	d.mu.Unlock()
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 8 {
		c := &caller{application: d.application, name: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(uint64(seed), uint64(i)))}
		callers.Go(func() { c.work(ctx) })
	}
	for range 4 {
		time.Sleep(time.Duration(1000+d.random.IntN(2000)) * time.Millisecond)
		d.trouble()
		time.Sleep(time.Duration(1000+d.random.IntN(9000)) * time.Millisecond)
		d.heal()
	}
	time.Sleep(5 * time.Second)
	stop()
	callers.Wait()
	d.verify()
	return d.both
}

// trouble cuts the leader off, alone or with another, or any member; at times we do not reach one of them either.
func (d *divided) trouble() {
	name := func() string { return fmt.Sprint("s", 1+d.random.IntN(d.members)) }
	side := []string{d.g.cluster.Leader("")}
	if side[0] == "" || d.random.IntN(4) == 0 {
		side[0] = name()
	}
	if other := name(); d.members == 5 && other != side[0] && d.random.IntN(2) == 0 {
		side = append(side, other)
	}
	switch d.random.IntN(4) {
	case 0:
		d.g.cluster.Freeze(side[0])
	default:
		d.g.cluster.Partition(side...)
	}
	if d.random.IntN(3) == 0 {
		d.hide(name(), true)
	}
}

// hide makes a member unreachable for the gate alone.
func (d *divided) hide(name string, on bool) {
	for _, m := range d.g.cluster.Members() {
		for _, from := range []string{"gate", "checks"} {
			for _, address := range []string{m.Bolt, m.HTTP} {
				if link := d.g.network.Link(from, address); m.Name == name {
					link.Refuse(on)
					if on {
						link.Cut()
					}
				}
			}
		}
	}
}

func (d *divided) heal() {
	d.g.cluster.Heal()
	for _, m := range d.g.cluster.Members() {
		d.mu.Lock()
		d.thawed[m.Name] = time.Now()
		d.mu.Unlock()
		d.g.cluster.Thaw(m.Name)
		d.hide(m.Name, false)
	}
}
