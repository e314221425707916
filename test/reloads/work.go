package reloads

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the clients: an official driver in plain text and over TLS, with queries that no driver repeats and transactions, one that
// connects anew each time, and HTTP.

// work is the clients at work.
type work struct {
	w     *World
	stop  context.CancelFunc
	all   sync.WaitGroup
	units atomic.Int64
	marks atomic.Int64 // units that wrote

	mu     sync.Mutex
	faults []error // guarded by mu
}

// unit does one unit of work; wrote says that it was a write.
type unit func(ctx context.Context, n int) (wrote bool, err error)

// clients is how many start starts.
const clients = 8

func (w *World) start(t testing.TB) *work {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	all := &work{w: w, stop: cancel}
	plain, secure := w.driver(t, "neo4j://"), w.driver(t, "bolt+ssc://")
	kept := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	t.Cleanup(kept.CloseIdleConnections)
	for _, u := range [clients]unit{
		w.autoCommit(plain), w.autoCommit(plain), w.transactions(plain), w.autoCommit(secure), w.transactions(secure), w.anew, w.overHTTP(kept), w.transactionOverHTTP(kept),
	} {
		all.all.Go(func() { all.repeat(ctx, u) })
	}
	return all
}

// repeat does one unit after the other until ctx ends; each is finished.
func (all *work) repeat(ctx context.Context, u unit) {
	for n := 0; ctx.Err() == nil; n++ {
		each, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		wrote, err := u(each, n)
		cancel()
		if err != nil {
			all.mu.Lock()
			all.faults = append(all.faults, err)
			all.mu.Unlock()
			return
		}
		if all.units.Add(1); wrote {
			all.marks.Add(1)
		}
		select {
		case <-time.After(all.w.Pause):
		case <-ctx.Done():
		}
	}
}

func (all *work) failed() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.faults) > 0
}

// end ends the clients and says what failed.
func (all *work) end(t testing.TB) Result {
	t.Helper()
	all.stop()
	all.all.Wait()
	for _, err := range all.faults {
		t.Errorf("a unit of work failed: %v", err)
	}
	return Result{Units: all.units.Load(), Writes: all.marks.Load()}
}

// finish ends the transaction that was open while its frontend went.
func (all *work) finish(t testing.TB, open *bolt.Client, i int) {
	t.Helper()
	if _, err := open.Ask(bolt.AppendMessage(nil, bolt.TagCommit)); err != nil {
		t.Errorf("reload %d: COMMIT of a transaction whose frontend was taken away: %v", i, err)
	}
	if _, err := open.Query(all.w.Reading, nil, nil); err != nil {
		t.Errorf("reload %d: a query on a connection whose frontend was taken away: %v", i, err)
	}
	all.units.Add(2)
	open.Conn.Close()
}

func (w *World) driver(t testing.TB, scheme string) neo4j.DriverWithContext {
	t.Helper()
	d, err := neo4j.NewDriverWithContext(scheme+w.Main, neo4j.BasicAuth(w.User, w.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) }) //nolint:errcheck // the test has seen what it wants
	// Before its clients share it: the driver's first connection sets a field without a lock.
	if err := d.VerifyConnectivity(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// text is the statement of unit n: two reads, then a write.
func (w *World) text(n int) (text string, mode neo4j.AccessMode, wrote bool) {
	if n%3 == 2 {
		return w.Writing, neo4j.AccessModeWrite, true
	}
	return w.Reading, neo4j.AccessModeRead, false
}

// autoCommit runs queries that no driver repeats.
func (w *World) autoCommit(d neo4j.DriverWithContext) unit {
	return func(ctx context.Context, n int) (bool, error) {
		text, mode, wrote := w.text(n)
		s := d.NewSession(ctx, neo4j.SessionConfig{AccessMode: mode})
		result, err := s.Run(ctx, text, map[string]any{"mark": n})
		if err == nil {
			_, err = result.Consume(ctx)
		}
		return wrote, say("a query", errors.Join(err, s.Close(ctx)))
	}
}

// transactions runs explicit ones, which no driver repeats either.
func (w *World) transactions(d neo4j.DriverWithContext) unit {
	return func(ctx context.Context, n int) (bool, error) {
		text, mode, wrote := w.text(n)
		s := d.NewSession(ctx, neo4j.SessionConfig{AccessMode: mode})
		tx, err := s.BeginTransaction(ctx)
		if err == nil {
			_, err = tx.Run(ctx, w.Reading, map[string]any{"mark": n})
		}
		if err == nil {
			_, err = tx.Run(ctx, text, map[string]any{"mark": n})
		}
		if err == nil {
			err = tx.Commit(ctx)
		}
		return wrote, say("a transaction", errors.Join(err, s.Close(ctx)))
	}
}

// anew is a query on a connection of its own.
func (w *World) anew(ctx context.Context, n int) (bool, error) {
	d, err := neo4j.NewDriverWithContext([]string{"bolt://", "neo4j://", "bolt+ssc://"}[n%3]+w.Main, neo4j.BasicAuth(w.User, w.Password, ""))
	if err != nil {
		return false, err
	}
	wrote, err := w.autoCommit(d)(ctx, n)
	return wrote, say("a new connection", errors.Join(err, d.Close(ctx)))
}

// overHTTP commits with its request.
func (w *World) overHTTP(client *http.Client) unit {
	return func(ctx context.Context, n int) (bool, error) {
		text, _, wrote := w.text(n)
		_, err := w.post(ctx, client, "http://"+w.Main+"/db/neo4j/tx/commit", text, n)
		return wrote, say("over HTTP", err)
	}
}

// transactionOverHTTP takes three requests.
func (w *World) transactionOverHTTP(client *http.Client) unit {
	return func(ctx context.Context, n int) (bool, error) {
		text, _, wrote := w.text(n)
		location, err := w.post(ctx, client, "http://"+w.Main+"/db/neo4j/tx", text, n)
		if err == nil {
			_, err = w.post(ctx, client, location, w.Reading, n)
		}
		if err == nil {
			_, err = w.post(ctx, client, location+"/commit", w.Reading, n)
		}
		return wrote, say("a transaction over HTTP", err)
	}
}

// post sends one statement, and returns where its transaction is.
func (w *World) post(ctx context.Context, client *http.Client, url, text string, n int) (location string, err error) {
	body, err := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": text, "parameters": map[string]any{"mark": n}}}})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(w.User, w.Password)
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var result struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(said, &result); err != nil || answer.StatusCode >= 300 || len(result.Errors) > 0 {
		return "", fmt.Errorf("%s: %s (%w)", answer.Status, said, errors.Join(err, errors.New("not done")))
	}
	return answer.Header.Get("Location"), nil
}

// say says what kind of work an error is of; nil stays nil.
func say(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
