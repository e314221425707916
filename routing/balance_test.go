package routing

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// loads answers for Router.Load from a table.
func loads(l map[string]cluster.Load) func(string) cluster.Load {
	return func(member string) cluster.Load { return l[member] }
}

// spread counts who gets n reads.
func spread(t *testing.T, r *Router, v *cluster.View, n int, now time.Time) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		s, err := r.Pick(v, Intent{Mode: Read, Now: now}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got[s.Name]++
	}
	return got
}

func TestBalances(t *testing.T) {
	three := []string{"a leader", "b follower", "c follower", "d replica w3"}
	busy := map[string]cluster.Load{"b": {InFlight: 4}, "c": {InFlight: 2}, "d": {InFlight: 9}}
	slow := map[string]cluster.Load{"b": {Latency: 9 * time.Millisecond}, "c": {Latency: 2 * time.Millisecond, InFlight: 3}, "d": {Latency: 9 * time.Millisecond}}
	for _, c := range []struct {
		name    string
		balance Balance
		loads   map[string]cluster.Load
		want    string // of 500 reads
	}{
		{"round-robin goes by weight", RoundRobin, busy, "b:100 c:100 d:300"},
		{"the first is the first", First, busy, "b:500"},
		{"least-busy: (9+1)/3 is more than 2+1", LeastBusy, busy, "c:500"},
		{"least-busy: equals take turns", LeastBusy, map[string]cluster.Load{"d": {InFlight: 2}}, "b:167 c:167 d:166"},
		{"latency: 9 ms / 3 is less than 2 ms * 4 and 9 ms", Latency, slow, "d:500"},
		{"latency: who is unknown is tried", Latency, map[string]cluster.Load{"b": {Latency: 1}, "c": {Latency: 1}}, "d:500"},
	} {
		r := &Router{Policy: Policy{Balance: c.balance}, Load: loads(c.loads)}
		got := spread(t, r, view(three...), 500, time.Time{})
		var text []string
		for _, name := range slices.Sorted(maps.Keys(got)) {
			text = append(text, fmt.Sprint(name, ":", got[name]))
		}
		if strings.Join(text, " ") != c.want {
			t.Errorf("%s: got %v; want %s", c.name, text, c.want)
		}
	}
}

// Of two draws the busiest member wins only when both fell on it.
func TestRandomTwo(t *testing.T) {
	r := &Router{Policy: Policy{Balance: RandomTwo}, Load: loads(map[string]cluster.Load{"b": {InFlight: 5}, "c": {InFlight: 1}})}
	got := spread(t, r, view("a leader", "b follower", "c follower"), 20_000, time.Time{})
	if share := float64(got["b"]) / 20_000; math.Abs(share-0.25) > 0.03 {
		t.Errorf("the busy one got %.3f of all reads; want a quarter", share)
	}
}

func TestPreferredTags(t *testing.T) {
	v := view("a leader", "b follower", "c follower", "d follower", "e replica")
	for name, tags := range map[string][]string{"b": {"west"}, "c": {"east", "ssd"}, "d": {"east"}, "e": {"west", "ssd"}} {
		v.Member(name).Tags = tags
	}
	for _, c := range []struct {
		prefer, down []string
		want         string
	}{
		{nil, nil, "b c d e"},
		{[]string{"east"}, nil, "c d"},
		{[]string{"west", "east"}, nil, "b e"},
		{[]string{"west", "east"}, []string{"b", "e"}, "c d"},
		{[]string{"ssd", "east"}, nil, "c e"},
		{[]string{"north"}, nil, "b c d e"},
		{[]string{"west"}, []string{"b", "e"}, "c d"},
	} {
		r := &Router{Policy: Policy{Prefer: c.prefer}}
		for _, s := range v.Members {
			s.Up = !slices.Contains(c.down, s.Name)
		}
		got := spread(t, r, v, 100, time.Time{})
		if text := strings.Join(slices.Sorted(maps.Keys(got)), " "); text != c.want {
			t.Errorf("prefer %v without %v: got %s; want %s", c.prefer, c.down, text, c.want)
		}
	}
}

func TestSlowStart(t *testing.T) {
	now := time.Now()
	v := view("a leader", "b follower", "c follower")
	v.Member("b").Since = now.Add(-time.Hour)
	r := &Router{Policy: Policy{SlowStart: 10 * time.Second}}
	for seconds, want := range map[int]int{0: 0, 1: 50, 5: 250, 9: 450, 10: 500, 60: 500} { // of 1000, half at the end
		v.Member("c").Since = now.Add(-time.Duration(seconds) * time.Second)
		if got := spread(t, r, v, 1000, now)["c"]; got < want-30 || got > want+30 {
			t.Errorf("%d s after it came up it gets %d of 1000 reads; want about %d", seconds, got, want)
		}
	}
	v.Member("b").Up = false // who is alone serves all, however new
	v.Member("c").Since = now
	if got := spread(t, r, v, 100, now)["c"]; got != 100 {
		t.Errorf("alone it gets %d of 100", got)
	}
}

func BenchmarkBalances(b *testing.B) {
	v := view("a leader", "b follower", "c follower", "d replica")
	for name, balance := range map[string]Balance{"round-robin": RoundRobin, "least-busy": LeastBusy, "random-two": RandomTwo, "latency": Latency} {
		b.Run(name, func(b *testing.B) {
			r := &Router{Policy: Policy{Balance: balance, SlowStart: time.Second}, Load: loads(map[string]cluster.Load{"b": {InFlight: 1, Latency: 1}})}
			b.ReportAllocs()
			for b.Loop() {
				r.Pick(v, Intent{Mode: Read}, nil) //nolint:errcheck // measures
			}
		})
	}
}
