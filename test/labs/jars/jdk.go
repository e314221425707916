package jars

// This file owns the search for a JDK among those that the machine has.

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// JDK is a Java development kit on this machine.
type JDK struct {
	Home  string
	Major int // 8, 17, 25…
}

// Tool returns the path of one of its programs: java, javac.
func (j JDK) Tool(name string) string { return filepath.Join(j.Home, "bin", name) }

// FindJDK returns the oldest JDK with low <= Major <= high that has a compiler. It looks at $JAVA_HOME, at the java on the PATH, and into
// the folders where Linux distributions and macOS install JDKs; its error lists what it saw.
func FindJDK(low, high int) (JDK, error) {
	all := installed()
	for _, j := range all {
		if j.Major >= low && j.Major <= high {
			return j, nil
		}
	}
	seen := "none"
	if len(all) > 0 {
		seen = ""
		for _, j := range all {
			seen += fmt.Sprintf("%d in %s; ", j.Major, j.Home)
		}
	}
	return JDK{}, fmt.Errorf("jars: no JDK from %d to %d found (JDKs seen: %s); install one, or set JAVA_HOME", low, high, strings.TrimSuffix(seen, "; "))
}

func installed() []JDK {
	var found []JDK
	for _, home := range candidates() {
		if major := release(home); major > 0 {
			found = append(found, JDK{home, major})
		}
	}
	slices.SortStableFunc(found, func(a, b JDK) int { return cmp.Compare(a.Major, b.Major) })
	return found
}

func candidates() []string {
	homes := []string{os.Getenv("JAVA_HOME")}
	if java, err := exec.LookPath("java"); err == nil {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(java)))
		}
	}
	for _, pattern := range []string{"/usr/lib/jvm/*", "/usr/java/*", "/opt/java/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home"} {
		matches, _ := filepath.Glob(pattern) // the patterns are well formed: the only error there is
		homes = append(homes, matches...)
	}
	return homes
}

// release returns the major version that the JDK at home says it is, or 0 where there is none or it cannot compile.
func release(home string) int {
	if _, err := os.Stat(filepath.Join(home, "bin", "javac")); home == "" || err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		version, ok := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION=")
		if !ok {
			continue
		}
		version = strings.TrimPrefix(strings.Trim(version, `"`), "1.") // 1.8.0_392 is 8
		major, _, _ := strings.Cut(version, ".")
		n, _ := strconv.Atoi(major) // 0, that is none, when it is no number
		return n
	}
	return 0
}
