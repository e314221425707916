package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the gate under test: its configuration in front of a lab, and questions over HTTP.

// gate is a running boltgate.
type gate struct{ *gates.Gate }

// startGate runs boltgate in front of the lab's members until the test ends. config may hold BIND in place of the address.
func startGate(t testing.TB, c *labs.Cluster, config string) *gate {
	t.Helper()
	return &gate{gates.Start(t, config, "NEO4J_CHECK_PASSWORD="+c.Password)}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

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
