package bench_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bench"
	"github.com/boltgate/boltgate/test/labs"
)

// TestComparison is `make bench`: it builds boltgate, makes the comparison of docs/performance.md with it, the part against a real server included
// where Java is, and prints the table. BOLTGATE_BENCH says full or quick (without it nothing is measured), BOLTGATE_BENCH_ONLY
// names measurements, BOLTGATE_BENCH_OUT a file for the JSON.
func TestComparison(t *testing.T) {
	size := os.Getenv("BOLTGATE_BENCH")
	if size == "" {
		t.Skip("a measurement, not a test: make bench")
	}
	p := bench.DefaultPlan()
	if size == "quick" {
		p = bench.QuickPlan()
	}
	if only := os.Getenv("BOLTGATE_BENCH_ONLY"); only != "" {
		p.Only = strings.Split(only, ",")
	}
	p.Log = os.Stderr
	p.Program = filepath.Join(t.TempDir(), "boltgate")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", p.Program, "../cmd/boltgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.StartReal = func() { startReal(t, p) }
	r, err := p.Run(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(r.Text() + "\nas Markdown:\n\n" + r.Markdown())
	if out := os.Getenv("BOLTGATE_BENCH_OUT"); out != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(out, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startReal starts a Community server with a login where this machine can; else the plan skips that part and says so.
func startReal(t *testing.T, p *bench.Plan) {
	lab := labs.Community5
	if err := lab.Available(); err != nil {
		t.Log(err)
		return
	}
	c := labs.Start(t, lab)
	c.WaitReady()
	p.Real, p.RealUser, p.RealPassword = c.Members[0].Bolt, c.User, c.Password
}
