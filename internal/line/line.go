// Package line owns the order of those who wait: the higher priority first, among equals as they came.
package line

import "slices"

// Stand puts w into a line of at most room, where its priority belongs. When the line is full its last one makes room, if w comes before that:
// then hasPushed is true, and pushed is to be told. ok is false when there is no room for w; the line is unchanged then.
func Stand[W interface{ Priority() int }](line []W, w W, room int) (with []W, pushed W, hasPushed, ok bool) {
	i := len(line)
	for i > 0 && line[i-1].Priority() < w.Priority() {
		i--
	}
	if len(line) >= room {
		if i == len(line) {
			return line, pushed, false, false
		}
		last := len(line) - 1
		pushed, hasPushed, line = line[last], true, line[:last]
	}
	return slices.Insert(line, i, w), pushed, hasPushed, true
}
