package configs

// This file owns the switchboard of what the file format names and the program does not do yet. Whoever builds something strikes its line
// here; the reference file's test then asks for the key to be live there.

import (
	"reflect"
	"regexp"
	"strings"
)

// notBuilt is one key that is not built for all of its values.
type notBuilt struct {
	key  string   // dotted; [] stands for any list position
	only []string // the values that are taken already
}

// unbuilt is the switchboard. A frontend's own routing is looked up as routing.
var unbuilt = []notBuilt{
	{"cluster.generation", []string{"auto", "ha", "causal", "autonomous", "standalone"}},
	{"routing.oversize", []string{"refuse"}},
}

var (
	listPosition    = regexp.MustCompile(`\[\d+\]`)
	frontendRouting = "frontends[].routing."
)

func findUnbuilt(path string) *notBuilt {
	key := listPosition.ReplaceAllString(path, "[]")
	if rest, found := strings.CutPrefix(key, frontendRouting); found {
		key = "routing." + rest
	}
	for i := range unbuilt {
		if unbuilt[i].key == key {
			return &unbuilt[i]
		}
	}
	return nil
}

// refuseUnbuilt faults a value that is right but not built.
func (d *decoder) refuseUnbuilt(path string, n *node, f field, v reflect.Value) {
	entry := findUnbuilt(path)
	if entry == nil {
		return
	}
	for _, text := range entry.only {
		taken := reflect.New(f.goType).Elem()
		if parse(text, "", f, taken) == nil && taken.Equal(v) {
			return
		}
	}
	d.fault(n, path, "not built yet; until then it takes only %s (found %s)", strings.Join(entry.only, ", "), n.words(f))
}
