package proxy

import (
	"errors"
	"sync/atomic"

	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what the server counts of work that did not go the straight way: what waits, what was sent again and why, what was told to
// come back later, and what ended in doubt. Nothing here is touched by a unit of work that simply succeeds.

// resent is why a unit of work was sent again.
type resent uint8

const (
	resentUnsent     resent = iota // no byte of it had left: a pooled connection turned out to be closed
	resentRefused                  // a member said that it does not serve this, before it did anything
	resentLost                     // its connection broke: a BEGIN, or a read of which nothing was delivered
	resentLate                     // its member did not get the transactions in time that it has to see
	resentMisjudged                // we took it for a read, and it is none
	resentBookmark                 // a bookmark that we added was refused
	resentDatabase                 // the member had not heard of its database, or the home we remembered was wrong
	resentConnection               // the connection was of the wrong kind, or its login outdated
	resentReplayed                 // failover.replay: a transaction, from its beginning
	resentReasons
)

var resentNames = [resentReasons]string{
	"unsent", "refused", "lost", "late", "misjudged", "bookmark", "database", "connection", "replayed",
}

// turnedAway is why a unit of work, or a log-on, was told to come back later.
type turnedAway uint8

const (
	turnedMaxHeld      turnedAway = iota // failover.max_held units wait already
	turnedHeldBytes                      // failover.max_held_bytes
	turnedHold                           // failover.hold passed
	turnedQueueFull                      // the member's line is full
	turnedQueueTime                      // timeouts.queue passed
	turnedBudget                         // failover.retry_budget was spent
	turnedRate                           // limits.rate
	turnedMemory                         // limits.memory
	turnedUser                           // limits.per_user: the line was full
	turnedDatabase                       // limits.per_database: the line was full
	turnedUserTime                       // limits.per_user: timeouts.queue passed
	turnedDatabaseTime                   // limits.per_database: timeouts.queue passed
	turnedAddress                        // frontends[].max_per_address
	turnedReasons
)

var turnedNames = [turnedReasons]string{"max_held", "max_held_bytes", "hold", "queue_full", "queue_time", "retry_budget", "rate", "memory",
	"user_queue", "database_queue", "user_time", "database_time",
	"address_connections"}

// limitKind is what a limit did that is no refusal for now: those are turnedAway.
type limitKind uint8

const (
	limitedRows    limitKind = iota // max_rows ended a unit of work
	limitedBytes                    // max_bytes did
	limitedRequest                  // limits.request refused one
	limitedIdle                     // limits.memory closed an idle client
	limitedLogin                    // a log-on waited for failed ones of its address
	limitedKinds
)

var limitedNames = [limitedKinds]string{"rows", "bytes", "request", "memory_idle", "login"}

// counters are the server's own; each is added to only when its case happens.
type counters struct {
	resent  [resentReasons]atomic.Int64
	turned  [turnedReasons]atomic.Int64
	doubt   atomic.Int64
	replays [replayEnds]atomic.Int64
	limited [limitedKinds]atomic.Int64
}

// Counts is a snapshot for metrics; take one with Server.Counts. Held and HeldBytes are gauges, the rest only grows.
type Counts struct {
	Held      int64            // units of work and log-ons that wait for a leader, or for any member (failover.hold); at most failover.max_held
	HeldBytes int64            // their requests together; at most failover.max_held_bytes
	Spans     otlp.Counts      // what became of spans
	InDoubt   int64            // commits whose answer was lost: see Doubt
	Resent    map[string]int64 // sent again, by why: unsent, refused, lost, late, misjudged, bookmark, database, connection, replayed
	Replays   map[string]int64 // transactions whose member was lost with failover.replay, by how that ended: done, differs, refused
	Refused   map[string]int64 // told to try again later, by why: max_held, max_held_bytes, hold, queue_full, queue_time, retry_budget, rate, memory, user_queue, database_queue, user_time, database_time, address_connections
	Limited   map[string]int64 // what limits did beside: units of work ended (rows, bytes) or refused for good (request), idle clients closed (memory_idle), log-ons slowed (login)
}

// Counts are what was counted since the server began, all reasons named, and what waits now. Cheap enough for every scrape.
func (s *Server) Counts() Counts {
	c := Counts{
		Held: s.held.units.Load(), HeldBytes: s.held.bytes.Load(), InDoubt: s.counts.doubt.Load(),
		Resent: map[string]int64{}, Refused: map[string]int64{}, Replays: map[string]int64{}, Limited: map[string]int64{},
	}
	if spans := s.options.Load().Spans; spans != nil {
		c.Spans = spans.Counts()
	}
	for i, name := range resentNames {
		c.Resent[name] = s.counts.resent[i].Load()
	}
	for i, name := range turnedNames {
		c.Refused[name] = s.counts.turned[i].Load()
	}
	for i, name := range limitedNames {
		c.Limited[name] = s.counts.limited[i].Load()
	}
	for i, name := range replayNames {
		c.Replays[name] = s.counts.replays[i].Load()
	}
	return c
}

func (c *counters) limit(by limitKind) { c.limited[by].Add(1) }

func (c *counters) again(why resent) { c.resent[why].Add(1) }

// turn counts an error by which work is told to come back later; others count nothing.
func (c *counters) turn(err error) {
	for i, is := range [turnedReasons]error{errHeldUnits, errHeldBytes, errHoldTime, pool.ErrFull, errQueueTime, errBudget, errRate, errMemory,
		errUserPlaces, errDatabasePlaces, errUserTime, errDatabaseTime, errPerAddress} {
		if errors.Is(err, is) {
			c.turned[i].Add(1)
			return
		}
	}
}
