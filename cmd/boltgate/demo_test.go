package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/loopback"
)

// screenText collects what the demo prints.
type screenText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screenText) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screenText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// eventually polls until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within a minute", what)
		}
	}
}

func TestDemoGoesOnWithoutItsLeader(t *testing.T) {
	for generation, path := range map[string]string{
		"ha": "/db/data/transaction/commit", "causal": "/db/neo4j/tx/commit", "autonomous": "/db/neo4j/tx/commit",
	} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			address, screen := loopback.Reserve(t), new(screenText)
			keys, press := io.Pipe()
			ended := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				ended <- runDemo(ctx, demoOptions{generation: generation, bind: address, seed: 1}, keys, screen)
			}()
			write := func() (status int, answer string) {
				return demoWrite(t, "http://"+address+path)
			}
			eventually(t, "a write through the gate", func() bool {
				status, answer := write()
				return status == http.StatusOK && strings.Contains(answer, `"s1","leader"`)
			})
			fmt.Fprint(press, "k")
			eventually(t, "the kill", func() bool { return strings.Contains(screen.String(), "killed s1, the leader") })
			eventually(t, "a write at another leader", func() bool {
				status, answer := write()
				return status == http.StatusOK && strings.Contains(answer, `"leader"`) && !strings.Contains(answer, `"s1"`)
			})
			eventually(t, "the election on the screen", func() bool { return strings.Contains(screen.String(), " leads ") })
			fmt.Fprint(press, "r")
			eventually(t, "the restart", func() bool { return strings.Contains(screen.String(), "restarted s1") })
			fmt.Fprint(press, "q")
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the demo ended with %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("q did not end the demo")
			}
		})
	}
}

// demoWrite writes once; status 0 says that the gate did not answer.
func demoWrite(t *testing.T, url string) (int, string) {
	t.Helper()
	body := `{"statements":[{"statement":"CREATE (n) RETURN n"}]}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("neo4j", "standin")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func TestDemoRefusesAnUnknownGeneration(t *testing.T) {
	for _, g := range []string{"auto", "postgres", ""} {
		err := runDemo(t.Context(), demoOptions{generation: g, bind: "127.0.0.1:0"}, strings.NewReader(""), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "--generation") {
			t.Errorf("%q: got %v", g, err)
		}
	}
}
