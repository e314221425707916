package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// plan is what a seed draws before anything runs. It does not depend on the run.
type plan struct {
	seed       int64
	cluster    standin.Options
	versions   []bolt.Version // that clients may choose from
	databases  []string       // "" is not among them
	users      []string
	causality  proxy.Causality
	weather    memnet.Weather // on every link
	perMember  int            // connections of the pool
	clients    int
	webClients int  // over HTTP
	gates      int  // 1 or 2
	garbage    bool // members' answers may become garbage
	queryAPI   bool // members have it
	split      bool // its only faults are partitions, and checks are quick: who leads is always known soon
	checkEvery time.Duration
	length     time.Duration // how long clients begin units of work
	faults     []fault
}

// The limits that every world has. They are those of the configuration's defaults.
const (
	hold            = 20 * time.Second
	queueTime       = 10 * time.Second
	maxTries        = 8
	splitCheckEvery = 100 * time.Millisecond
	fastEvery       = 200 * time.Millisecond
	checkTimeout    = time.Second
	txIdle          = 10 * time.Second // of transactions over HTTP; members' default is longer
)

// release is a kind of cluster, and what its clients speak.
type release struct {
	generation cluster.Generation
	server     string
	versions   []bolt.Version
	queryAPI   bool
}

var releases = []release{
	{cluster.Autonomous, "5.26.30", []bolt.Version{bolt.V5_8, bolt.V5_4, bolt.V5_0, bolt.V4_4}, true},
	{cluster.Autonomous, "5.13.0", []bolt.Version{bolt.V5_4, bolt.V5_1, bolt.V4_4}, false},
	{cluster.Causal, "4.4.48", []bolt.Version{bolt.V4_4, bolt.V4_3}, false},
	{cluster.Autonomous, "2026.08.1", []bolt.Version{bolt.V5_8, bolt.V5_4}, true},
}

func newPlan(seed int64) *plan {
	r := rand.New(rand.NewPCG(uint64(seed), 0x73696d))
	kind := releases[r.IntN(len(releases))]
	p := &plan{
		seed: seed, versions: kind.versions, databases: []string{"neo4j", "orders"}, users: []string{"ann", "bob", standin.DefaultUser},
		causality: []proxy.Causality{proxy.CausalityUser, proxy.CausalityUser, proxy.CausalityUser, proxy.CausalitySession, proxy.CausalityCluster, proxy.CausalityNone}[r.IntN(6)],
		perMember: []int{2, 4, 100}[r.IntN(3)],
		clients:   4 + r.IntN(4),
		length:    between(r, 15*time.Second, 30*time.Second), checkEvery: 2 * time.Second,
	}
	p.weather = memnet.Weather{Least: between(r, 20*time.Microsecond, 300*time.Microsecond), Split: r.IntN(2) * 20}
	p.weather.Most = p.weather.Least + between(r, 0, 2*time.Millisecond)
	p.cluster = standin.Options{
		Generation: kind.generation, ServerVersion: kind.server, Seed: seed, Members: 3 + 2*(r.IntN(4)/3), Replicas: r.IntN(2),
		Databases: p.databases, Users: map[string]string{}, ElectionTime: between(r, 500*time.Millisecond, 4*time.Second),
		Lag: between(r, 0, 300*time.Millisecond), LateRefusal: r.IntN(3) == 0, MaxChunk: r.IntN(2) * 200,
	}
	for _, u := range p.users {
		p.cluster.Users[u] = passwordOf(u)
	}
	p.drawFaults(r)
	if p.split = r.IntN(5) == 0; p.split {
		p.checkEvery, p.cluster.ElectionTime = splitCheckEvery, 4*time.Second
		for i := range p.faults { // one after the other, and long enough for two leaders
			f := &p.faults[i]
			*f = fault{at: time.Duration(i) * 10 * time.Second, lasts: between(r, 4*time.Second, 9*time.Second), kind: partition, db: f.db, with: f.with}
		}
		p.length = time.Duration(len(p.faults)) * 10 * time.Second
	}
	p.webClients, p.queryAPI, p.cluster.TxIdle = r.IntN(4), kind.queryAPI, txIdle
	p.gates = 1 + r.IntN(3)/2
	if p.garbage = r.IntN(2) == 0; p.garbage && !p.split {
		names := p.members()
		p.faults = append(p.faults, fault{at: between(r, time.Second, p.length), lasts: between(r, 10*time.Millisecond, 8*time.Second), kind: babble, member: names[r.IntN(len(names))], down: r.IntN(2) == 0})
	}
	return p
}

func passwordOf(user string) string {
	if user == standin.DefaultUser {
		return standin.DefaultPassword
	}
	return user + "'s secret"
}

// between draws a duration in [least, most).
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(max(most-least, 1))))
}

// members are the names of the cluster's members, voters first.
func (p *plan) members() (names []string) {
	for i := range p.cluster.Members {
		names = append(names, fmt.Sprint("s", i+1))
	}
	for i := range p.cluster.Replicas {
		names = append(names, fmt.Sprint("r", i+1))
	}
	return names
}
