package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantilesAreWithinOnePartIn128(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	var h, half histogram
	var all []time.Duration
	for i := range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(300*time.Microsecond))
		all = append(all, d)
		if i%2 == 0 {
			h.record(d)
		} else {
			half.record(d)
		}
	}
	h.add(&half)
	slices.Sort(all)
	for _, q := range []float64{0.01, .5, .9, .99, .999, 1} {
		want := all[int(q*float64(len(all)))-1]
		got := h.quantile(q)
		if got < want || float64(got) > float64(want)*(1+1./fine)+1 {
			t.Errorf("quantile %v: got %v; want %v or a little more", q, got, want)
		}
	}
	if h.count != 20000 || h.max != all[len(all)-1] {
		t.Errorf("got %d times, the longest %v; want 20000, %v", h.count, h.max, all[len(all)-1])
	}
}

func TestHistogramBucketsTouchAndHoldTheirTimes(t *testing.T) {
	for i := range buckets - 1 {
		if slot(top(i)) != i || slot(top(i)+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in bucket %d; the next is in %d", i, top(i), slot(top(i)), slot(top(i)+1))
		}
	}
	if got := slot(time.Hour); got != buckets-1 {
		t.Errorf("an hour is in bucket %d; want the last, %d", got, buckets-1)
	}
}

func TestEmptyHistogramIsAllZero(t *testing.T) {
	var h histogram
	if h.mean() != 0 || h.quantile(.99) != 0 {
		t.Errorf("got mean %v, p99 %v; want 0", h.mean(), h.quantile(.99))
	}
}
