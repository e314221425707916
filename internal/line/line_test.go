package line

import (
	"slices"
	"testing"
)

type waiter struct {
	name     string
	priority int
}

func (w waiter) Priority() int { return w.priority }

func TestTheHigherPriorityComesFirstAndEqualsAsTheyCame(t *testing.T) {
	const room = 4
	var line []waiter
	for _, step := range []struct {
		name     string
		priority int
		want     string // the line, in order
		pushed   string // who made room
		refused  bool
	}{
		{"a", 0, "a", "", false},
		{"b", 0, "ab", "", false},
		{"C", 1, "Cab", "", false},
		{"D", 1, "CDab", "", false},
		{"e", 0, "CDab", "", true},
		{"F", 1, "CDFa", "b", false},
		{"G", 2, "GCDF", "a", false},
		{"H", 1, "GCDF", "", true},
		{"z", -1, "GCDF", "", true},
	} {
		with, pushed, hasPushed, ok := Stand(line, waiter{step.name, step.priority}, room)
		line = with
		var got string
		for _, w := range line {
			got += w.name
		}
		if got != step.want || pushed.name != step.pushed || hasPushed != (step.pushed != "") || ok == step.refused {
			t.Errorf("%s with priority %d: the line is %s, %q made room (%v), ok %v; want %s, %q", step.name, step.priority, got, pushed.name, hasPushed, ok, step.want, step.pushed)
		}
	}
}

func TestALineWithoutRoomTakesNobody(t *testing.T) {
	if with, _, _, ok := Stand(nil, waiter{"a", 9}, 0); ok || !slices.Equal(with, nil) {
		t.Errorf("got %v, %v", with, ok)
	}
}
