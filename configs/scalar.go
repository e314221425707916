package configs

// This file owns single values: variables and files put in, the text parsed as the schema's type, and what a fault says stood there.

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/internal/durations"
)

var (
	secretType   = reflect.TypeFor[Secret]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	percentType  = reflect.TypeFor[Percent]()
	rateType     = reflect.TypeFor[Rate]()
)

// scalar decodes a single value that stands in the file.
func (d *decoder) scalar(path string, n *node, f field, v reflect.Value) {
	text, tag, ok := d.text(path, n, f)
	if !ok {
		return
	}
	if err := parse(text, tag, f, v); err != nil {
		d.fault(n, path, "%v (found %s)", err, n.words(f))
		return
	}
	if f.path && text != "" {
		v.SetString(n.file.resolve(text))
	}
	d.refuseUnbuilt(path, n, f, v)
}

// text returns the text of a scalar with its variables put in. The tag is "" when there were some: then the text alone says what it is.
func (d *decoder) text(path string, n *node, f field) (text, tag string, ok bool) {
	if n.kind != kindScalar {
		d.fault(n, path, "expected %s (found %s)", f.words(), n.kindWords())
		return "", "", false
	}
	if !strings.Contains(n.text, "${") {
		return n.text, n.tag, true
	}
	text, err := expand(n.text, d.world.env)
	if err != nil {
		d.fault(n, path, "%v", err)
		return "", "", false
	}
	return text, "", true
}

// fromFile decodes the value of key_file, which stands at named; beside is the value of the key itself, nil when there is none.
func (d *decoder) fromFile(path string, beside, named *node, f field, v reflect.Value) {
	at := path + "_file"
	name, _, ok := d.text(at, named, field{goType: reflect.TypeFor[string]()})
	if !ok || name == "" {
		return
	}
	if beside != nil {
		d.fault(named, at, "%s is given as well; leave one of the two out", f.key)
		return
	}
	text, public, err := d.world.readFile(named.file.resolve(name))
	if err == nil && len(text) > maxValueFile {
		err = fmt.Errorf("it is larger than %s", Size(maxValueFile))
	}
	if err != nil {
		d.fault(named, at, "cannot read the file: %s (found %s)", plainError(err), named.words(f))
		return
	}
	if public && f.secret() {
		d.warnings = append(d.warnings, named.file.fault(named.line, named.column, at,
			"everybody on this machine may read that file; chmod o-r it").String())
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if err := parse(value, "", f, v); err != nil {
		d.fault(named, at, "%v (found the text of the file)", err)
		return
	}
	d.refuseUnbuilt(path, named, f, v)
}

const maxValueFile = 64 << 10 // bytes of a file that holds one value

// resolve returns a path of the file as seen from where the program runs.
func (f *file) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(f.name), name)
}

// plainError says why a file could not be read, without the path that stands beside it anyway.
func plainError(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return err.Error()
}

// parse sets v to what text says. Tag is the YAML type of a value that stands in the file, "" for one that came from elsewhere.
func parse(text, tag string, f field, v reflect.Value) error {
	switch f.goType {
	case durationType:
		return set(v, f, text, parseDuration)
	case sizeType:
		return set(v, f, text, parseSize)
	case percentType:
		return set(v, f, text, parsePercent)
	case rateType:
		return set(v, f, text, parseRate)
	case prefixType:
		return set(v, f, text, parsePrefix)
	}
	switch f.goType.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" || tag == "!!str" {
			return fmt.Errorf("expected %s", f.words())
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("must lie between %d and %d", math.MinInt32, math.MaxInt32)
		}
		if err != nil || tag == "!!str" {
			return fmt.Errorf("expected %s", f.words())
		}
		v.SetInt(n)
		return atLeast(f, n)
	default:
		return parseText(text, tag, f, v)
	}
	return nil
}

// set stores what a parser makes of text.
func set[T any](v reflect.Value, f field, text string, parser func(string) (T, error)) error {
	value, err := parser(text)
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(value))
	if v.CanInt() {
		return atLeast(f, v.Int())
	}
	return nil
}

func atLeast(f field, n int64) error {
	switch {
	case f.min == nil || n >= *f.min:
		return nil
	case f.goType == sizeType:
		return fmt.Errorf("must be at least %v", Size(*f.min))
	case f.goType == durationType && *f.min == 1:
		return errors.New("must be more than 0")
	case f.goType == durationType:
		return fmt.Errorf("must be at least %s", durations.Short(time.Duration(*f.min)))
	default:
		return fmt.Errorf("must be at least %d", *f.min)
	}
}

func parseText(text, tag string, f field, v reflect.Value) error {
	switch {
	case f.enum != nil && !slices.Contains(f.enum, text):
		return fmt.Errorf("expected %s", f.words())
	case f.enum == nil && tag != "" && tag != "!!str":
		return errors.New("expected text, which needs quotes here")
	case strings.ContainsRune(text, 0):
		return errors.New("a zero byte cannot stand here")
	}
	v.SetString(text)
	return nil
}

// words says what a key takes.
func (f field) words() string {
	switch {
	case len(f.enum) == 2:
		return strings.Join(f.enum, " or ")
	case f.enum != nil:
		return "one of " + strings.Join(f.enum, ", ")
	}
	switch f.goType {
	case durationType:
		return "a duration such as 500ms, 2s, 5m or 1h"
	case sizeType:
		return "a size such as 64KiB, 16MiB or 1GiB"
	case percentType:
		return "a percentage such as 20%"
	case rateType:
		return "a rate such as 10/s, 600/m or 1000/h"
	case prefixType:
		return "a network such as 10.0.0.0/8 or fd00::/8, or an address"
	}
	switch f.goType.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	default:
		return "text"
	}
}

// kindWords says what kind of value stands in the file, without the value.
func (n *node) kindWords() string {
	switch {
	case n.kind == kindNull:
		return "nothing"
	case n.kind == kindList:
		return "a list"
	case n.kind == kindMapping:
		return "a mapping"
	case n.tag == "!!int" || n.tag == "!!float":
		return "a number"
	case n.tag == "!!bool":
		return "true or false"
	default:
		return "text"
	}
}

// words says what stands in the file: the value, unless it is a secret or holds variables, which may be.
func (n *node) words(f field) string {
	switch {
	case n.kind != kindScalar || f.goType == secretType:
		return n.kindWords()
	case strings.Contains(n.text, "${"):
		return "what the variable says"
	case n.tag == "!!int" || n.tag == "!!float":
		return "the number " + clip(n.text)
	case n.tag == "!!bool":
		return n.text
	default:
		return "the text " + strconv.Quote(clip(n.text))
	}
}

func clip(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}
