package drivers

// This file owns the doubt programs: what each driver makes of a commit whose answer was lost. One contract: a program takes -uri, -user,
// -password, -mark, -work (auto: a query of the session; managed: a transaction function), -close, -count (1 when it is not given) and -timeout; it
// writes that many nodes, one after the other, each in a session of its own, with the parameters mark (with more than one: mark/1, mark/2…) and, in its
// first attempt alone, close, so that a stand-in cuts the connection there; for each it prints one JSON object, {"mark", "attempts", "error"}, how
// often its function was called and the code, or kind, of the error that it was left with; it exits 0.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/boltgate/boltgate/test/labs/jars"
)

// Outcome is what a doubt program saw of one write.
type Outcome struct {
	Mark     string `json:"mark"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error"` // "": the driver said that all was well
}

// Doubters returns the drivers that have such a program.
func Doubters() []Driver {
	smoke := func(name, slug string, install func(context.Context, string) ([]string, error)) Driver {
		d := Named(name)
		d.slug, d.install = slug, install
		return d
	}
	return []Driver{
		smoke("Go", "go-doubt", installGoDoubt),
		smoke("Python 6", "python-6", python("requirements-6.txt", "doubt.py")),
		smoke("Python 1.7", "python-1.7", python("requirements-1.7.txt", "doubt.py")),
		smoke("JavaScript 6", "javascript-6", javascript("latest", "doubt.js")),
		{"JavaScript 4.4.11", []string{"3", "4.2", "4.3", "4.4"}, "neo4j", "javascript-4.4", needs("node", "npm"), javascript("4.4", "doubt.js")},
		smoke("JavaScript 1.7", "javascript-1.7", javascript("1.7", "doubt.js")),
		smoke("Java 6", "java-6-doubt", javaProgram("6.2.1", "Doubt6")),
		{"Java 4.4.20", []string{"3", "4.1", "4.2", "4.3", "4.4"}, "neo4j", "java-4.4", needsJavaDriver("4.4.20"), javaProgram("4.4.20", "Doubt44")},
		{"Java 1.7.6", old, "bolt+routing", "java-1.7", needsJavaDriver("1.7.6"), javaProgram("1.7.6", "Doubt17")},
	}
}

// Doubt runs a program of Doubters for one write; work is auto or managed, cut where the stand-in cuts the connection: commit or committed.
func (p Program) Doubt(ctx context.Context, to Target, work, cut string) (Outcome, error) {
	all, err := p.Writes(ctx, to, work, cut, 1)
	if err != nil {
		return Outcome{}, err
	}
	return all[0], nil
}

// Writes runs a program of Doubters for count writes and returns what came of each.
func (p Program) Writes(ctx context.Context, to Target, work, cut string, count int) (all []Outcome, err error) {
	if to.Timeout == 0 {
		to.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, to.Timeout, ErrHung)
	defer cancel()
	args := append(p.argv[1:len(p.argv):len(p.argv)], "-uri", to.URI, "-user", to.User, "-password", to.Password, "-mark", to.Mark,
		"-work", work, "-close", cut, "-count", strconv.Itoa(count), "-timeout", to.Timeout.String())
	cmd := exec.CommandContext(ctx, p.argv[0], args...)
	var said bytes.Buffer // Java's drivers talk a lot
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		text := said.Bytes()
		return nil, fmt.Errorf("drivers: %s: %w\n%s", p.Driver.Name, errors.Join(err, context.Cause(ctx)), text[max(0, len(text)-4000):])
	}
	for lines := json.NewDecoder(bytes.NewReader(out)); lines.More(); {
		var o Outcome
		if err := lines.Decode(&o); err != nil {
			return nil, fmt.Errorf("drivers: %s printed %q: %w", p.Driver.Name, out, err)
		}
		all = append(all, o)
	}
	if len(all) != count {
		return all, fmt.Errorf("drivers: %s was to write %d times and printed %q", p.Driver.Name, count, out)
	}
	return all, nil
}

func installGoDoubt(ctx context.Context, dir string) ([]string, error) {
	program := dir + ".bin"
	return []string{program}, call(ctx, "", "go", "build", "-o", program, "github.com/boltgate/boltgate/test/drivers/godoubt")
}

// javaDriver is the set of jars of one version, all of which run on Java 17 and later.
func javaDriver(version string) jars.Set {
	sums, _ := files.ReadFile("java/java-driver-" + version + ".sha256") // a missing list is empty, which Fetch refuses
	return jars.Set{Name: "java-driver-" + version, Coordinates: []string{"org.neo4j.driver:neo4j-java-driver:" + version}, Hashes: string(sums)}
}

func needsJavaDriver(version string) func() error {
	return func() error {
		if _, err := jars.FindJDK(17, 99); err != nil || javaDriver(version).Present() {
			return err
		}
		return needs("mvn")()
	}
}

// javaProgram compiles one class against one version of the driver.
func javaProgram(version, class string) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, dir string) ([]string, error) {
		jdk, err := jars.FindJDK(17, 99)
		if err != nil {
			return nil, err
		}
		lib, err := javaDriver(version).Fetch(ctx)
		if err != nil {
			return nil, err
		}
		classpath := dir + string(os.PathListSeparator) + filepath.Join(lib, "*")
		argv := []string{jdk.Tool("java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx200m", "-cp", classpath, class}
		return argv, once(dir, "java", func() error {
			return call(ctx, dir, jdk.Tool("javac"), "-proc:none", "-cp", classpath, "-d", dir, class+".java")
		})
	}
}
