package labs

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/boltgate/boltgate/test/labs/jars"
)

var update = flag.Bool("update", false, "download every set of jars and rewrite hashes/")

// TestHashes holds every downloaded set to its list; with -update it downloads all of them and writes the lists.
func TestHashes(t *testing.T) {
	for _, d := range []*distribution{enterprise35, community44, community5, community26} {
		t.Run(d.name, func(t *testing.T) {
			if !*update {
				if !d.set().Present() {
					t.Skipf("%s is not in the cache; the lab that needs it fetches and checks it", d.name)
				}
				if _, err := d.set().Fetch(t.Context()); err != nil {
					t.Fatal(err)
				}
				return
			}
			lib, err := d.set().FetchUnchecked(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list, err := jars.HashList(lib)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join("hashes", d.name+".sha256"), []byte(list), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
