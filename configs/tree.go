package configs

// This file owns the tree between YAML and the schema: its nodes know their file, line and column, keys are unique, aliases are resolved,
// and the trees of several files are merged.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/boltgate/boltgate/internal/lazyregexp"
)

type kind int

const (
	kindNull kind = iota
	kindScalar
	kindList
	kindMapping
)

// node is one value of a file. A node never changes once its tree is built.
type node struct {
	file         *file
	line, column int
	kind         kind
	tag          string // of a scalar: !!str, !!int, !!float, !!bool, !!timestamp
	text         string // of a scalar, as written
	items        []*node
	entries      []entry // in the order of the file
	broken       bool    // has a fault already, and no value to decode
}

type entry struct {
	key   string
	where *node // the key itself
	value *node
}

// get returns the value of a key of a mapping, nil when there is none.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// file is one file as given to Load or Parse.
type file struct {
	name  string
	order int // its position among the files
}

func (f *file) fault(line, column int, key, text string) Fault {
	return Fault{File: f.name, Line: line, Column: column, Key: key, Text: text, order: f.order}
}

const (
	maxText  = 4 << 20 // bytes of one file
	maxNodes = 100_000 // of one tree, aliases resolved: a few lines of aliases can otherwise grow without end
)

// parseTree reads one YAML document. The tree it returns beside faults is what could be made of the text, nil when nothing could.
func parseTree(f *file, text []byte) (*node, Faults) {
	if len(text) > maxText {
		return nil, Faults{f.fault(1, 1, "", "larger than 4 MiB; this is no configuration file")}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &node{file: f, line: 1, column: 1, kind: kindMapping}, nil
	case err != nil:
		return nil, Faults{syntaxFault(f, text, err)}
	}
	b := builder{file: f, open: map[*yaml.Node]bool{}}
	root := b.build(&doc, "")
	if err := dec.Decode(&second); err == nil {
		b.fault(&second, "", "a second document begins; a file holds one")
	} else if !errors.Is(err, io.EOF) {
		b.faults = append(b.faults, syntaxFault(f, text, err))
	}
	if root.kind == kindNull {
		root.kind = kindMapping
	}
	return root, b.faults
}

var (
	yamlLine    = lazyregexp.New(`^yaml: (?:line (\d+): )?`)
	yamlAnchor  = lazyregexp.New(`^(?:unknown anchor '(.*)' referenced|anchor '(.*)' value contains itself)$`)
	yamlExpects = lazyregexp.New(`^did not find expected (<|node content|'-' indicator|key|',' or)`)
)

// syntaxFault puts an error of the YAML library into a line and column of the file, with a hint at what commonly causes it.
func syntaxFault(f *file, text []byte, err error) Fault {
	message := err.Error()
	m := yamlLine.FindStringSubmatch(message)
	message = message[len(m[0]):]
	if a := yamlAnchor.FindStringSubmatch(message); a != nil {
		// The message holds the name, which is part of a password that was written without quotes.
		line, column := position(text, "*"+a[1]+a[2])
		return f.fault(line, column, "", "not YAML: an alias to an anchor that does not stand before it; a value that begins with * needs quotes")
	}
	line, _ := strconv.Atoi(m[1])
	if yamlExpects.MatchString(message) {
		line++ // the parser counts lines from 0 where the scanner counts from 1
	}
	line = max(1, line)
	message = "not YAML: " + message
	if near := linesAround(text, line); bytes.Contains(near, []byte("{{")) || bytes.Contains(near, []byte("${")) {
		message += "; a value with ${…} or {{…}} needs quotes here"
	}
	return f.fault(line, 1, "", message)
}

// position returns where word stands first in text, as line and column from 1.
func position(text []byte, word string) (line, column int) {
	at := max(0, bytes.Index(text, []byte(word)))
	before := text[:at]
	return 1 + bytes.Count(before, []byte("\n")), 1 + len([]rune(string(before[1+bytes.LastIndexByte(before, '\n'):])))
}

// linesAround returns a line with the ones before and after it, for the library's idea of where a fault begins can be a line off.
func linesAround(text []byte, line int) []byte {
	lines := bytes.SplitN(text, []byte("\n"), line+2)
	return bytes.Join(lines[min(max(0, line-2), len(lines)):min(line+1, len(lines))], []byte("\n"))
}

// builder turns the YAML library's nodes into ours.
type builder struct {
	file   *file
	nodes  int
	open   map[*yaml.Node]bool // anchors whose alias is being resolved
	faults Faults
}

func (b *builder) fault(n *yaml.Node, key, format string, args ...any) {
	b.faults = append(b.faults, b.file.fault(max(1, n.Line), max(1, n.Column), key, fmt.Sprintf(format, args...)))
}

func (b *builder) build(y *yaml.Node, path string) *node {
	n := &node{file: b.file, line: max(1, y.Line), column: max(1, y.Column)}
	if b.nodes++; b.nodes > maxNodes {
		if b.nodes == maxNodes+1 {
			b.fault(y, path, "more than %d values with aliases resolved", maxNodes)
		}
		n.broken = true
		return n
	}
	if y.Style&yaml.TaggedStyle != 0 {
		b.fault(y, path, "a tag (!…) is not supported; a value that begins with ! needs quotes")
		n.broken = true
		return n
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return b.build(y.Content[0], path)
	case yaml.AliasNode:
		return b.alias(y, path)
	case yaml.ScalarNode:
		if y.Tag != "!!null" {
			n.kind, n.tag, n.text = kindScalar, y.Tag, y.Value
		}
	case yaml.SequenceNode:
		n.kind = kindList
		for i, c := range y.Content {
			n.items = append(n.items, b.build(c, path+"["+strconv.Itoa(i)+"]"))
		}
	case yaml.MappingNode:
		n.kind = kindMapping
		b.mapping(n, y, path)
	}
	return n
}

// alias returns the value that an alias stands for, at the place of the alias.
func (b *builder) alias(y *yaml.Node, path string) *node {
	if b.open[y.Alias] {
		b.fault(y, path, "an alias inside its own anchor")
		return &node{file: b.file, line: max(1, y.Line), column: max(1, y.Column), broken: true}
	}
	b.open[y.Alias] = true
	n := b.build(y.Alias, path)
	delete(b.open, y.Alias)
	n.line, n.column = max(1, y.Line), max(1, y.Column)
	return n
}

func (b *builder) mapping(n *node, y *yaml.Node, path string) {
	first := map[string]int{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			b.fault(k, path, "a key must be plain text")
			continue
		}
		key := k.Value
		at := join(path, shownKey(key))
		if key == "<<" && k.Tag == "!!merge" {
			b.fault(k, path, "merging with << is not supported; write the keys out, or give boltgate several files")
			continue
		}
		if line, found := first[key]; found {
			b.fault(k, at, "the same key stands in line %d already", line)
			continue
		}
		first[key] = k.Line
		where := &node{file: b.file, line: max(1, k.Line), column: max(1, k.Column)}
		n.entries = append(n.entries, entry{key: key, where: where, value: b.build(v, at)})
	}
}

// join appends a key to a dotted path.
func join(path, key string) string {
	return strings.TrimPrefix(path+"."+key, ".")
}

// merge lays over above under: mappings key by key, anything else is replaced. A section left empty in over changes nothing. A key and
// its *_file are two ways to say one thing, so that either replaces the other.
func merge(under, over *node) *node {
	if under.kind == kindMapping && over.kind == kindNull {
		return under
	}
	if under.kind != kindMapping || over.kind != kindMapping {
		return over
	}
	merged := *over
	merged.entries = nil
	for _, e := range under.entries {
		stem, isFile := strings.CutSuffix(e.key, "_file")
		if over.get(e.key+"_file") != nil || isFile && over.get(stem) != nil {
			continue
		}
		if v := over.get(e.key); v != nil {
			e.value = merge(e.value, v)
		}
		merged.entries = append(merged.entries, e)
	}
	for _, e := range over.entries {
		if under.get(e.key) == nil {
			merged.entries = append(merged.entries, e)
		}
	}
	return &merged
}
