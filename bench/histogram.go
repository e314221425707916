package bench

import (
	"math/bits"
	"time"
)

const (
	fineBits = 7             // 128 steps per power of two: a quantile is at most 0.8% too high
	fine     = 1 << fineBits // times below this many nanoseconds have a bucket each
	buckets  = (40 - fineBits) * fine
)

// histogram counts times in buckets that grow with the time, up to some 9 minutes. The zero value is empty.
type histogram struct {
	count int64
	total time.Duration
	max   time.Duration
	slots [buckets]uint32
}

func slot(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-fineBits-1, 0)
	return min(shift*fine+int(v>>shift), buckets-1)
}

// top is the longest time that the slot holds.
func top(i int) time.Duration {
	if i < 2*fine {
		return time.Duration(i)
	}
	shift := i/fine - 1
	return time.Duration(uint64(i-shift*fine+1)<<shift - 1)
}

func (h *histogram) record(d time.Duration) {
	h.slots[slot(d)]++
	h.count++
	h.total += d
	h.max = max(h.max, d)
}

func (h *histogram) add(o *histogram) {
	for i, n := range o.slots {
		h.slots[i] += n
	}
	h.count += o.count
	h.total += o.total
	h.max = max(h.max, o.max)
}

func (h *histogram) mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return h.total / time.Duration(h.count)
}

// quantile returns a time that the part q of all times does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	want := int64(q*float64(h.count) + .999999)
	for i, n := range h.slots {
		if want -= int64(n); want <= 0 && h.count > 0 {
			return min(top(i), h.max)
		}
	}
	return h.max
}
