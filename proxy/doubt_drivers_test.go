package proxy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns what the official drivers make of a commit in doubt, through the gate and without it; docs/failover.md shows it.

// doubtRelease is a server that speaks the newest Bolt of the driver.
func doubtRelease(d drivers.Driver) standin.Options {
	switch newest := d.Bolt[len(d.Bolt)-1]; {
	case newest == "3":
		return standin.Options{Generation: cluster.Causal, ServerVersion: "3.5.35", Seed: 1}
	case newest == "4.4":
		return standin.Options{Generation: cluster.Causal, ServerVersion: "4.4.48", Seed: 1}
	}
	return standin.Options{Seed: 1}
}

// doubtRuns are what each driver does: the work, and where its member's connection is cut.
var doubtRuns = []struct{ work, cut, title string }{
	{"auto", "commit", "auto-commit, not committed"},
	{"auto", "committed", "auto-commit, committed"},
	{"managed", "commit", "COMMIT of a transaction function, not committed"},
	{"managed", "committed", "the same, committed"},
}

// TestNoDriverRepeatsWhatIsInDoubt: an answer that is lost behind a commit reaches every driver as an error that it does not retry.
// It runs in CI and with BOLTGATE_LONG=1; BOLTGATE_WRITE_DOCS=1 writes the table in docs/failover.md from what it saw.
func TestNoDriverRepeatsWhatIsInDoubt(t *testing.T) {
	if !long() && os.Getenv("CI") == "" && os.Getenv("BOLTGATE_WRITE_DOCS") == "" {
		t.Skip("drivers of other languages take minutes; BOLTGATE_LONG=1 runs them")
	}
	through, direct := [][]string{}, [][]string{}
	for _, d := range drivers.Doubters() {
		t.Run(d.Name, func(t *testing.T) {
			labs.Require(t, "driver "+d.Name, d.Available())
			p, err := d.Install(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g := startGate(t, gateOptions{standin: doubtRelease(d)})
			rows := [2][]string{{d.Name}, {d.Name}}
			for _, r := range doubtRuns {
				for i, uri := range []string{"bolt://" + g.address, "bolt://" + g.leaderAddress()} {
					mark := fmt.Sprintf("%s %s %d", r.work, r.cut, i)
					o, err := p.Doubt(t.Context(), drivers.Target{URI: uri, User: standin.DefaultUser, Password: standin.DefaultPassword, Mark: mark}, r.work, r.cut)
					if err != nil {
						t.Fatal(err)
					}
					applied := g.applied(mark)
					rows[i] = append(rows[i], fmt.Sprintf("%s; asked %s, applied %s", shortCode(o.Error), times(o.Attempts), times(applied)))
					want := map[string]int{"commit": 0, "committed": 1}[r.cut]
					if i == 0 && (o.Attempts != 1 || applied != want || o.Error != bolt.CodeCommitFailed) {
						t.Errorf("%s: asked %d times, applied %d times, left with %q; want once, %d and %s", r.title, o.Attempts, applied, o.Error, want, bolt.CodeCommitFailed)
					}
				}
			}
			through, direct = append(through, rows[0]), append(direct, rows[1])
		})
	}
	if os.Getenv("BOLTGATE_WRITE_DOCS") != "" && !t.Failed() && len(through) == len(drivers.Doubters()) {
		writeDoubts(t, through, direct)
	}
}

func (g *gate) leaderAddress() string {
	leader := g.cluster.Leader("")
	i := slices.IndexFunc(g.cluster.Members(), func(m *cluster.Member) bool { return m.Name == leader })
	return g.cluster.Members()[i].Bolt
}

// applied counts the commits of mark.
func (g *gate) applied(mark string) (n int) {
	for _, m := range g.marks() {
		if m == mark {
			n++
		}
	}
	return n
}

func shortCode(code string) string {
	if code == "" {
		return "success"
	}
	return code[strings.LastIndexByte(code, '.')+1:]
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "**twice**"
	}
	return fmt.Sprintf("**%d times**", n)
}

func writeDoubts(t *testing.T, through, direct [][]string) {
	const page, begin, end = "../docs/failover.md", "<!-- drivers: written by proxy's TestNoDriverRepeatsWhatIsInDoubt -->\n", "<!-- end of drivers -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	var b strings.Builder
	for i, rows := range [][][]string{through, direct} {
		fmt.Fprintf(&b, "%s:\n\n| driver |", []string{"Through boltgate", "\nWithout it, for comparison"}[i])
		for _, r := range doubtRuns {
			fmt.Fprintf(&b, " %s |", r.title)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(doubtRuns)) + "\n")
		for _, row := range rows {
			b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		}
	}
	if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
