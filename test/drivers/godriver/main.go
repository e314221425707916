// Command godriver is the smoke program for the Go driver; package drivers says what such a program does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

func main() {
	uri := flag.String("uri", "", "bolt:// or neo4j:// address")
	user := flag.String("user", "neo4j", "user name")
	password := flag.String("password", "", "password")
	mark := flag.String("mark", "", "value that marks this run's nodes")
	timeout := flag.Duration("timeout", 30*time.Second, "time for the whole run")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if !run(ctx, *uri, *user, *password, *mark) {
		cancel()
		os.Exit(1)
	}
}

type smoke struct {
	driver neo4j.DriverWithContext
	mark   string
	ok     bool
}

func run(ctx context.Context, uri, user, password, mark string) bool {
	driver, err := neo4j.NewDriverWithContext(uri, neo4j.BasicAuth(user, password, ""), func(c *config.Config) {
		c.SocketConnectTimeout = 5 * time.Second
		c.MaxTransactionRetryTime = 10 * time.Second
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	defer driver.Close(ctx)
	s := &smoke{driver, mark, true}
	s.step(ctx, "connect", s.connect)
	if !s.ok {
		return false
	}
	s.step(ctx, "read", s.read)
	s.step(ctx, "write", s.write)
	s.step(ctx, "commit", s.commit)
	s.step(ctx, "rollback", s.rollback)
	s.step(ctx, "failure", s.failure)
	s.step(ctx, "reset", s.reset)
	s.step(ctx, "managed", s.managed)
	s.step(ctx, "cleanup", s.cleanup)
	return s.ok
}

// step runs one step and prints its line.
func (s *smoke) step(ctx context.Context, name string, f func(context.Context) (string, error)) {
	begun := time.Now()
	detail, err := f(ctx)
	line := map[string]any{"step": name, "ok": err == nil, "ms": time.Since(begun).Milliseconds()}
	if detail != "" {
		line["detail"] = detail
	}
	if err != nil {
		line["error"], s.ok = err.Error(), false
	}
	json.NewEncoder(os.Stdout).Encode(line)
}

func (s *smoke) connect(ctx context.Context) (string, error) {
	info, err := s.driver.GetServerInfo(ctx)
	if err != nil {
		return "", err
	}
	v := info.ProtocolVersion()
	return fmt.Sprintf("%s over Bolt %d.%d", info.Agent(), v.Major, v.Minor), nil
}

func (s *smoke) session(ctx context.Context, mode neo4j.AccessMode) neo4j.SessionWithContext {
	return s.driver.NewSession(ctx, neo4j.SessionConfig{AccessMode: mode})
}

func (s *smoke) read(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeRead)
	defer session.Close(ctx)
	result, err := session.Run(ctx, "UNWIND range(1, 1000) AS n RETURN n, $echo AS echo", map[string]any{"echo": []any{"a", 1, 2.5, true, nil}})
	if err != nil {
		return "", err
	}
	var sum int64
	for result.Next(ctx) {
		n, _ := result.Record().Values[0].(int64)
		sum += n
		if echo, _ := result.Record().Values[1].([]any); len(echo) != 5 || echo[0] != "a" || echo[2] != 2.5 {
			return "", fmt.Errorf("echo came back as %v", echo)
		}
	}
	if sum != 500500 {
		return "", fmt.Errorf("the sum of the rows is %d, not 500500", sum)
	}
	return "", result.Err()
}

func (s *smoke) write(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	result, err := session.Run(ctx, "CREATE (s:Smoke {mark: $mark, n: 1})", map[string]any{"mark": s.mark})
	if err != nil {
		return "", err
	}
	summary, err := result.Consume(ctx)
	if err != nil {
		return "", err
	}
	if got := summary.Counters().NodesCreated(); got != 1 {
		return "", fmt.Errorf("%d nodes created, not 1", got)
	}
	return "", s.expect(ctx, session, 1)
}

// runner is what a session's auto-commit and a transaction have in common.
type runner func(ctx context.Context, query string, params map[string]any) (neo4j.ResultWithContext, error)

func (s *smoke) count(ctx context.Context, run runner) (int64, error) {
	result, err := run(ctx, "MATCH (s:Smoke {mark: $mark}) RETURN count(s)", map[string]any{"mark": s.mark})
	if err != nil {
		return 0, err
	}
	record, err := result.Single(ctx)
	if err != nil {
		return 0, err
	}
	n, _ := record.Values[0].(int64)
	return n, nil
}

func (s *smoke) expect(ctx context.Context, session neo4j.SessionWithContext, want int64) error {
	got, err := s.count(ctx, func(ctx context.Context, q string, p map[string]any) (neo4j.ResultWithContext, error) {
		return session.Run(ctx, q, p)
	})
	if err == nil && got != want {
		return fmt.Errorf("%d nodes, not %d", got, want)
	}
	return err
}

// inTransaction creates one node in an explicit transaction and sees it there.
func (s *smoke) inTransaction(ctx context.Context, session neo4j.SessionWithContext, want int64) (neo4j.ExplicitTransaction, error) {
	tx, err := session.BeginTransaction(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Run(ctx, "CREATE (s:Smoke {mark: $mark})", map[string]any{"mark": s.mark}); err != nil {
		return nil, err
	}
	got, err := s.count(ctx, tx.Run)
	if err == nil && got != want {
		err = fmt.Errorf("%d nodes inside the transaction, not %d", got, want)
	}
	return tx, err
}

func (s *smoke) commit(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	tx, err := s.inTransaction(ctx, session, 2)
	if err != nil {
		return "", err
	}
	if err := tx.Commit(ctx); err != nil {
		return "", err
	}
	return "", s.expect(ctx, session, 2)
}

func (s *smoke) rollback(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	tx, err := s.inTransaction(ctx, session, 3)
	if err != nil {
		return "", err
	}
	if err := tx.Rollback(ctx); err != nil {
		return "", err
	}
	return "", s.expect(ctx, session, 2)
}

func (s *smoke) failure(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	result, err := session.Run(ctx, "THIS IS NOT CYPHER", nil)
	if err == nil {
		_, err = result.Consume(ctx)
	}
	var failure *neo4j.Neo4jError
	if !errors.As(err, &failure) || !strings.HasSuffix(failure.Code, ".SyntaxError") {
		return "", fmt.Errorf("a syntax error came back as %v", err)
	}
	return "", s.expect(ctx, session, 2)
}

func (s *smoke) reset(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	tx, err := session.BeginTransaction(ctx)
	if err != nil {
		return "", err
	}
	result, err := tx.Run(ctx, "UNWIND range(1, 100000) AS n RETURN n", nil)
	if err != nil {
		return "", err
	}
	for range 10 {
		if !result.Next(ctx) {
			return "", fmt.Errorf("no ten rows: %w", result.Err())
		}
	}
	if err := session.Close(ctx); err != nil {
		return "", err
	}
	next := s.session(ctx, neo4j.AccessModeWrite)
	defer next.Close(ctx)
	return "", s.expect(ctx, next, 2)
}

func (s *smoke) managed(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	_, err := session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		return tx.Run(ctx, "CREATE (s:Smoke {mark: $mark})", map[string]any{"mark": s.mark})
	})
	if err != nil {
		return "", err
	}
	got, err := session.ExecuteRead(ctx, func(tx neo4j.ManagedTransaction) (any, error) { return s.count(ctx, tx.Run) })
	if err == nil && got != int64(3) {
		err = fmt.Errorf("%v nodes, not 3", got)
	}
	return "", err
}

func (s *smoke) cleanup(ctx context.Context) (string, error) {
	session := s.session(ctx, neo4j.AccessModeWrite)
	defer session.Close(ctx)
	result, err := session.Run(ctx, "MATCH (s:Smoke {mark: $mark}) DELETE s", map[string]any{"mark": s.mark})
	if err != nil {
		return "", err
	}
	_, err = result.Consume(ctx)
	return "", err
}
