// Godoubt is the doubt program for the Go driver; package drivers says what such a program does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

// text is what every driver's program writes with.
const text = "CREATE (n:Doubt {mark: $mark})"

// outcome is what is printed of one write.
type outcome struct {
	Mark     string `json:"mark"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`
}

func main() {
	uri, user, password := flag.String("uri", "", ""), flag.String("user", "", ""), flag.String("password", "", "")
	mark, work, closing := flag.String("mark", "", ""), flag.String("work", "", ""), flag.String("close", "", "")
	timeout, count := flag.Duration("timeout", time.Minute, ""), flag.Int("count", 1, "")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	driver, err := neo4j.NewDriverWithContext(*uri, neo4j.BasicAuth(*user, *password, ""), func(c *config.Config) { c.MaxTransactionRetryTime = 10 * time.Second })
	if err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	for i := range *count {
		o := outcome{Mark: *mark}
		if *count > 1 {
			o.Mark = fmt.Sprintf("%s/%d", *mark, i+1)
		}
		o.write(ctx, driver, *work == "auto", *closing)
		out.Encode(o) //nolint:errcheck // who reads it would miss it
	}
}

// write writes one node and notes what came of it.
func (o *outcome) write(ctx context.Context, driver neo4j.DriverWithContext, auto bool, closing string) {
	session := driver.NewSession(ctx, neo4j.SessionConfig{})
	defer session.Close(ctx) //nolint:errcheck // what counts was said by then
	params := func() map[string]any {
		if o.Attempts++; o.Attempts > 1 {
			return map[string]any{"mark": o.Mark}
		}
		return map[string]any{"mark": o.Mark, "close": closing}
	}
	var err error
	if auto {
		err = consume(ctx, func() (neo4j.ResultWithContext, error) { return session.Run(ctx, text, params()) })
	} else {
		_, err = session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			return nil, consume(ctx, func() (neo4j.ResultWithContext, error) { return tx.Run(ctx, text, params()) })
		})
	}
	if err == nil {
		return
	}
	o.Error = err.Error()
	if e, ok := errors.AsType[*neo4j.Neo4jError](err); ok {
		o.Error = e.Code
	}
}

func consume(ctx context.Context, run func() (neo4j.ResultWithContext, error)) error {
	result, err := run()
	if err == nil {
		_, err = result.Consume(ctx)
	}
	return err
}
