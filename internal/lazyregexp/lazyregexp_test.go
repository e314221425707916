package lazyregexp

import (
	"slices"
	"testing"
)

func TestPattern(t *testing.T) {
	p := New(`a(b*)`)
	if !p.MatchString("xabb") || p.MatchString("x") {
		t.Error("MatchString")
	}
	if got := p.FindStringSubmatch("xabb"); !slices.Equal(got, []string{"abb", "bb"}) {
		t.Errorf("FindStringSubmatch: got %q", got)
	}
	if got := p.Split("xaby", -1); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("Split: got %q", got)
	}
}

func TestAWrongExpressionIsFoundInTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(`a(`)
}
