package proxy

import "time"

// This file owns what reads over HTTP have to see (design "Causality").

// remember notes what a read that we move has to see; false when it has to stay at the leader.
func (c *httpConn) remember() bool {
	u := &c.w.unit
	switch c.w.set.Causality {
	case CausalityNone:
	case CausalityCluster:
		return false
	default:
		u.intent.Since = c.user().marks.since(false, u.intent.Now)
	}
	return true
}

// beginWrite notes that a write leaves for the leader. Until its end is noted, reads of its user have to stay there: its client
// may know of it before we do.
func (c *httpConn) beginWrite() {
	if u := &c.w.unit; u.writing == nil {
		u.writing = &c.user().marks
		u.writing.open.Add(1)
	}
}

// endWrite notes the end of a write, whatever became of it.
func (u *httpUnit) endWrite() {
	if u.writing != nil {
		u.writing.loosen(time.Now())
		u.writing.open.Add(-1)
		u.writing = nil
	}
}
