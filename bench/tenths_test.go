package bench

import (
	"testing"
	"time"
)

func TestATenthOfASecondStandsForItself(t *testing.T) {
	w := newTenths(time.Second)
	w.from = time.Now()
	for i := range 10 {
		at := w.from.Add(time.Duration(i)*tenth + tenth/2)
		for n := range 1000 {
			d := time.Duration(100+i) * time.Microsecond
			if n >= 980 {
				d *= 2
			}
			if i%3 == 0 { // a stall in four of the ten
				d += 5 * time.Millisecond
			}
			w.record(at, d)
		}
	}
	w.record(w.from.Add(-time.Nanosecond), time.Hour)
	w.record(w.from.Add(time.Second), time.Hour)
	if got := w.quantile(.99); got < 214*time.Microsecond || got > 218*time.Microsecond { // of 202 204 208 210 214 216, and four of over 5 ms, the upper median
		t.Errorf("p99 of a tenth is %v, want some 216µs", got)
	}
	if got := newTenths(50 * time.Millisecond).quantile(.99); got != 0 {
		t.Errorf("without a whole tenth it is %v, want 0", got)
	}
}
