package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// fuzzWorld is a machine without addresses, with one variable and one file.
func fuzzWorld() world {
	return world{
		env: func(name string) (string, bool) { return "7687", name == "PORT" },
		readFile: func(name string) ([]byte, bool, error) {
			if filepath.Base(name) == "secret" {
				return []byte(theSecret + "\n"), true, nil
			}
			return nil, false, fs.ErrNotExist
		},
		template: func(string) (string, error) { return "", errors.New("no address") },
	}
}

// FuzzParse: whatever the text, there is either a configuration or faults that have a place; a configuration passes its own checks again and
// is the same when it is read again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"boltgate.yaml", "testdata/*.yaml", "testdata/faults/*.yaml", "../examples/*/boltgate.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("cluster: {members: [{bolt: \"a:${PORT}\"}], check: {user: a, password_file: secret}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sources := []source{{file{name: "f.yaml"}, text}}
		cfg, err := fuzzWorld().load(sources, nil)
		if err != nil {
			faults, ok := err.(Faults)
			if cfg != nil || !ok || len(faults) == 0 {
				t.Fatalf("got %v and %T %v", cfg, err, err)
			}
			for _, fault := range faults {
				if fault.Line < 1 || fault.Column < 1 || fault.Text == "" {
					t.Fatalf("%+v has no place", fault)
				}
			}
			return
		}
		inMemory := *cfg
		if err := Validate(&inMemory); err != nil {
			t.Fatalf("passed, but not again: %v", err)
		}
		if again, _ := fuzzWorld().load(sources, nil); !reflect.DeepEqual(again, cfg) {
			t.Fatalf("another configuration when read again: %q", Diff(cfg, again))
		}
		twice := append(sources, source{file{name: "g.yaml", order: 1}, text})
		if merged, err := fuzzWorld().load(twice, nil); err != nil || Diff(cfg, merged) != nil {
			t.Fatalf("laid over itself: %v %q", err, Diff(cfg, merged))
		}
	})
}
