package chaos

import (
	"context"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the faults. Each is brought about and taken back as far as it does not heal when members are started again.

// fault is one kind of fault. bring says at the watch when it begins, and returns what it hit.
type fault struct {
	name   string
	leader bool // it takes the leader away
	silent bool // and no connection breaks: what waits for the member waits until it is found
	vain   bool // the member goes on, and commits that had begun there get no answer before they are in doubt; lateWorkers begin when that is past
	starts bool // members start during it
	bring  func(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (hit string, err error)
}

// gone is how long a member that was killed stays away, so that the others do without it.
const gone = 5 * time.Second

// settle is how long is looked on when a leader is there again: work may take longer to go on.
const settle = 5 * time.Second

// freeze is how long a suspended member is silent.
const freeze = 5 * time.Second

func faults(labs.Lab) []fault {
	return []fault{
		{name: "kill-leader", leader: true, bring: killLeader},
		{name: "kill-follower", bring: killFollower},
		{name: "freeze-leader", leader: true, silent: true, bring: freezeLeader},
		{name: "restart-all", leader: true, starts: true, bring: restartAll},
	}
}

func killLeader(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (string, error) {
	m, err := c.AwaitLeader(ctx)
	if err != nil {
		return "", err
	}
	return m.Name, kill(ctx, c, m, watch)
}

func killFollower(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (string, error) {
	leader, err := c.AwaitLeader(ctx)
	if err != nil {
		return "", err
	}
	m := c.Others(leader)[0]
	return m.Name, kill(ctx, c, m, watch)
}

// kill kills a member, and leaves it dead until another leads, and for a while at least.
func kill(ctx context.Context, c *labs.Cluster, m *labs.Member, watch *leaderWatch) error {
	watch.fault()
	if err := m.Kill(); err != nil {
		return err
	}
	pauseFor(ctx, gone)
	_, err := c.AwaitLeader(ctx)
	pauseFor(ctx, settle)
	return err
}

func freezeLeader(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (string, error) {
	m, err := c.AwaitLeader(ctx)
	if err != nil {
		return "", err
	}
	watch.fault()
	if err := m.Suspend(); err != nil {
		return m.Name, err
	}
	pauseFor(ctx, freeze)
	if err := m.Resume(); err != nil {
		return m.Name, err
	}
	_, err = c.AwaitLeader(ctx)
	pauseFor(ctx, settle)
	return m.Name, err
}

// restartAll restarts one member after the other, the leader last, each when the one before is back.
func restartAll(ctx context.Context, c *labs.Cluster, watch *leaderWatch) (string, error) {
	leader, err := c.AwaitLeader(ctx)
	if err != nil {
		return "", err
	}
	watch.fault()
	for _, m := range append(c.Others(leader), leader) {
		if err := m.Restart(); err != nil {
			return m.Name, err
		}
		if _, err := m.Await(ctx); err != nil {
			return m.Name, err
		}
		if _, err := c.AwaitLeader(ctx); err != nil {
			return m.Name, err
		}
	}
	pauseFor(ctx, settle)
	return "all", nil
}

// pauseFor waits, or for ctx to end.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
