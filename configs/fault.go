package configs

// This file owns faults: what they say, their order, and the guess at what an unknown key was meant to be.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a file. Its text never holds the value of a secret, nor of a variable or file.
type Fault struct {
	File   string // "" when the fault lies in no file
	Line   int    // from 1; 0 when the fault lies in no line, such as a file that cannot be read
	Column int    // from 1, in characters
	Key    string // dotted, with list positions from 0: frontends[0].bind; "" for the file as a whole
	Text   string

	order int // the position of File among the files, for sorting
}

// String returns "file:line:column: key: text", without the parts that there are none of.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	return b.String() + f.Text
}

// Faults is everything that is wrong with a configuration, in the order of the files and of the lines in them.
type Faults []Fault

// Error returns one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// err returns the faults as an error, nil when there are none.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key))
	})
}

// under tells whether there is a fault at key or below it already.
func (fs Faults) under(key string) bool {
	return slices.ContainsFunc(fs, func(f Fault) bool {
		rest, found := strings.CutPrefix(f.Key, key)
		return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// inside tells whether there is a fault at a section around key.
func (fs Faults) inside(key string) bool {
	return slices.ContainsFunc(fs, func(f Fault) bool { return f.Key != "" && Faults{{Key: key}}.under(f.Key) })
}

// ofAWholeFile tells whether a file was not understood at all.
func (fs Faults) ofAWholeFile() bool {
	return slices.ContainsFunc(fs, func(f Fault) bool { return f.Key == "" })
}

// unknownKey says what to do about a key that is not among known.
func unknownKey(key string, known []string) string {
	// {password:secret} is a key with a colon in it. What stands behind the colon must not be shown.
	if before, _, found := strings.Cut(key, ":"); found && slices.Contains(known, before) {
		return fmt.Sprintf("unknown key; after %s: a space is missing", before)
	}
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	if len(known) == 0 {
		return "unknown key; no key is known here"
	}
	return "unknown key; known here: " + strings.Join(known, ", ")
}

// shownKey is a key as a fault may show it: nothing behind a colon, and not endless.
func shownKey(key string) string {
	key, _, _ = strings.Cut(key, ":")
	if r := []rune(key); len(r) > 40 {
		key = string(r[:40]) + "…"
	}
	return strings.ToValidUTF8(key, "?")
}

// nearest returns the known key that key was most likely meant to be, "" when none is near.
func nearest(key string, known []string) string {
	best, least := "", 1+max(1, len(key)/2)
	if len(key) > 40 {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(key), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete, replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, now := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
