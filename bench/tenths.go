package bench

import (
	"sync/atomic"
	"time"
)

// tenth is how long a window of tenths is. A machine that others share stalls for some milliseconds now and then. In a run's 99th percentile
// such stalls are nearly all there is; most tenths of a second meet none.
const tenth = 100 * time.Millisecond

// tenths counts times by the tenth of a second in which their operations ended. All workers write to it.
type tenths struct {
	from    time.Time
	windows []*[buckets]uint32 // counted with atomic operations
}

// newTenths has a window for each whole tenth of d.
func newTenths(d time.Duration) *tenths {
	t := &tenths{windows: make([]*[buckets]uint32, d/tenth)}
	for i := range t.windows {
		t.windows[i] = new([buckets]uint32)
	}
	return t
}

// record notes that an operation that took d ended at now, which is after from.
func (t *tenths) record(now time.Time, d time.Duration) {
	if i := int(now.Sub(t.from) / tenth); i >= 0 && i < len(t.windows) {
		atomic.AddUint32(&t.windows[i][slot(d)], 1)
	}
}

// quantile is the median over the windows of each one's quantile q; 0 of none. It is called when nobody records any more.
func (t *tenths) quantile(q float64) time.Duration {
	all := make([]time.Duration, 0, len(t.windows))
	for _, w := range t.windows {
		h := histogram{max: top(buckets - 1), slots: *w}
		for _, n := range w {
			h.count += int64(n)
		}
		if h.count > 0 {
			all = append(all, h.quantile(q))
		}
	}
	return median(all)
}
