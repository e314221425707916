package labs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs/jars"
)

var update = flag.Bool("update", false, "download every set of jars and rewrite hashes/")

func TestMain(m *testing.M) {
	code := m.Run()
	if times := Times(); times != "" {
		fmt.Println("labs:", times)
	}
	os.Exit(code)
}

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

// TestLifeOfAMember starts one server and takes it through everything that a test may do to it.
func TestLifeOfAMember(t *testing.T) {
	c := Start(t, Community5)
	c.WaitReady()
	m := c.Leader()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	if err := m.Suspend(); err != nil {
		t.Fatal(err)
	}
	if role, err := m.Role(ctx); err == nil || !m.Running() {
		t.Fatalf("a suspended member answers: %q, running %v", role, m.Running())
	}
	if err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Await(ctx, Leader); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(); err != nil || m.Running() {
		t.Fatalf("killed: %v, running %v", err, m.Running())
	}
	if err := m.Suspend(); err == nil {
		t.Fatal("a member that does not run was suspended")
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Await(ctx, Leader); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil || m.Running() {
		t.Fatalf("stopped: %v, running %v", err, m.Running())
	}
}
