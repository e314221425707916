package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// TestWhatLimitsDidIsCounted goes through the limits that do not turn away for now: those that do are counted where they are tested.
func TestWhatLimitsDidIsCounted(t *testing.T) {
	v := bolt.V5_4
	big := "RETURN 1 //" + strings.Repeat("x", 50_000)
	for _, tt := range []struct {
		limit string
		front func(*Frontend)
		do    func(g *gate)
	}{
		{"rows", func(f *Frontend) { f.MaxRows = 10 }, func(g *gate) { g.logged(v).ask(run(v, manyRows, nil, nil), pull(v)) }},
		{"bytes", func(f *Frontend) { f.MaxBytes = 5000 }, func(g *gate) { g.logged(v).ask(run(v, manyRows, nil, nil), pull(v)) }},
		{"bytes", func(f *Frontend) { f.MaxBytes = 10 }, func(g *gate) { g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)) }},
		{"request", nil, func(g *gate) { g.logged(v).expect("FAILURE("+bolt.CodeInvalidRequest+")", run(v, big, nil, nil)) }},
		{"request", nil, func(g *gate) {
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(big)); a.status != 413 {
				t.Errorf("got %v", a)
			}
		}},
		{"login", nil, func(g *gate) { g.server.throttle.bad("127.0.0.1:1"); g.logged(v) }},
		{"login", nil, func(g *gate) {
			g.server.throttle.bad("127.0.0.1:1")
			g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow))
		}},
	} {
		g := startGate(t, gateOptions{frontend: tt.front, server: Options{RequestLimit: 4096}})
		tt.do(g)
		counted := func() (names []string) {
			for name, n := range g.server.Counts().Limited {
				for range n {
					names = append(names, name)
				}
			}
			return names
		}
		for deadline := time.Now().Add(patience); len(counted()) == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // an answer may be there before it is counted
		}
		if got := counted(); !slices.Equal(got, []string{tt.limit}) {
			t.Errorf("%s: got %v", tt.limit, got)
		}
	}
}

func TestIdleClientsThatGoForMemoryAreCounted(t *testing.T) {
	g, percent := scarce(t)
	for range 3 {
		g.logged(bolt.V5_4)
	}
	percent.Store(86)
	waitFor(t, "idle clients to go", func() bool { return g.server.Counts().Limited["memory_idle"] == 3 })
}

// TestReasonsHaveNames: an unnamed one would be a label without a value, and a second of one name would hide the first.
func TestReasonsHaveNames(t *testing.T) {
	for what, names := range map[string][]string{"turned": turnedNames[:], "resent": resentNames[:], "limited": limitedNames[:], "replays": replayNames[:]} {
		names = slices.Clone(names)
		slices.Sort(names)
		if names[0] == "" || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s: %q", what, names)
		}
	}
}
