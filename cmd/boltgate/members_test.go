package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

func member(name, bolt string) *cluster.Member {
	return &cluster.Member{Name: name, Bolt: bolt, Weight: 1}
}

func (r *roster) words() string {
	var all []string
	for _, m := range r.all() {
		name := m.Name
		if r.conditions()[m.Name] == cluster.Drain {
			name = "(" + name + ")"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestMembersThatLeaveAreDrained(t *testing.T) {
	var (
		now     = time.Now()
		down    = map[string]bool{}
		working = map[string]bool{}
		mayWork = func(m *cluster.Member) bool { return !down[m.Name] }
		busy    = func(m *cluster.Member) bool { return working[m.Name] }
		r       roster
	)
	want := func(when, want string) {
		t.Helper()
		if got := r.words(); got != want {
			t.Errorf("%s: got %q; want %q", when, got, want)
		}
	}
	set := func(members ...*cluster.Member) []string { return r.set(members, mayWork, now) }
	set(member("a", "h1:1"), member("b", "h2:1"), member("c", "h3:1"))
	first := r.all()
	if left := set(member("a", "h1:1"), member("b", "h2:1"), member("c", "h3:1")); left != nil || !slices.Equal(first, r.all()) {
		t.Errorf("an equal list: %q left, %v; want the same members", left, r.all())
	}
	if left := set(member("a", "h1:1"), member("c", "h3:1")); !slices.Equal(left, []string{"b"}) {
		t.Errorf("got %q to leave; want b", left)
	}
	want("b left", "a c (b)")
	set(member("a", "h1:1"), member("b", "h2:1"), member("c", "h3:1"))
	if want("b is back", "a b c"); !slices.Equal(first, r.all()) {
		t.Error("b is another member than before")
	}
	set(member("a", "h1:1"))
	want("b and c left", "a (b) (c)")
	set(member("a", "h1:1"), member("c", "h9:1"), member("d", "h2:1"))
	want("c has moved, and b has another name", "a c d")
	set(member("a", "h1:1"))
	working["c"] = true
	now = now.Add(drainFor)
	if r.letGo(mayWork, busy, now); r.words() != "a (c)" {
		t.Errorf("d has no work, c has: got %q", r.words())
	}
	working["c"] = false
	now = now.Add(drainFor - time.Second)
	r.letGo(mayWork, busy, now)
	want("c had work a short time ago", "a (c)")
	now = now.Add(time.Second)
	if gone := r.letGo(mayWork, busy, now); len(gone) != 1 || gone[0].member.Name != "c" || now.Sub(gone[0].since) != 2*drainFor {
		t.Errorf("got %v to be gone; want c", gone)
	}
	want("c had no work for long", "a")
	set(member("a", "h1:1"), member("e", "h5:1"), member("f", "h6:1"))
	down["f"] = true
	set(member("a", "h1:1"))
	want("f is down: nothing can go on there", "a (e)")
	down["e"] = true
	r.letGo(mayWork, busy, now)
	want("e is down", "a")
}

func TestWhatIsGivenComesBeforeWhatIsFound(t *testing.T) {
	given := []*cluster.Member{member("s1", "10.0.0.1:7687"), {Name: "s2", HTTP: "10.0.0.2:7474"}}
	found := []*cluster.Member{
		member("10.0.0.1:7687", "10.0.0.1:7687"),
		{Name: "10.0.0.2:7687", Bolt: "10.0.0.2:7687", HTTP: "10.0.0.2:7474"},
		member("10.0.0.3:7687", "10.0.0.3:7687"),
	}
	if got := merge(given, found); len(got) != 3 || got[0] != given[0] || got[1] != given[1] || got[2] != found[2] {
		t.Errorf("got %v; want those that are given, and the one that is not among them", got)
	}
}
