package configs

// This file owns the way from files to a Config: read, parse, merge, decode, settle, check.

import (
	"errors"
	"io"
	"os"
)

// world is what a configuration takes from outside itself; tests and fuzzing put their own in.
type world struct {
	env      func(name string) (value string, set bool)
	readFile func(name string) (text []byte, public bool, err error) // public: everybody on the machine may read it
	template func(text string) (string, error)                       // fills in a bind template
}

func osWorld() world {
	return world{env: os.LookupEnv, readFile: readFile, template: fillTemplate}
}

// Load reads files, lays each over those before it (mappings key by key, lists and scalars replaced), and returns the configuration they
// make. The error is Faults: every fault of all files at once; then there is no Config.
func Load(files ...string) (*Config, error) {
	if len(files) == 0 {
		return nil, Faults{{Text: "no configuration file is given"}}
	}
	sources := make([]source, 0, len(files))
	var faults Faults
	for i, name := range files {
		text, _, err := readFile(name)
		if err != nil {
			faults = append(faults, Fault{File: name, Text: plainError(err), order: i})
			continue
		}
		sources = append(sources, source{file{name, i}, text})
	}
	return osWorld().load(sources, faults)
}

// Parse reads one configuration from memory. Name stands in faults, and relative paths start from its folder. The error is Faults.
func Parse(name string, text []byte) (*Config, error) {
	return osWorld().load([]source{{file{name, 0}, text}}, nil)
}

type source struct {
	file file
	text []byte
}

func (w world) load(sources []source, faults Faults) (*Config, error) {
	var root *node
	for i := range sources {
		tree, fs := parseTree(&sources[i].file, sources[i].text)
		faults = append(faults, fs...)
		switch {
		case tree == nil:
		case root == nil:
			root = tree
		default:
			root = merge(root, tree)
		}
	}
	if root == nil {
		faults.sort()
		return nil, faults
	}
	d := decoder{world: w, faults: faults, at: map[string]*node{"": root}, config: Default()}
	d.decode(root)
	d.settle()
	c := checker{world: w, config: d.config, faults: d.faults, at: d.at}
	if !c.faults.ofAWholeFile() {
		c.check() // else it would miss what that file was to say
	}
	c.faults.sort()
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	d.config.Warnings = append(d.warnings, c.warnings...)
	return d.config, nil
}

// Validate checks a configuration that was put together in memory, such as Default with members added. The error is Faults, which then
// name keys but no file; Warnings are set. Unlike Load it fills nothing in: each member needs its name, and templates are not resolved.
func Validate(cfg *Config) error {
	c := checker{world: osWorld(), config: cfg}
	c.check()
	c.faults.sort()
	cfg.Warnings = c.warnings
	return c.faults.err()
}

// readFile reads a whole file of at most maxText bytes and one more, so that whoever gets it sees that it is too large.
func readFile(name string) (text []byte, public bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.IsDir() {
		return nil, false, errors.New("it is a folder")
	}
	text, err = io.ReadAll(io.LimitReader(f, maxText+1))
	return text, info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0, err
}
