package configs

// This file owns the difference between two configurations, as `check --diff` and the log line of a reload say it.

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/internal/durations"
)

// Diff returns what is different in b, one line a key in the order of the schema: "failover.hold: 20s -> 10s". List entries that have a
// name stand under it (cluster.members[s1].weight) and are "added" or "removed" as a whole. A secret is only said to have changed.
func Diff(a, b *Config) []string {
	var lines []string
	diffStruct(&lines, "", reflect.ValueOf(*a), reflect.ValueOf(*b))
	return lines
}

func diffStruct(lines *[]string, path string, a, b reflect.Value) {
	for _, f := range fieldsOf(a.Type()) {
		diffValue(lines, join(path, f.key), a.Field(f.index), b.Field(f.index))
	}
}

func diffValue(lines *[]string, path string, a, b reflect.Value) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch {
	case a.Type() == secretType:
		*lines = append(*lines, path+": changed")
	case a.Kind() == reflect.Struct && a.Type() != prefixType:
		diffStruct(lines, path, a, b)
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && a.Type().Elem() != prefixType:
		diffNamed(lines, path, a, b)
	case a.Kind() == reflect.Map:
		diffMap(lines, path, a, b)
	default:
		*lines = append(*lines, fmt.Sprintf("%s: %s -> %s", path, show(a), show(b)))
	}
}

// diffNamed compares two lists of sections by the names of their entries.
func diffNamed(lines *[]string, path string, a, b reflect.Value) {
	before, after := entryNames(a), entryNames(b)
	var kept, was []string
	for i, name := range before {
		at := path + "[" + name + "]"
		if j := slices.Index(after, name); j >= 0 {
			was = append(was, name)
			diffStruct(lines, at, a.Index(i), b.Index(j))
		} else {
			*lines = append(*lines, at+": removed")
		}
	}
	for _, name := range after {
		if slices.Contains(before, name) {
			kept = append(kept, name)
		} else {
			*lines = append(*lines, path+"["+name+"]: added")
		}
	}
	if !slices.Equal(was, kept) {
		*lines = append(*lines, fmt.Sprintf("%s: order changed", path))
	}
}

// entryNames returns the names of a list's entries, their positions where they have none.
func entryNames(list reflect.Value) []string {
	names := make([]string, list.Len())
	for i := range names {
		names[i] = fmt.Sprint(i)
		if name := list.Index(i).FieldByName("Name"); name.IsValid() && name.String() != "" {
			names[i] = name.String()
		}
	}
	return names
}

// diffMap compares two mappings whose keys the schema does not know.
func diffMap(lines *[]string, path string, a, b reflect.Value) {
	names := map[string]reflect.Value{}
	for _, key := range slices.Concat(a.MapKeys(), b.MapKeys()) {
		names[key.String()] = key
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := fmt.Sprintf("%s[%q]", path, name)
		was, is := a.MapIndex(names[name]), b.MapIndex(names[name])
		switch {
		case !is.IsValid():
			*lines = append(*lines, at+": removed")
		case was.IsValid():
			diffValue(lines, at, was, is)
		case is.Kind() == reflect.Struct:
			*lines = append(*lines, at+": added")
		default:
			*lines = append(*lines, at+": added "+show(is))
		}
	}
}

// show writes a value much as the file would.
func show(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = show(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case v.Kind() == reflect.String && v.Type() != secretType:
		return fmt.Sprintf("%q", v.String())
	case v.Type() == durationType:
		return durations.Short(v.Interface().(time.Duration))
	default:
		return fmt.Sprint(v.Interface())
	}
}
