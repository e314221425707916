package configs

// This file owns where keys stand in files, for whoever finds fault with a value later than Load.

import (
	"fmt"
	"regexp"
	"strconv"
)

// Places returns a function that says where a dotted key, such as cluster.members[1].bolt, stands: "file:line:column", or that of the
// section around it where the files do not name it; "" where they name neither. Files that cannot be read are as if they were empty.
func Places(files ...string) func(key string) string {
	var root *node
	for i, name := range files {
		text, _, err := readFile(name)
		if err != nil {
			continue
		}
		switch tree, _ := parseTree(&file{name, i}, text); {
		case tree == nil:
		case root == nil:
			root = tree
		default:
			root = merge(root, tree)
		}
	}
	return func(key string) string {
		if n := root.deepest(key); n != nil {
			return fmt.Sprintf("%s:%d:%d", n.file.name, n.line, n.column)
		}
		return ""
	}
}

var keyPart = regexp.MustCompile(`[^.\[\]]+`)

// deepest is the value of a key, or of the section next around it; nil when not even its first part is there.
func (n *node) deepest(key string) (found *node) {
	for _, part := range keyPart.FindAllString(key, -1) {
		if n == nil {
			return found
		}
		next := n.get(part)
		if i, err := strconv.Atoi(part); err == nil && n.kind == kindList && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			next = n.get(part + "_file")
		}
		if next != nil {
			found = next
		}
		n = next
	}
	return found
}
