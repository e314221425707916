package cluster

import (
	"sync/atomic"
)

// Why says what somebody met at a member.
type Why uint8

// The reasons of a Report.
const (
	Broken     Why = iota // the connection broke, was refused or timed out
	NotALeader            // it refused a write as not the leader, or as read-only
	Unserved              // it said that the database is unavailable
	Told                  // it gave out a routing table
	Changed               // of no member: databases or aliases were created, dropped, started or stopped, or one is new to us
	Wanted                // nothing: reads wait at the leader for news of where the others are
)

// String names the reason for logs.
func (w Why) String() string {
	return [...]string{"connection broke", "not a leader", "database unavailable", "routing table", "databases changed", "places wanted"}[w]
}

// Report is what the data path met at a member; it wakes a check.
type Report struct {
	Member string
	DB     string
	Why    Why
	Table  *Table // of Told; else nil
}

// Current is the newest View and the way back to the checks. The zero Current is ready: its View has no members.
type Current struct {
	view    atomic.Pointer[View]
	reports atomic.Pointer[chan Report]
}

// View is the newest View; never nil.
func (c *Current) View() *View {
	if v := c.view.Load(); v != nil {
		return v
	}
	c.view.CompareAndSwap(nil, &View{replaced: make(chan struct{})})
	return c.view.Load()
}

// Publish makes v the newest View and wakes everybody who waits on the one before. v belongs to its readers from now on.
func (c *Current) Publish(v *View) {
	v.replaced = make(chan struct{})
	if old := c.view.Swap(v); old != nil {
		close(old.replaced)
	}
}

// Reports is the channel on which reports arrive; health reads it.
func (c *Current) Reports() <-chan Report { return c.channel() }

const reportQueue = 64

func (c *Current) channel() chan Report {
	if ch := c.reports.Load(); ch != nil {
		return *ch
	}
	ch := make(chan Report, reportQueue)
	c.reports.CompareAndSwap(nil, &ch)
	return *c.reports.Load()
}

// Report tells the checks what was met. It never blocks: when many reports wait, one more adds nothing.
func (c *Current) Report(member, db string, why Why) {
	select {
	case c.channel() <- Report{Member: member, DB: db, Why: why}:
	default:
	}
}
