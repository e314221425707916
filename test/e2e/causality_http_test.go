package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the same proof over HTTP. Before 5.0 nothing can be told a member there: reads that follow a write of their user stay
// at the leader until checks have found the others to have it, and then they leave.

const (
	httpRounds  = 10
	httpWriting = 5 * time.Second       // from one write to the next
	httpPause   = 20 * time.Millisecond // between two reads
	httpAtOnce  = time.Second           // after a write: a read before that follows it at once
	httpPath    = "/db/data/transaction/commit"
)

// httpFigures are the reads of a run, by whether they followed a write at once.
type httpFigures struct {
	reads, atLeader [2]int
	missed          int
	away            []time.Duration // after each write: until the first read was served off the leader
}

// causalityHTTP: an application over HTTP that writes now and then and reads all the while.
func causalityHTTP(t *testing.T, c *labs.Cluster) {
	config, leader := gateConfig(c, "causal", ""), (*counter)(nil)
	for _, m := range c.Members {
		k := startCounter(t, m.HTTP)
		config = strings.ReplaceAll(config, fmt.Sprintf("http: %q", m.HTTP), fmt.Sprintf("http: %q", k.address))
		if m == c.Leader() {
			leader = k
		}
	}
	g := startGate(t, c, config)
	eventually(t, time.Minute, "a first write", func() error {
		_, err := g.statement(t.Context(), c, writeText, "first")
		return err
	})
	eventually(t, time.Minute, "a read off the leader", func() error {
		before := leader.seen.Load()
		if _, err := g.statement(t.Context(), c, seenText, "first"); err != nil {
			return err
		}
		if leader.seen.Load() > before {
			return fmt.Errorf("it was at the leader")
		}
		return nil
	})
	var f httpFigures
	for i := range httpRounds {
		oneRound(t, c, g, leader, fmt.Sprint("over HTTP ", i), &f)
	}
	off := func(i int) float64 { return 100 - 100*float64(f.atLeader[i])/float64(max(f.reads[i], 1)) }
	t.Logf("causality: over HTTP: %d rounds of %v; %d reads missed; %.1f %% of %d reads within %v of a write off the leader, %.1f %% of the %d others; the first was off it after %v",
		httpRounds, httpWriting, f.missed, off(0), f.reads[0], httpAtOnce, off(1), f.reads[1], f.away)
	if f.missed > 0 {
		t.Errorf("%d reads missed the write before them", f.missed)
	}
	if 100*f.atLeader[1] > 5*f.reads[1] {
		t.Errorf("%d of %d reads that did not follow a write at once were served by the leader; want at most 5 %%", f.atLeader[1], f.reads[1])
	}
	if all := f.reads[0] + f.reads[1]; 100*(f.atLeader[0]+f.atLeader[1]) > 10*all {
		t.Errorf("%d of all %d reads were served by the leader; want at most 10 %%", f.atLeader[0]+f.atLeader[1], all)
	}
}

// oneRound writes once and then reads what was written, again and again.
func oneRound(t *testing.T, c *labs.Cluster, g *gate, leader *counter, round string, f *httpFigures) {
	t.Helper()
	if _, err := g.statement(t.Context(), c, writeText, round); err != nil {
		t.Fatal(err)
	}
	first := true
	for wrote := time.Now(); time.Since(wrote) < httpWriting; time.Sleep(httpPause) {
		began, before, late := time.Since(wrote), leader.seen.Load(), 0
		n, err := g.statement(t.Context(), c, seenText, round)
		if err != nil {
			t.Fatal(err)
		}
		if n != "1" {
			f.missed++
		}
		if began > httpAtOnce {
			late = 1
		}
		f.reads[late]++
		if leader.seen.Load() > before {
			f.atLeader[late]++
		} else if first {
			first, f.away = false, append(f.away, began.Round(time.Millisecond))
		}
	}
}

// statement runs a text of this check over HTTP, without a word about its mode, and returns the first value.
func (g *gate) statement(ctx context.Context, c *labs.Cluster, text, round string) (string, error) {
	body, _ := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": text, "parameters": map[string]any{"pair": -2, "round": round}}}})
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+g.Address+httpPath, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(c.User, c.Password)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var result struct {
		Results []struct{ Data []struct{ Row []any } }
		Errors  []struct{ Code, Message string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil || len(result.Errors) > 0 {
		return "", fmt.Errorf("%s: %d %v %w", text, answer.StatusCode, result.Errors, err)
	}
	if len(result.Results) == 0 || len(result.Results[0].Data) == 0 {
		return "", nil
	}
	return fmt.Sprint(result.Results[0].Data[0].Row[0]), nil
}

// newestOverHTTP: the question that causality: cluster asks over HTTP gets a bookmark from servers of 5.0 and newer, at both endpoints.
func newestOverHTTP(t *testing.T, c *labs.Cluster) {
	for path, body := range map[string]string{
		"/db/neo4j/query/v2":  `{"statement":"RETURN 1","accessMode":"Read"}`,
		"/db/neo4j/tx/commit": `{"statements":[{"statement":"RETURN 1"}]}`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+c.Leader().HTTP+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(c.User, c.Password)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Access-Mode", "READ")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode >= 300 || !bytes.Contains(raw, []byte(`ookmarks":["FB:`)) {
			t.Errorf("%s: %d %s, %v; want a bookmark", path, answer.StatusCode, raw, err)
		}
	}
}
