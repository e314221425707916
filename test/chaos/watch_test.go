package chaos

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the harness's own look at who leads: every member is asked every 50 ms: causal ones on the endpoint that is 200 for the leader
// alone, HA ones whether they are available as the master, for one that becomes it says so to …/ha/master long before it takes anything.

const (
	watchEvery = 50 * time.Millisecond
	watchTime  = time.Second // for one answer
)

// leaderWatch notes when any member said that it leads.
type leaderWatch struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu    sync.Mutex
	since time.Time     // guarded by mu: of the newest question that was answered with 200, or of the fault
	gap   time.Duration // guarded by mu: the longest time without one
	last  string        // guarded by mu: which member said so last,
	at    time.Time     // guarded by mu: and when
	moves int           // guarded by mu: how often it was another than before, or the same after a time in which nobody led
}

// nobodyLed is how long nobody says that it leads when a leader was deposed: the one that is elected may be the same.
const nobodyLed = 6 * watchEvery

// watchLeader begins to watch.
func watchLeader(c *labs.Cluster) *leaderWatch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &leaderWatch{stop: cancel, since: time.Now()}
	for _, m := range c.Members[:c.Lab.Cores] {
		w.wait.Go(func() { w.watch(ctx, c, m) })
	}
	return w
}

func (w *leaderWatch) watch(ctx context.Context, c *labs.Cluster, m *labs.Member) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	client := &http.Client{Transport: &http.Transport{}, Timeout: watchTime}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		asked := time.Now()
		if leads(ctx, client, c, m) {
			w.seen(asked, m.Name)
		}
		<-tick.C
	}
}

// leads asks one member.
func leads(ctx context.Context, client *http.Client, c *labs.Cluster, m *labs.Member) bool {
	path := "/db/manage/server/causalclustering/writable"
	if c.Lab.Kind == labs.HAMode {
		path = "/db/manage/server/ha/available"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.HTTP+path, nil)
	if err != nil {
		return false
	}
	r.SetBasicAuth(c.User, c.Password)
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 100))
	return err == nil && answer.StatusCode == http.StatusOK && (c.Lab.Kind != labs.HAMode || string(text) == "master")
}

// seen notes that a question asked at that time was answered with 200. One from before the fault says nothing.
func (w *leaderWatch) seen(asked time.Time, member string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.last != "" && (w.last != member || now.Sub(w.at) > nobodyLed) {
		w.moves++
	}
	w.last, w.at = member, now
	if asked.Before(w.since) {
		return
	}
	w.gap = max(w.gap, now.Sub(w.since))
	w.since = now
}

// fault says that a fault begins now: the time without a leader counts from here.
func (w *leaderWatch) fault() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since, w.gap = time.Now(), 0
}

// longest is the longest time without a leader since the fault.
func (w *leaderWatch) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gap
}

// end stops it, and returns how often the leader was another, or elected anew, in all.
func (w *leaderWatch) end() (moves int) {
	w.stop()
	w.wait.Wait()
	return w.moves
}
