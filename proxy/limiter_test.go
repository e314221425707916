package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

func TestTheLimiterFollowsItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		l.resize(1)
		var mu sync.Mutex
		var in []int // guarded by mu: who was let in
		left := errors.New("left")
		leavers := map[int]context.CancelCauseFunc{}
		for i := range 6 {
			ctx, cancel := context.WithCancelCause(t.Context())
			leavers[i] = cancel
			go func() {
				err := l.enter(ctx, func() {})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in = append(in, i)
				} else if !errors.Is(err, left) {
					t.Errorf("%d: %v", i, err)
				}
			}()
			synctest.Wait()
		}
		for _, step := range []struct {
			name string
			do   func()
			want []int
		}{
			{"one at a time", func() {}, []int{0}},
			{"a higher limit lets in who waits, in order", func() { l.resize(3) }, []int{0, 1, 2}},
			{"one of those in line leaves it", func() { leavers[3](left) }, []int{0, 1, 2}},
			{"a lower limit puts nobody out", func() { l.resize(1); l.leave(); l.leave() }, []int{0, 1, 2}},
			{"and counts those who are in", func() { l.leave() }, []int{0, 1, 2, 4}},
			{"the last", func() { l.leave() }, []int{0, 1, 2, 4, 5}},
		} {
			step.do()
			synctest.Wait()
			mu.Lock()
			slices.Sort(in)
			mu.Unlock()
			if !slices.Equal(in, step.want) {
				t.Fatalf("%s: %v are in; want %v", step.name, in, step.want)
			}
		}
	})
}

// TestTheLimiterLosesNobody lets many come, go and give up while the limit moves: all come in that stay, never more than the
// widest limit, and in the end nobody is counted.
func TestTheLimiterLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		l.resize(2)
		var inside, most atomic.Int64
		var clients sync.WaitGroup
		for i := range 20 {
			clients.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(4))*time.Second) // some have no time at all
					if i == 0 {
						cancel()
						ctx, cancel = context.WithCancel(t.Context()) // this one stays
					}
					err := l.enter(ctx, func() {})
					if err == nil {
						most.Store(max(most.Load(), inside.Add(1)))
						time.Sleep(time.Duration(r.IntN(3)) * time.Second)
						inside.Add(-1)
						l.leave()
					} else if i == 0 {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		moving, stop := context.WithCancel(t.Context())
		var mover sync.WaitGroup
		mover.Go(func() {
			for i := 0; moving.Err() == nil; i++ {
				l.resize(1 + i%4)
				time.Sleep(700 * time.Millisecond)
			}
		})
		clients.Wait()
		stop()
		mover.Wait()
		if l.held != 0 || len(l.line) != 0 || most.Load() > 4 || most.Load() < 2 {
			t.Errorf("in the end %d are counted, %d wait; %d were in at once", l.held, len(l.line), most.Load())
		}
	})
}

func TestAReloadChangesHowManyLogOnsThereAreAtOnce(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{AuthInFlight: 1}})
	if err := g.cluster.Freeze("s1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w := g.open(bolt.V4_4)
		w.send(logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)...)
	}
	for _, n := range []int{1, 2} {
		if err := g.server.Apply(Options{AuthInFlight: n}, []*Frontend{g.server.fronts["main"].settings.Load()}); err != nil {
			t.Fatal(err)
		}
		g.awaitStats("some log-ons are at the member, the others wait", func(s pool.Stats) bool {
			g.server.auths.mu.Lock()
			defer g.server.auths.mu.Unlock()
			return s.InFlight == n && len(g.server.auths.line) == 3-n
		})
	}
	if err := g.cluster.Thaw("s1"); err != nil {
		t.Fatal(err)
	}
}

// TestAFullLineOfLogOnsIsSaidAtOnce: the newest is told; who waits stays, and a place that is left may be taken.
func TestAFullLineOfLogOnsIsSaidAtOnce(t *testing.T) {
	var l limiter
	l.resize(1)
	l.bound(1)
	inLine := make(chan struct{}, 1)
	if err := l.enter(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { waits <- l.enter(ctx, func() { inLine <- struct{}{} }) }()
	<-inLine
	told := false
	if err := l.enter(t.Context(), func() { told = true }); !errors.Is(err, pool.ErrFull) || !told {
		t.Errorf("got %v; want the line to be full", err)
	}
	if f := failureFor(errLogOns); f.Code != bolt.CodeNoThreads {
		t.Errorf("its client is told %v", f)
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { waits <- l.enter(t.Context(), func() { inLine <- struct{}{} }) }()
	<-inLine
	l.leave()
	if err := <-waits; err != nil {
		t.Error(err)
	}
}
