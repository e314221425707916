package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Memory is what a proxy process holds, in bytes.
type Memory struct {
	Contender     string  `json:"contender"`
	Protocol      string  `json:"protocol,omitempty"` // of idle clients: bolt, logged on; http, on a kept connection after a request
	Clients       int     `json:"clients"`
	RSSBefore     int64   `json:"rss_before"`
	RSS           int64   `json:"rss"`
	PSSBefore     int64   `json:"pss_before"`
	PSS           int64   `json:"pss"`
	RSSPerClient  float64 `json:"rss_per_client"`
	PSSPerClient  float64 `json:"pss_per_client"`
	SettleSeconds float64 `json:"settle_seconds"` // how long the idle clients were left before the reading
}

const (
	idleTime    = 8 * time.Second  // the shortest wait for a process's memory to come to rest: a client that idles, not one that has just come
	settleTime  = 20 * time.Second // the longest
	startTime   = 5 * time.Second  // after which resident memory is read
	idleDialers = 16
)

// measureIdle opens clients that do nothing, of each protocol, at each proxy freshly started.
func (c *comparison) measureIdle() error {
	for _, protocol := range []string{"bolt", "http"} {
		for _, name := range c.plan.Contenders {
			if name != HAProxy && name != Boltgate {
				continue
			}
			if err := c.measureIdleOf(name, protocol); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) measureIdleOf(name, protocol string) error {
	defer c.endProcesses()
	members, err := c.startInstant("")
	if err != nil {
		return err
	}
	auth := login{"neo4j", "bench"}
	n := c.plan.IdleClients
	k, err := c.startOne(name, scene{members: members, generation: "standalone", checkPath: "/", auth: auth, maxConn: n + 100, await: []Mode{Connect, Get}})
	if err != nil || k == nil {
		return err
	}
	m := Memory{Contender: name, Protocol: protocol, Clients: n}
	if m.RSSBefore, m.PSSBefore, _, err = c.settled(k.pid()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel() // closes the clients
	address := map[string]string{"bolt": k.bolt, "http": k.http}[protocol]
	if err := openIdle(ctx, Load{URI: protocol + "://" + address, User: auth.user, Password: auth.password}, n); err != nil {
		return fmt.Errorf("bench: idle %s clients at %s: %w", protocol, name, err)
	}
	var waited time.Duration
	if m.RSS, m.PSS, waited, err = c.settled(k.pid()); err != nil {
		return err
	}
	m.SettleSeconds = waited.Seconds()
	m.RSSPerClient, m.PSSPerClient = float64(m.RSS-m.RSSBefore)/float64(n), float64(m.PSS-m.PSSBefore)/float64(n)
	c.report.Idle = append(c.report.Idle, m)
	c.plan.logf("%-12s %-9s %d %s clients: %.0f B RSS, %.0f B PSS each", idleMemory, name, n, protocol, m.RSSPerClient, m.PSSPerClient)
	return nil
}

// openIdle logs n clients on, or has each of them ask once over HTTP, which has no log-on; they stay until ctx ends.
func openIdle(ctx context.Context, l Load, n int) error {
	t, err := l.withDefaults().target(ctx)
	if err != nil {
		return err
	}
	next := make(chan int)
	failed := make(chan error, idleDialers)
	var all sync.WaitGroup
	for range idleDialers {
		all.Go(func() {
			for i := range next {
				k, err := t.dial(ctx, i) // the client is closed through ctx
				if err == nil && t.http {
					err = k.do()
				}
				if err != nil {
					failed <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		})
	}
	defer all.Wait()
	defer close(next)
	for i := range n {
		select {
		case next <- i:
		case err := <-failed:
			return err
		}
	}
	return nil
}

// settled waits idleTime, then until a process's memory moves by less than 1 part in 200 within a second, at most settleTime,
// and returns it with the wait.
func (c *comparison) settled(pid int) (rss, pss int64, waited time.Duration, err error) {
	begun := time.Now()
	for last := int64(0); ; last = rss {
		if rss, pss, err = processMemory(pid); err != nil {
			return 0, 0, 0, err
		}
		waited = time.Since(begun)
		if waited > idleTime && abs(rss-last)*200 < rss || waited > settleTime {
			return rss, pss, waited, nil
		}
		select {
		case <-c.ctx.Done():
			return 0, 0, 0, c.ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

// measureStart reads each proxy's memory 5 s after its start in front of four members, a HA cluster.
func (c *comparison) measureStart() error {
	defer c.endProcesses()
	members, err := c.startInstant("master", "slave", "slave", "slave")
	if err != nil {
		return err
	}
	for _, name := range c.plan.Contenders {
		if name != HAProxy && name != Boltgate {
			continue
		}
		begun := time.Now()
		s := scene{members: members, generation: "ha", checkPath: "/db/manage/server/ha/available", auth: login{"neo4j", "bench"}, await: []Mode{Get}}
		k, err := c.startOne(name, s)
		if err != nil {
			return err
		}
		if k == nil {
			continue
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(time.Until(begun.Add(startTime))):
		}
		rss, pss, err := processMemory(k.pid())
		if err != nil {
			return err
		}
		c.report.Start = append(c.report.Start, Memory{Contender: name, RSS: rss, PSS: pss})
		c.plan.logf("%-12s %-9s %.1f MiB RSS", startMemory, name, float64(rss)/(1<<20))
	}
	return nil
}
