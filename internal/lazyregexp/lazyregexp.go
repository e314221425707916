// Package lazyregexp compiles regular expressions when they are first used. The program holds some fifty, most of them for the stand-ins of
// `boltgate demo` and for commands: who starts a gate shall not have them in memory.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Pattern is a regular expression. Make it with [New]. Safe for concurrent use.
type Pattern struct {
	get func() *regexp.Regexp
}

// inTest makes a wrong expression panic at the start of every test binary, not at its first use.
var inTest = len(os.Args) > 0 && strings.HasSuffix(strings.TrimSuffix(os.Args[0], ".exe"), ".test")

// New returns the expression, which has to be one that [regexp.MustCompile] takes.
func New(expr string) Pattern {
	p := Pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
	if inTest {
		p.get()
	}
	return p
}

// MatchString is [regexp.Regexp.MatchString].
func (p Pattern) MatchString(s string) bool { return p.get().MatchString(s) }

// FindStringSubmatch is [regexp.Regexp.FindStringSubmatch].
func (p Pattern) FindStringSubmatch(s string) []string { return p.get().FindStringSubmatch(s) }

// Split is [regexp.Regexp.Split].
func (p Pattern) Split(s string, n int) []string { return p.get().Split(s, n) }
