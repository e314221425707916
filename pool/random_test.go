package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// TestAnyOrderOfOperations lets clients with several credentials lend, return, leave and be refused while the member cuts,
// mutes and moves and its limits change, by a seed. At every moment no more is in flight than the widest limit allows and
// no connection is lent twice; in the end every count is back and agrees with the member's.
func TestAnyOrderOfOperations(t *testing.T) {
	for seed := range uint64(12) {
		for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_4} {
			t.Run(fmt.Sprintf("seed %d on %v", seed, v), func(t *testing.T) {
				o := Options{MaxPerMember: 4, MaxQueue: 6, ConnectTimeout: 500 * time.Millisecond, IdleTimeout: 3 * time.Second, MaxLifetime: 20 * time.Second}
				inWorld(t, o, []bolt.Version{v}, func(t *testing.T, w *world) { newChaos(w, v, seed).run(t) })
			})
		}
	}
}

const (
	widest  = 5 // of all limits that chaos sets
	clients = 12
	rounds  = 60
)

type chaos struct {
	w    *world
	ids  []*Identity
	seed uint64

	mu   sync.Mutex
	lent map[*Lease]int
	most int
}

func newChaos(w *world, v bolt.Version, seed uint64) *chaos {
	c := &chaos{w: w, seed: seed, lent: map[*Lease]int{}}
	for i := range 4 {
		c.ids = append(c.ids, user(fmt.Sprint("user", i), v))
	}
	c.ids = append(c.ids, NewIdentity(Key{Version: v}, bolt.Basic("eve", "wrong"), 0), c.ids[0].With(Key{Version: v, Routed: true}), HTTP)
	return c
}

func (c *chaos) run(t *testing.T) {
	web := c.w.listen("s1:7474")
	defer web.stop()
	var members [2]*cluster.Member
	for i := range members {
		m := *c.w.member
		m.MaxInFlight = widest - 2*i
		members[i] = &m
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { c.client(t, rand.New(rand.NewPCG(c.seed, uint64(i))), members) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	trouble.Go(func() { c.trouble(ctx, rand.New(rand.NewPCG(c.seed, 99))) })
	wg.Wait()
	cancel()
	trouble.Wait()
	c.w.fake.setMute(false)
	if c.most < 3 {
		t.Errorf("%d were lent at once at most; want some more", c.most)
	}
	c.settled(t, web)
	c.w.set.Close() //nolint:errcheck // never fails
	settle()
}

// settled waits until all that was lent is back, by the pool's count and by the member's. That takes up to two sweeps, for
// they find what the member has cut; and while one looks at a connection, that one is out of the list and has a slot.
func (c *chaos) settled(t *testing.T, web *fakeMember) {
	for deadline := time.Now().Add(2500 * time.Millisecond); ; {
		settle()
		got, bolt, http := c.w.set.Stats("s1"), c.w.fake.open(), web.open()
		switch {
		case got == Stats{Open: bolt, Idle: bolt + http} && bolt <= widest:
			return
		case time.Now().After(deadline):
			t.Errorf("the pool counts %+v; the member has %d and %d; want the same, and all idle", got, bolt, http)
			return
		}
	}
}

// client does one unit of work after another.
func (c *chaos) client(t *testing.T, r *rand.Rand, members [2]*cluster.Member) {
	for range rounds {
		id, m := c.ids[r.IntN(len(c.ids))], members[r.IntN(8)/7]
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(3000))*time.Millisecond)
		l, err := c.borrow(ctx, r, m, id)
		cancel()
		if err != nil {
			c.check(t, id, err)
			time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
			continue
		}
		c.took(t, l, id)
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		c.mu.Lock()
		delete(c.lent, l)
		c.mu.Unlock()
		if id != HTTP && r.IntN(4) == 0 && !c.keep(t, r, l, id) {
			continue
		}
		l.Release(r.IntN(5) > 0)
		if r.IntN(20) == 0 {
			time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
		}
	}
}

// keep lets the client keep its connection for a while and then go on; false when it is lost, or the client has enough.
func (c *chaos) keep(t *testing.T, r *rand.Rand, l *Lease, id *Identity) bool {
	l.Keep()
	time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(1000))*time.Millisecond)
	defer cancel()
	if !l.TryResume() {
		if err := l.Resume(ctx); err != nil {
			if !errors.Is(err, ErrLost) {
				c.check(t, id, err)
			}
			l.Release(false)
			return false
		}
	}
	c.took(t, l, id)
	time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	c.mu.Lock()
	delete(c.lent, l)
	c.mu.Unlock()
	return true
}

func (c *chaos) borrow(ctx context.Context, r *rand.Rand, m *cluster.Member, id *Identity) (*Lease, error) {
	if l := c.w.set.TryAcquire(m, id); l != nil {
		return l, nil
	}
	if r.IntN(6) == 0 {
		return c.w.set.Verify(ctx, m, id, Turn{})
	}
	return c.w.set.Acquire(ctx, m, id)
}

func (c *chaos) check(t *testing.T, id *Identity, err error) {
	f, refused := errors.AsType[*bolt.Failure](err)
	switch {
	case refused && f.Code == bolt.CodeUnauthorized && id == c.ids[4]:
	case errors.Is(err, ErrFull), errors.Is(err, ErrDial), errors.Is(err, context.DeadlineExceeded):
	default:
		t.Errorf("%v: %v", id, err)
	}
}

func (c *chaos) took(t *testing.T, l *Lease, id *Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent[l]++
	c.most = max(c.most, len(c.lent))
	switch stats := c.w.set.Stats("s1"); {
	case c.lent[l] > 1:
		t.Errorf("%v was lent twice at once", l)
	case l.id.Key != id.Key:
		t.Errorf("asked for %v, got %v", id, l)
	case id == c.ids[4]:
		t.Errorf("a wrong password got %v", l)
	case len(c.lent) > widest || stats.InFlight > widest || stats.InFlight < len(c.lent) || stats.Open > widest:
		t.Errorf("%d are lent; the pool says %+v", len(c.lent), stats)
	}
}

// trouble is what happens to the member and its limits meanwhile.
func (c *chaos) trouble(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		switch r.IntN(5) {
		case 0:
			c.w.fake.cut()
		case 1:
			c.w.fake.setMute(r.IntN(3) == 0)
		case 2:
			o := c.w.options
			o.MaxPerMember = 3 + r.IntN(widest-2)
			c.w.set.Apply(o)
		case 3:
			c.w.set.Forget(c.ids[1])
		case 4:
			c.w.fake.setMute(false)
		}
	}
}
