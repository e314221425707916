package configs

// This file owns the strict way from a tree to the schema's Go values, by reflection over the tags that config.go explains.

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is one key of the schema.
type field struct {
	key    string
	index  int
	goType reflect.Type
	enum   []string
	min    *int64
	one    bool
	path   bool
}

// fieldsOf returns the keys of a section.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, found := sf.Tag.Lookup("key")
		if !found {
			continue
		}
		f := field{key: key, index: i, goType: sf.Type}
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, "|")
		}
		if text, found := sf.Tag.Lookup("min"); found {
			n, _ := strconv.ParseInt(text, 10, 64)
			f.min = &n
		}
		_, f.one = sf.Tag.Lookup("one")
		_, f.path = sf.Tag.Lookup("path")
		fields = append(fields, f)
	}
	return fields
}

// container tells whether the key takes a mapping or a list.
func (f field) container() bool {
	k := f.goType.Kind()
	return k == reflect.Map || k == reflect.Slice || k == reflect.Struct && f.goType != prefixType
}

// takesFile tells whether the key may also be written key_file, with the value in that file.
func (f field) takesFile() bool { return !f.container() && !f.path }

func (f field) secret() bool { return f.goType == secretType }

// element is the schema of the entries of a list or mapping.
func (f field) element() field {
	return field{key: f.key, goType: f.goType.Elem(), enum: f.enum, path: f.path}
}

// decoder fills config from a tree and collects what is wrong on the way.
type decoder struct {
	world    world
	config   *Config
	faults   Faults
	warnings []string
	at       map[string]*node // where each key of the tree stands, by its dotted path
}

func (d *decoder) decode(root *node) {
	d.mapping("", root, reflect.ValueOf(d.config).Elem())
}

func (d *decoder) fault(n *node, key, format string, args ...any) {
	d.faults = append(d.faults, n.file.fault(n.line, n.column, key, fmt.Sprintf(format, args...)))
}

// mapping fills a struct. It goes in the order of the schema, so that a section can build on one before it.
func (d *decoder) mapping(path string, n *node, v reflect.Value) {
	if n.kind != kindMapping {
		d.fault(n, path, "expected a mapping (found %s)", n.kindWords())
		return
	}
	fields := fieldsOf(v.Type())
	known := make([]string, 0, 2*len(fields))
	for _, f := range fields {
		d.key(path, n, f, v.Field(f.index))
		if known = append(known, f.key); f.takesFile() {
			known = append(known, f.key+"_file")
		}
	}
	for _, e := range n.entries {
		if !slices.Contains(known, e.key) {
			d.fault(e.where, join(path, shownKey(e.key)), "%s", d.unknownKey(e.key, fields, known))
		}
	}
}

// unknownKey lists key_file only where it is what was meant or where the value should not stand in the file, lest the list be twice as long.
func (d *decoder) unknownKey(key string, fields []field, known []string) string {
	if before, found := strings.CutSuffix(key, "_file"); found {
		for _, f := range fields {
			if f.key == before && f.path {
				return fmt.Sprintf("unknown key; %s names a file already", before)
			}
		}
		return unknownKey(key, known)
	}
	var plain []string
	for _, f := range fields {
		if plain = append(plain, f.key); f.secret() {
			plain = append(plain, f.key+"_file")
		}
	}
	return unknownKey(key, plain)
}

// key decodes one key of a mapping, from its own value or from its *_file.
func (d *decoder) key(path string, n *node, f field, v reflect.Value) {
	at := join(path, f.key)
	value := n.get(f.key)
	if value != nil {
		d.at[at] = value
		d.value(at, value, f, v)
	}
	if !f.takesFile() {
		return
	}
	if named := n.get(f.key + "_file"); named != nil && !named.broken {
		d.at[at+"_file"] = named
		d.fromFile(at, value, named, f, v)
	}
}

// value decodes whatever the schema wants at path. An empty value where a mapping or list is wanted leaves the default.
func (d *decoder) value(path string, n *node, f field, v reflect.Value) {
	if n.broken {
		return
	}
	if f.container() && n.kind == kindNull {
		return
	}
	switch {
	case !f.container():
		d.scalar(path, n, f, v)
	case f.goType.Kind() == reflect.Struct:
		d.mapping(path, n, v)
	case f.goType.Kind() == reflect.Map:
		d.namedMap(path, n, f, v)
	default:
		d.list(path, n, f, v)
	}
}

func (d *decoder) list(path string, n *node, f field, v reflect.Value) {
	items := n.items
	if n.kind == kindScalar && f.one {
		items = []*node{n}
	} else if n.kind != kindList {
		d.fault(n, path, "expected a list (found %s)", n.kindWords())
		return
	}
	element := f.element()
	list := reflect.MakeSlice(f.goType, 0, len(items))
	for i, item := range items {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.at[at] = item
		one := d.fresh(f.goType.Elem())
		d.value(at, item, element, one)
		list = reflect.Append(list, one)
		if f.enum != nil && slices.ContainsFunc(items[:i], func(other *node) bool { return other.text == item.text }) {
			d.fault(item, at, "stands in the list already (found %s)", item.words(element))
		}
	}
	if len(items) > 0 {
		v.Set(list)
	} else {
		v.SetZero()
	}
}

// fresh returns what an entry of a list starts from.
func (d *decoder) fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[Frontend]():
		v.Set(reflect.ValueOf(defaultFrontend(d.config.Routing)))
	case reflect.TypeFor[User]():
		v.Set(reflect.ValueOf(defaultUser()))
	case reflect.TypeFor[AdminUser]():
		v.Set(reflect.ValueOf(AdminUser{Role: defaultRole}))
	case reflect.TypeFor[AdminToken]():
		v.Set(reflect.ValueOf(AdminToken{Role: defaultRole}))
	case reflect.TypeFor[Webhook]():
		v.Set(reflect.ValueOf(Webhook{Level: "info"}))
	case reflect.TypeFor[LimitedUser]():
		v.Set(reflect.ValueOf(defaultLimitedUser(&d.config.Limits)))
	case reflect.TypeFor[Member]():
		v.Set(reflect.ValueOf(defaultMember()))
	}
	return v
}

// namedMap fills a map whose keys the schema does not know: of texts, or of sections, which stand where their names do.
func (d *decoder) namedMap(path string, n *node, f field, v reflect.Value) {
	if n.kind != kindMapping {
		d.fault(n, path, "expected a mapping (found %s)", n.kindWords())
		return
	}
	m := reflect.MakeMap(f.goType)
	for _, e := range n.entries {
		at := fmt.Sprintf("%s[%q]", path, e.key)
		if d.at[at] = e.value; f.element().container() {
			d.at[at] = e.where
		}
		one := reflect.New(f.goType.Elem()).Elem()
		d.value(at, e.value, f.element(), one)
		m.SetMapIndex(reflect.ValueOf(e.key), one)
	}
	if m.Len() > 0 {
		v.Set(m)
	}
}
