package pool

import (
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	now := time.Now()
	var l latency
	want := func(what string, at time.Time, least, most time.Duration) {
		t.Helper()
		if got := l.of(at); got < least || got > most {
			t.Errorf("%s: got %v; want %v to %v", what, got, least, most)
		}
	}
	want("nothing known", now, 0, 0)
	l.note(8*time.Millisecond, now)
	want("one answer", now, 8*time.Millisecond, 8*time.Millisecond)
	l.note(40*time.Millisecond, now)
	want("one slow answer moves it a little", now, 9*time.Millisecond, 11*time.Millisecond)
	for range 100 {
		l.note(40*time.Millisecond, now)
	}
	want("many move it there", now, 39*time.Millisecond, 40*time.Millisecond)
	want("half is forgotten", now.Add(latencyHalf), 19*time.Millisecond, 20*time.Millisecond)
	want("all is forgotten", now.Add(time.Hour*24*365*200), 0, 0)
	l.note(6*time.Millisecond, now.Add(10*latencyHalf))
	want("what is old counts little", now.Add(10*latencyHalf), 0, time.Millisecond)
}
