// Package drivers runs the official Neo4j drivers of several languages against an address and says what worked.
//
// Each driver has a smoke program with one contract. It takes -uri, -user, -password, -mark (a value that marks the nodes it creates) and
// -timeout; it goes through the steps of Steps, prints one JSON object a line for each, {"step", "ok", "error", "detail", "ms"}, and exits 0 when
// all were good, else 1. After a failed connect it stops. The detail of connect names the server and the Bolt version.
//
// This file owns the list of drivers and the running of a program; install.go owns how each comes onto the machine.
package drivers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Steps are what a smoke program does, in this order:
//
//	connect    connects, logs on, and asks for the server's agent
//	read       reads 1,000 rows and a parameter in read mode
//	write      creates a node in an auto-commit query and reads it back in the same session
//	commit     creates a node in an explicit transaction, sees it there, and after the commit
//	rollback   the same, and does not see it after the rollback
//	failure    a syntax error, then another query in the same session
//	reset      leaves a session in the middle of a big result, then goes on
//	managed    transaction functions, one that writes and one that reads
//	cleanup    removes its nodes
var Steps = []string{"connect", "read", "write", "commit", "rollback", "failure", "reset", "managed", "cleanup"}

// Driver is one version of one driver.
type Driver struct {
	Name    string   // language and version as the matrix shows it
	Bolt    []string // the Bolt versions that it speaks, oldest first
	Routing string   // URI scheme for a routed connection
	slug    string
	needs   func() error
	install func(ctx context.Context, dir string) (argv []string, err error)
}

var (
	modern    = []string{"4.2", "4.3", "4.4", "5.0", "5.1", "5.2", "5.3", "5.4", "5.6", "5.7", "5.8"}
	withThree = append([]string{"3"}, modern...)
	old       = []string{"1", "2", "3"}
)

// All returns the drivers of the matrix.
func All() []Driver {
	return []Driver{
		{"Go v5.28.4", withThree, "neo4j", "go", needs("go"), installGo},
		{"Python 6.4.1", append(slices.Clone(withThree), "6.0", "6.1"), "neo4j", "python-6", needs("python3"), python("requirements-6.txt", "smoke.py")},
		{"Python 1.7.6", old, "neo4j", "python-1.7", needs("python3"), python("requirements-1.7.txt", "smoke17.py")},
		{"JavaScript 6.3.0", append(slices.Clone(withThree), "6.0", "6.1"), "neo4j", "javascript-6", needs("node", "npm"), javascript("latest", "smoke.js")},
		{"JavaScript 1.7.8", old, "bolt+routing", "javascript-1.7", needs("node", "npm"), javascript("1.7", "smoke.js")},
		{"Java 6.2.1", append(slices.Clone(withThree), "6.0", "6.1"), "neo4j", "java-6", needsJavaDriver("6.2.1"), javaProgram("6.2.1", "Smoke")},
	}
}

// Named returns the driver whose name begins with prefix; it panics when there is none.
func Named(prefix string) Driver {
	for _, d := range All() {
		if strings.HasPrefix(d.Name, prefix) {
			return d
		}
	}
	panic("drivers: no driver " + prefix)
}

// Available reports what this machine lacks to run the driver, nil when nothing.
func (d Driver) Available() error { return d.needs() }

// Shares reports whether the driver speaks one of these Bolt versions.
func (d Driver) Shares(versions []string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return slices.Contains(d.Bolt, v) })
}

// Target is what a smoke program runs against.
type Target struct {
	URI, User, Password string
	Mark                string        // of the nodes that the run creates; another for each run
	Timeout             time.Duration // for the whole run; 0 means a minute
}

// Step is one line that a smoke program printed.
type Step struct {
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Error  string `json:"error"`
	Detail string `json:"detail"`
	MS     int64  `json:"ms"`
}

// Report is what came of one run.
type Report struct {
	Driver Driver
	Steps  []Step
	Took   time.Duration
	Err    error // the program did not keep the contract: it hung, crashed, or printed something else
}

// Err of a Report is ErrHung when the program did not end in time.
var ErrHung = errors.New("the program did not end within its time")

// Passed reports whether every step was good.
func (r Report) Passed() bool {
	if r.Err != nil || len(r.Steps) != len(Steps) {
		return false
	}
	for i, s := range r.Steps {
		if !s.OK || s.Step != Steps[i] {
			return false
		}
	}
	return true
}

// Refused reports whether the driver was told cleanly that it cannot connect: connect failed with an error, the program ended in time.
func (r Report) Refused() bool {
	return r.Err == nil && len(r.Steps) == 1 && r.Steps[0].Step == "connect" && !r.Steps[0].OK && r.Steps[0].Error != ""
}

// Connected returns the server's agent and the Bolt version, such as "Neo4j/5.26.30" and "5.8"; both are empty when connect failed.
func (r Report) Connected() (agent, version string) {
	if len(r.Steps) == 0 || !r.Steps[0].OK {
		return "", ""
	}
	agent, version, _ = strings.Cut(r.Steps[0].Detail, " over Bolt ")
	if major, _, _ := strings.Cut(version, "."); major < "4" {
		version = major // Bolt 3 has no minor, whatever a driver prints
	}
	return agent, version
}

// String says what failed.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %.1fs:", r.Driver.Name, r.Took.Seconds())
	for _, s := range r.Steps {
		if s.OK {
			fmt.Fprintf(&b, "\n  %-8s ok %5d ms %s", s.Step, s.MS, s.Detail)
		} else {
			fmt.Fprintf(&b, "\n  %-8s FAILED after %d ms: %s", s.Step, s.MS, s.Error)
		}
	}
	if r.Err != nil {
		fmt.Fprintf(&b, "\n  %v", r.Err)
	}
	return b.String()
}

// Program is an installed driver.
type Program struct {
	Driver Driver
	argv   []string
}

// Smoke runs the program against a target.
func (p Program) Smoke(ctx context.Context, to Target) Report {
	if to.Timeout == 0 {
		to.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, to.Timeout+5*time.Second, ErrHung)
	defer cancel()
	args := append(p.argv[1:len(p.argv):len(p.argv)], "-uri", to.URI, "-user", to.User, "-password", to.Password,
		"-mark", to.Mark, "-timeout", to.Timeout.String())
	cmd := exec.CommandContext(ctx, p.argv[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	begun := time.Now()
	err := cmd.Run()
	r := Report{Driver: p.Driver, Took: time.Since(begun)}
	r.Steps, r.Err = parse(&out)
	r.Err = errors.Join(r.Err, verdict(ctx, cmd, err, r, errs.String()))
	return r
}

// verdict holds the exit status to what was printed.
func verdict(ctx context.Context, cmd *exec.Cmd, err error, r Report, stderr string) error {
	stderr = strings.TrimSpace(stderr)
	if len(stderr) > 4000 {
		stderr = "…" + stderr[len(stderr)-4000:]
	}
	failed := slices.ContainsFunc(r.Steps, func(s Step) bool { return !s.OK })
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w\n%s", context.Cause(ctx), stderr)
	case err == nil && !failed && len(r.Steps) == len(Steps):
		return nil
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1 && failed:
		return nil
	}
	return fmt.Errorf("the program ended with %v after %d steps\n%s", err, len(r.Steps), stderr)
}

func parse(out *bytes.Buffer) (steps []Step, err error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var s Step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil || s.Step == "" {
			return steps, fmt.Errorf("the program printed %.200q, which is no step", lines.Text())
		}
		steps = append(steps, s)
	}
	return steps, lines.Err()
}
