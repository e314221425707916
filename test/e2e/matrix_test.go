package e2e

// This file owns what the run saw, and the page docs/compatibility.md that is written from it.

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// matrix is what was seen, by "via", row and lab. The zero value is ready.
type matrix struct {
	mu    sync.Mutex
	cells map[cell]string // guarded by mu
	notes []string        // guarded by mu; footnotes in the order of their numbers
}

type cell struct {
	gate     bool
	row, lab string
}

var seen matrix

// set keeps the worse of what a cell was told: several runs share one.
func (m *matrix) set(c cell, text string, good bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells = map[cell]string{}
	}
	if _, there := m.cells[c]; !there || !good {
		m.cells[c] = text
	}
}

// driver enters the report of a smoke.
func (m *matrix) driver(gate bool, lab labs.Lab, r drivers.Report) {
	_, version := r.Connected()
	known := knownFlaw(r.Driver, lab)
	text, good := "fails", false
	switch {
	case r.Passed():
		text, good = "Bolt "+version, true
	case known.match(r):
		text, good = fmt.Sprintf("Bolt %s [^%d]", version, m.note(known.note)), true
	case !r.Driver.Shares(spoken[lab.Name]) && r.Refused():
		text, good = "refused", true
	}
	m.set(cell{gate, r.Driver.Name, lab.Name}, text, good)
}

// raw enters whether the raw client got the recorded answers.
func (m *matrix) raw(gate bool, lab labs.Lab, v bolt.Version, good bool) {
	text := "yes"
	if !good {
		text = "differs"
	}
	m.set(cell{gate, "Bolt " + v.String(), lab.Name}, text, good)
}

// note returns the number of a footnote.
func (m *matrix) note(text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range m.notes {
		if n == text {
			return i + 1
		}
	}
	m.notes = append(m.notes, text)
	return len(m.notes)
}

// write writes the page; an error when this run has not seen every cell of it.
func (m *matrix) write(path string) error {
	text, err := m.page()
	if err != nil {
		return fmt.Errorf("%s is not written: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

const preface = `# Drivers, servers, Bolt versions

<!-- Written by the test run: BOLTGATE_WRITE_DOCS=1 go test -timeout 30m ./test/e2e. Do not edit by hand. -->

Every cell was seen in one run of test/e2e with real servers. A driver's smoke connects, reads, writes, commits, rolls back, fails and goes on, leaves a
big result half read, and runs transaction functions; through boltgate it does so twice, with ` + "`bolt://` and `neo4j://` (`bolt+routing://` for JavaScript 1.7)" + `. A cell names the Bolt version that
was spoken; "refused" means that driver and server share none, and the driver was told so at once.
`

func (m *matrix) page() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	b.WriteString(preface)
	var rows []string
	for _, d := range drivers.All() {
		rows = append(rows, d.Name)
	}
	if err := m.table(&b, "Through boltgate", "driver", true, rows, ""); err != nil {
		return "", err
	}
	if err := m.table(&b, "Without it, for comparison", "driver", false, rows, ""); err != nil {
		return "", err
	}
	rows = rows[:0]
	for i := range bolt.Versions {
		rows = append(rows, "Bolt "+bolt.Versions[len(bolt.Versions)-1-i].String())
	}
	b.WriteString("\nA raw client plays the conversations of test/labs/recordings in each version: logins, transactions, failures, RESET in the middle of a\n" +
		"result, pipelining, routing tables, requests that are not legal. \"yes\" means that through boltgate every answer is of the kind, and has the metadata\n" +
		"and the code, that the server itself gives, but for the list below (a wrong password is tried in the oldest and newest version); a dash, that the server does not speak the version.\n")
	if err := m.table(&b, "Raw conversations through boltgate", "version", true, rows, "–"); err != nil {
		return "", err
	}
	b.WriteString("\nWhere it answers otherwise, and why:\n\n")
	for _, r := range reasons() {
		b.WriteString("* " + r + "\n")
	}
	for i, n := range m.notes {
		fmt.Fprintf(&b, "\n[^%d]: %s\n", i+1, n)
	}
	return b.String(), nil
}

// table writes one table; absent is what a cell that nobody saw shows, "" when there must be none.
func (m *matrix) table(b *strings.Builder, title, corner string, gate bool, rows []string, absent string) error {
	fmt.Fprintf(b, "\n## %s\n\n| %s |", title, corner)
	for _, lab := range labs.All() {
		fmt.Fprintf(b, " %s |", title0(lab))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(labs.All())) + "\n")
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |", row)
		for _, lab := range labs.All() {
			text, ok := m.cells[cell{gate, row, lab.Name}]
			if !ok && absent == "" {
				return fmt.Errorf("this run has not seen %s on lab %s; run all of test/e2e", row, lab.Name)
			}
			if !ok {
				text = absent
			}
			fmt.Fprintf(b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return nil
}

// title0 is the heading of a lab's column.
func title0(lab labs.Lab) string {
	switch lab.Kind {
	case labs.HAMode:
		return "HA " + lab.Version()
	case labs.CausalMode:
		return "causal " + lab.Version()
	}
	return "Community " + lab.Version()
}
