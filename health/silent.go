package health

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// This file owns the question whether a member that does not pass its checks is silent: its process says nothing at all, to nobody, as when it is
// suspended, its machine is gone, or packets to it are dropped. What waits for such a member waits for nothing. One that says anything, be it slowly,
// or that it is not available, is not silent; neither is one whose address refuses connections: its process is gone, and the system ends what
// it had open.

// hearing notes that anything came.
type hearing struct {
	net.Conn
	heard *atomic.Bool
}

func (h hearing) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if n > 0 {
		h.heard.Store(true)
	}
	return n, err
}

// listening is dial, with the connections that it makes noting in heard that anything came.
func listening(dial func(context.Context, string, string) (net.Conn, error), heard *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return hearing{conn, heard}, nil
	}
}

// saidNothing tells whether a check that failed with err, and heard nothing, met silence.
func saidNothing(err error) bool {
	return err != nil && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET)
}

// silence is how long a member has said nothing.
type silence struct {
	checks int       // in a row that heard nothing
	since  time.Time // when the first of them began
}

// after is the silence with one more answer.
func (s silence) after(a *answer) silence {
	switch {
	case !a.silent:
		return silence{}
	case s.checks == 0:
		return silence{1, a.started}
	}
	return silence{s.checks + 1, s.since}
}

// silentSince is since when the member, which is down, says nothing; zero when it is not silent. It takes as many checks as going down does.
func (s *memberState) silentSince(o *Options) time.Time {
	if s.streak.Up || s.silence.checks < o.Fall {
		return time.Time{}
	}
	return s.silence.since
}
