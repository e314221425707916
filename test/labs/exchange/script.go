package exchange

// This file owns files of scenarios: reading and writing them, and the comparison of two runs of one.

import (
	"fmt"
	"strings"
)

// Scenario is one conversation. Lines begin with "C: " (a request) or "S: " (an answer); "W: 3" waits for three answers though more are owed (then rows beside each other are one line, "S: RECORD …"), "--"
// for all of them, which a request behind an answer means too; "bare" stands first.
type Scenario struct {
	Name  string
	About string // what it shows, a sentence
	Lines []string
}

// Requests returns the scenario without its answers.
func (s Scenario) Requests() Scenario {
	asked := Scenario{Name: s.Name, About: s.About}
	for i, line := range s.Lines {
		if strings.HasPrefix(line, "S: ") {
			continue
		}
		if i > 0 && strings.HasPrefix(s.Lines[i-1], "S: ") && (len(asked.Lines) == 0 || !waits(asked.Lines[len(asked.Lines)-1])) {
			asked.Lines = append(asked.Lines, wait)
		}
		asked.Lines = append(asked.Lines, line)
	}
	return asked
}

// waits reports whether a line waits for some of the answers that are owed.
func waits(line string) bool { return strings.HasPrefix(line, "W: ") }

// Format returns scenarios as a file; head is a comment for its top.
func Format(head string, scenarios []Scenario) string {
	var b strings.Builder
	for line := range strings.Lines(head) {
		b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
	}
	for _, s := range scenarios {
		fmt.Fprintf(&b, "\n== %s\n", s.Name)
		if s.About != "" {
			b.WriteString("# " + s.About + "\n")
		}
		for _, line := range s.Lines {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// Parse reads a file of scenarios.
func Parse(text string) ([]Scenario, error) {
	var all []Scenario
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		name, begins := strings.CutPrefix(line, "== ")
		switch {
		case begins:
			all = append(all, Scenario{Name: name})
		case line == "" || strings.HasPrefix(line, "#") && len(all) == 0:
		case len(all) == 0:
			return nil, fmt.Errorf("exchange: %q stands before the first scenario", line)
		case strings.HasPrefix(line, "# "):
			all[len(all)-1].About = line[2:]
		default:
			all[len(all)-1].Lines = append(all[len(all)-1].Lines, line)
		}
	}
	return all, nil
}

// Diff returns the first line in which two runs of a scenario differ, "" when they do not.
func Diff(got, want Scenario) string {
	for i := range max(len(got.Lines), len(want.Lines)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got.Lines) {
			g = got.Lines[i]
		}
		if i < len(want.Lines) {
			w = want.Lines[i]
		}
		if g != w {
			return fmt.Sprintf("%s, line %d:\n got  %s\n want %s", got.Name, i+1, g, w)
		}
	}
	return ""
}

// Shape returns the scenario with each answer reduced to what a server without a database can promise: its kind, the names of its metadata,
// and the code of a failure. Records beside each other become one line.
func (s Scenario) Shape() Scenario {
	shaped := Scenario{Name: s.Name, About: s.About}
	for _, line := range s.Lines {
		if strings.HasPrefix(line, "S: ") {
			line = shape(line)
		}
		if n := len(shaped.Lines); line == "S: RECORD" && n > 0 && shaped.Lines[n-1] == line {
			continue
		}
		shaped.Lines = append(shaped.Lines, line)
	}
	return shaped
}

func shape(line string) string {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(line, "S: "), " ")
	if kind != "SUCCESS" && kind != "FAILURE" {
		return "S: " + kind
	}
	keys, code := topKeys(rest)
	if code != "" {
		return "S: " + kind + " " + code + " " + keys
	}
	return "S: " + kind + " " + keys
}

// topKeys returns the keys of a map as text, without their values, and the value of code or neo4j_code.
func topKeys(text string) (keys, code string) {
	var names []string
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("{[(", c) >= 0:
			depth++
			start = i + 1
		case strings.IndexByte("}])", c) >= 0:
			depth--
		case depth == 1 && c == ',':
			start = i + 2
		case depth == 1 && c == ':' && start < i:
			name := text[start:i]
			names = append(names, name)
			if name == "code" || name == "neo4j_code" {
				value, _, _ := strings.Cut(text[i+3:], `"`)
				code = value
			}
			start = len(text)
		}
	}
	return "{" + strings.Join(names, ", ") + "}", code
}
