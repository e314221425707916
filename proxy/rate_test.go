package proxy

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  float64
		burst int
		at    []time.Duration // of units
		waits []time.Duration
	}{
		{"as many as a second has at once, then evenly", 2, 0, []time.Duration{0, 0, 0, time.Second / 2, time.Second / 2}, []time.Duration{0, 0, time.Second / 2, 0, time.Second / 2}},
		{"a rate below one a second still has one", 0.5, 0, []time.Duration{0, 0, 2 * time.Second}, []time.Duration{0, 2 * time.Second, 0}},
		{"a burst of its own", 1, 3, []time.Duration{0, 0, 0, 0, time.Second}, []time.Duration{0, 0, 0, time.Second, 0}},
		{"what was not used does not add up beyond the burst", 1, 2, []time.Duration{time.Hour, time.Hour, time.Hour}, []time.Duration{0, 0, time.Second}},
		{"a refusal takes nothing", 1, 1, []time.Duration{0, 0, 0, time.Second}, []time.Duration{0, time.Second, time.Second, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, due := paceOf(tt.rate, tt.burst), time.Duration(0)
			for i, at := range tt.at {
				var wait time.Duration
				if due, wait = p.take(due, at); wait != tt.waits[i] {
					t.Errorf("unit %d at %v: got a wait of %v; want %v", i, at, wait, tt.waits[i])
				}
			}
		})
	}
}

func TestRatesAreBoundedAndTheOldestGoes(t *testing.T) {
	var r rates
	p, now := paceOf(1, 1), time.Now()
	often := uint64(7 * rateShards) // seen again and again
	for i := range uint64(3 * ratesInShard) {
		r.take(i*rateShards, p, now) // all in one shard
		if wait := r.take(often, p, now); i > 7 && wait <= 0 {
			t.Fatalf("after %d keys the one that is seen all the time began anew", i)
		}
	}
	s := &r.shards[0]
	if len(s.byKey) != ratesInShard {
		t.Errorf("%d keys are kept; want %d", len(s.byKey), ratesInShard)
	}
	n := 0
	for e := s.seen.Front(); e != nil; e = e.Next() {
		n++
	}
	if n != ratesInShard || s.byKey[0] != nil {
		t.Errorf("%d in the list, the oldest %v; want %d and none", n, s.byKey[0], ratesInShard)
	}
}

func TestAddressesOfOneClient(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1:1", "10.0.0.1:2", true},
		{"10.0.0.1:1", "10.0.0.2:1", false},
		{"10.0.0.1:1", "[::ffff:10.0.0.1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
	} {
		if got := addressKey(tt.a) == addressKey(tt.b); got != tt.same {
			t.Errorf("%s and %s: got same=%v", tt.a, tt.b, got)
		}
	}
	if addressKey("@") != 0 || addressKey("10.0.0.1:1") == 0 {
		t.Error("a unix socket has an address, or TCP has none")
	}
}

// slowRate lets three units through, and then one in an hour: no machine is slow enough to see another.
func slowRate(l Limits) Options {
	l.Burst = 3
	return Options{Limits: l}
}

const perHour = 1.0 / 3600

var twoUsers = standin.Options{Users: map[string]string{standin.DefaultUser: standin.DefaultPassword, "ann": "secret"}}

func TestRateOfAUserOverBoltAndHTTP(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V1, bolt.V3, bolt.V4_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			o := gateOptions{standin: twoUsers, server: slowRate(Limits{PerUser: UserLimits{Rate: perHour}})}
			o.standin.Versions = []bolt.Version{v, bolt.V5_4}
			g := startGate(t, o)
			w := g.logged(v)
			w.row(oneRow, nil, nil)
			w.row(aWrite, nil, nil)
			g.logged(v).row(oneRow, nil, nil) // the third, on another connection
			list := w.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", run(v, oneRow, nil, nil), pull(v))
			if text, _ := list[0].meta()["message"].(string); text == "" {
				t.Errorf("no message in %v", list[0].value)
			}
			w.expect("SUCCESS()", bolt.Reset)
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)); a.status != 429 || a.code() != bolt.CodeNoThreads {
				t.Errorf("over HTTP the same user got %v; want 429", a)
			} else if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 3500 || n > 3600 {
				t.Errorf("Retry-After %q; want nearly an hour", a.header.Get("Retry-After"))
			}
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != 200 {
				t.Errorf("another user got %v", a)
			}
			for range 5 { // a guess at a password is another's credential
				g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader("ann", "wrong"))
			}
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != 200 {
				t.Errorf("after guesses at the password its owner got %v", a)
			}
			if n := g.server.Counts().Refused["rate"]; n != 4 { // two of the session's, of which one by HTTP; the guesses' last two
				t.Errorf("%d refusals are counted; want 4", n)
			}
		})
	}
}

func TestRateOfAnAddress(t *testing.T) {
	g := startGate(t, gateOptions{standin: twoUsers, server: slowRate(Limits{AddressRate: perHour})})
	w := g.logged(bolt.V5_4)
	w.row(oneRow, nil, nil)
	w.expect("SUCCESS()", beginTx(bolt.V5_4, nil)...)
	for range 5 { // in a transaction nothing is counted
		w.row(oneRow, nil, nil)
	}
	w.expect("SUCCESS(bookmark)", commitTx(bolt.V5_4)...)
	if a := g.web("GET", "/", "", "Authorization", ""); a.status != 200 {
		t.Errorf("discovery got %v: it is no unit of work", a)
	}
	if a := g.web("POST", "/db/neo4j/query/v2", queryBody(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != 202 {
		t.Errorf("the third got %v", a)
	}
	if a := g.web("POST", "/db/neo4j/query/v2", queryBody(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != 429 {
		t.Errorf("the fourth, of another user, got %v; want 429", a)
	}
	w.expect("FAILURE("+bolt.CodeNoThreads+")", beginTx(bolt.V5_4, nil)...)
}

func TestRateOfANamedUser(t *testing.T) {
	g := startGate(t, gateOptions{standin: twoUsers, server: slowRate(Limits{
		PerUser: UserLimits{Rate: perHour}, Users: map[string]UserLimits{standin.DefaultUser: {}},
	})})
	w := g.logged(bolt.V5_4)
	for range 10 {
		w.row(oneRow, nil, nil)
	}
	for i := range 4 {
		want := 200
		if i == 3 {
			want = 429
		}
		if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != want {
			t.Errorf("request %d got %v; want %d", i, a, want)
		}
	}
}

// TestADriverBacksOff has an official driver come back by itself until it is let in.
func TestADriverBacksOff(t *testing.T) {
	g := startGate(t, gateOptions{server: Options{Limits: Limits{PerUser: UserLimits{Rate: 2}, Burst: 1}}})
	ctx := t.Context()
	driver := driverAt(t, "neo4j://"+g.address)
	for i := range 4 {
		if _, err := neo4j.ExecuteQuery(ctx, driver, aWrite, m{"mark": fmt.Sprint(i)}, neo4j.EagerResultTransformer); err != nil {
			t.Fatalf("query %d: %v", i, err)
		}
	}
	if n := g.server.Counts().Refused["rate"]; n == 0 {
		t.Error("nothing was refused: the test shows nothing")
	}
}

// TestARateIsCountedOnce: a request that leaves the wait for its client before it is sent begins once more there.
func TestARateIsCountedOnce(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Home: map[string]string{standin.DefaultUser: "neo4j"}}, server: slowRate(Limits{PerUser: UserLimits{Rate: perHour}})})
	w := g.logged(bolt.V5_4)
	for range 3 {
		w.row(oneRow, nil, nil) // the first has to ask for the home database
	}
	w.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", run(bolt.V5_4, oneRow, nil, nil), pull(bolt.V5_4))
}
