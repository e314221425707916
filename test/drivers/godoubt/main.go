// Godoubt is the doubt program for the Go driver; package drivers says what such a program does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

func main() {
	uri, user, password := flag.String("uri", "", ""), flag.String("user", "", ""), flag.String("password", "", "")
	mark, work, closing := flag.String("mark", "", ""), flag.String("work", "", ""), flag.String("close", "", "")
	timeout := flag.Duration("timeout", time.Minute, "")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	driver, err := neo4j.NewDriverWithContext(*uri, neo4j.BasicAuth(*user, *password, ""), func(c *config.Config) { c.MaxTransactionRetryTime = 10 * time.Second })
	if err != nil {
		panic(err)
	}
	session := driver.NewSession(ctx, neo4j.SessionConfig{})
	attempts := 0
	params := func() map[string]any {
		if attempts++; attempts > 1 {
			return map[string]any{"mark": *mark}
		}
		return map[string]any{"mark": *mark, "close": *closing}
	}
	if *work == "auto" {
		result, runErr := session.Run(ctx, "CREATE (n)", params())
		if err = runErr; err == nil {
			_, err = result.Consume(ctx)
		}
	} else {
		_, err = session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			result, err := tx.Run(ctx, "CREATE (n)", params())
			if err != nil {
				return nil, err
			}
			return result.Consume(ctx)
		})
	}
	answer := map[string]any{"attempts": attempts, "error": ""}
	if err != nil {
		answer["error"] = err.Error()
		if e, ok := errors.AsType[*neo4j.Neo4jError](err); ok {
			answer["error"] = e.Code
		}
	}
	json.NewEncoder(os.Stdout).Encode(answer) //nolint:errcheck // who reads it would miss it
}
