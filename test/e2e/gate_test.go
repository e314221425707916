package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file owns the gate under test: the program itself, built once, run as a process in front of a lab.

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "boltgate-e2e")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "boltgate")
	build := exec.Command("go", "build", "-o", bin, "../../cmd/boltgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building boltgate: %w\n%s", err, out)
	}
	return bin, nil
})

// gate is a running boltgate.
type gate struct {
	t       testing.TB
	Address string
	process *os.Process
	ended   chan error
	config  string
}

// startGate runs boltgate in front of the lab's members until the test ends. config may hold BIND in place of the address.
func startGate(t testing.TB, c *labs.Cluster, config string) *gate {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, Address: loopback.Reserve(t), ended: make(chan error, 1)}
	g.config = filepath.Join(t.TempDir(), "boltgate.yaml")
	if err := os.WriteFile(g.config, []byte(strings.ReplaceAll(config, "BIND", g.Address)), 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	var mu sync.Mutex
	cmd := exec.Command(bin, "run", "-c", g.config)
	cmd.Env = append(os.Environ(), "NEO4J_CHECK_PASSWORD="+c.Password)
	cmd.Stdout = lockedWriter{&mu, log}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.process = cmd.Process
	go func() { g.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			mu.Lock()
			defer mu.Unlock()
			t.Logf("the gate's log:\n%s", tail(log.String(), 8000))
		}
	})
	return g
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// stop ends the gate by SIGTERM; it must end by itself, and well.
func (g *gate) stop() {
	if g.process == nil {
		return
	}
	g.process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case err := <-g.ended:
		if err != nil {
			g.t.Errorf("the gate ended with %v", err)
		}
	case <-time.After(45 * time.Second):
		g.process.Kill() //nolint:errcheck // as above
		g.t.Errorf("the gate did not end within 45 s of SIGTERM")
	}
	g.process = nil
}

// gateConfig is a configuration for a lab: all protocols, checks with the lab's login.
func gateConfig(c *labs.Cluster, generation, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  generation: %s\n  members:\n", generation)
	for _, m := range c.Members {
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q}\n", m.Name, m.Bolt, m.HTTP)
	}
	fmt.Fprintf(&b, "  check: {interval: 1s, user: %s, password: %q}\nlog: {level: debug}\n%s", c.User, c.Password, more)
	return b.String()
}

// cypherHTTP runs one statement by the transactional endpoint and returns the first value of the first row.
func (g *gate) cypherHTTP(ctx context.Context, c *labs.Cluster, path, statement string, header map[string]string) (string, error) {
	body, _ := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": statement}}})
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+g.Address+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(c.User, c.Password)
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var result struct {
		Results []struct{ Data []struct{ Row []any } }
		Errors  []struct{ Code, Message string }
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return "", fmt.Errorf("HTTP %d: %s", answer.StatusCode, tail(string(text), 300))
	}
	if len(result.Errors) > 0 {
		return "", errors.New(result.Errors[0].Code + ": " + result.Errors[0].Message)
	}
	if len(result.Results) == 0 || len(result.Results[0].Data) == 0 {
		return "", nil
	}
	return fmt.Sprint(result.Results[0].Data[0].Row[0]), nil
}

// eventually tries until f succeeds, and fails the test when it did not within limit.
func eventually(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
