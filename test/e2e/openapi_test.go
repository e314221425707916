package e2e

// This file owns the admin API as a stranger sees it who has only its description: schemathesis (PyPI) makes requests of it, right ones and wrong
// ones, to a gate before stand-ins, and holds the answers to it.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/labs/jars"
	"github.com/boltgate/boltgate/test/loopback"
)

// schemathesisLook is how much of the API one run tries: the same on every machine. BOLTGATE_API_TIME, in seconds, has it go on with other requests until
// that is over.
func schemathesisLook() []string {
	if seconds := os.Getenv("BOLTGATE_API_TIME"); seconds != "" {
		return []string{"--max-time", seconds}
	}
	return []string{"--max-examples", "100", "--generation-deterministic"}
}

func TestAdminAPIByItsDescription(t *testing.T) {
	program, err := installSchemathesis(t.Context())
	if errors.Is(err, exec.ErrNotFound) {
		labs.Require(t, "schemathesis", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("lovelace"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	c := standInFor(t, labs.Community2026)
	admin := loopback.Reserve(t)
	g := startGate(t, c, gateConfig(c, "auto", fmt.Sprintf("admin: {bind: %q, users: [{name: ada, role: operator, password: %q}]}\n", admin, hash)))
	awaitVersions(t, g.Address)
	for range 5 { // sessions to look at, and to kill
		guest(t, g.Address, bolt.V5_4, c.User, c.Password)
	}
	eventually(t, time.Minute, "the admin address answers", func() error {
		_, err := http.Get("http://" + admin + "/healthz")
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	description, err := filepath.Abs(filepath.Join("..", "..", "admin", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(ctx, program, append([]string{"run", description, "--url", "http://" + admin + "/api/v1", "--auth", "ada:lovelace",
		"--seed", "1", "--continue-on-failure", "--no-color", "--request-timeout", "30", "--rate-limit", "auto"}, schemathesisLook()...)...)
	run.Dir, run.Env = t.TempDir(), append(os.Environ(), "HYPOTHESIS_STORAGE_DIRECTORY="+t.TempDir())
	out, err := run.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", tail(string(out), 600))
	if strings.Contains(g.Log(), "panic") {
		t.Error("the gate's log has a panic")
	}
}

// installSchemathesis returns the program, which it installs into the labs' cache unless that has it with the same pins. The pins have no hashes,
// for some of the packages differ from one machine to the next.
func installSchemathesis(ctx context.Context) (program string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	pins := filepath.Join("testdata", "schemathesis.txt")
	text, err := os.ReadFile(pins)
	if err != nil {
		return "", err
	}
	cache, err := jars.Cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	dir := filepath.Join(cache, "schemathesis-"+hex.EncodeToString(sum[:6]))
	unlock, err := jars.Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	program, mark := filepath.Join(dir, "bin", "schemathesis"), filepath.Join(dir, ".complete")
	if _, err := os.Stat(mark); err == nil {
		return program, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	for _, step := range [][]string{{"python3", "-m", "venv", dir}, {filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q", "--no-input", "-r", pins}} {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("installing schemathesis: %w\n%s", err, out)
		}
	}
	return program, os.WriteFile(mark, nil, 0o644)
}
