package querystats

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// This file owns what others are told of the counts.

// Stat is what was counted of one shape since its Table was made.
type Stat struct {
	ID      ID
	Text    string // see Table.Text
	Calls   uint64
	Failed  uint64        // of them
	Rows    uint64        // records that were given
	Total   time.Duration // all runs together
	Longest time.Duration
	P50     time.Duration
	P95     time.Duration
	P99     time.Duration
	Share   float64 // of the time that all queries took, from 0 to 1
}

// Mean is how long a run took on average.
func (s *Stat) Mean() time.Duration {
	if s.Calls == 0 {
		return 0
	}
	return s.Total / time.Duration(s.Calls)
}

// Report is the shapes that come first in an order.
type Report struct {
	Since  time.Time
	Shapes int // that are told apart
	Calls  uint64
	Failed uint64
	Total  time.Duration
	Top    []Stat
}

// The orders of a Report.
const (
	ByTime   = "time"
	ByCalls  = "calls"
	ByMean   = "mean"
	ByP95    = "p95"
	ByErrors = "errors"
	ByRows   = "rows"
)

// Orders are all orders.
var Orders = []string{ByTime, ByCalls, ByMean, ByP95, ByErrors, ByRows}

// Top reports the limit shapes that come first in the order, which is one of Orders. It looks at all of them.
func (t *Table) Top(order string, limit int) Report {
	r := Report{Since: t.began}
	all := *t.shapes.Load()
	r.Shapes = len(all) - int(first)
	stats := make([]Stat, 0, len(all))
	for id, s := range all {
		c := s.counts.sum()
		if c.calls == 0 {
			continue
		}
		r.Calls, r.Failed, r.Total = r.Calls+c.calls, r.Failed+c.failed, r.Total+time.Duration(c.nanos)
		one := Stat{ID: ID(id), Calls: c.calls, Failed: c.failed, Rows: c.rows, Total: time.Duration(c.nanos), Longest: time.Duration(c.longest)}
		if order == ByP95 {
			one.P95 = c.quantile(0.95)
		}
		stats = append(stats, one)
	}
	slices.SortFunc(stats, func(a, b Stat) int {
		return cmp.Or(compare(order, &b, &a), cmp.Compare(b.Total, a.Total), cmp.Compare(a.ID, b.ID))
	})
	r.Top = slices.Clone(stats[:min(limit, len(stats))])
	for i := range r.Top {
		s := &r.Top[i]
		c := all[s.ID].counts.sum()
		s.Text, s.P50, s.P95, s.P99 = t.Text(s.ID), c.quantile(0.5), c.quantile(0.95), c.quantile(0.99)
		if r.Total > 0 {
			s.Share = float64(s.Total) / float64(r.Total)
		}
	}
	return r
}

// compare compares by an order.
func compare(order string, a, b *Stat) int {
	switch order {
	case ByCalls:
		return cmp.Compare(a.Calls, b.Calls)
	case ByMean:
		return cmp.Compare(a.Mean(), b.Mean())
	case ByP95:
		return cmp.Compare(a.P95, b.P95)
	case ByErrors:
		return cmp.Compare(a.Failed, b.Failed)
	case ByRows:
		return cmp.Compare(a.Rows, b.Rows)
	}
	return cmp.Compare(a.Total, b.Total)
}

// ParseOrder holds an order that a caller asked for to Orders.
func ParseOrder(text string) (string, error) {
	if !slices.Contains(Orders, text) {
		return "", fmt.Errorf("an order is one of %s (found %q)", strings.Join(Orders, ", "), Cut([]byte(text), 40))
	}
	return text, nil
}

// Cut makes of a text at most limit bytes of valid UTF-8, with … where it was cut.
func Cut(text []byte, limit int) string {
	if len(text) > limit {
		end := limit - len("…")
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		return strings.ToValidUTF8(string(text[:end]), "\uFFFD") + "…"
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
