package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns a batch that commits by itself, as it goes, and loses its leader in the middle: it is never sent again.

const (
	batchRows = 30000
	batchSize = 100  // rows of one commit
	batchKill = 1000 // rows that are there when the leader dies
	batchText = "USING PERIODIC COMMIT %d LOAD CSV FROM 'file://%s' AS row CREATE (:Batch {run: $run, id: row[0]})"
	batchTime = 3 * time.Minute
)

// batches takes a lab through n of them.
func batches(t *testing.T, c *labs.Cluster, gate *contender, n int) {
	var rows strings.Builder
	for i := range batchRows {
		fmt.Fprintln(&rows, i)
	}
	file := filepath.Join(t.TempDir(), "rows.csv") // the labs' servers read any
	if err := os.WriteFile(file, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(batchText, batchSize, file)
	for i := range n {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			for try := 1; !batch(t, c, gate, text); try++ {
				if try == 3 {
					t.Fatal("no batch lasted until its leader was killed")
				}
			}
		})
	}
}

// batch is one; false when it ended too soon: the machine stood still, or the leader moved by itself.
func batch(t *testing.T, c *labs.Cluster, gate *contender, text string) (midway bool) {
	ctx, cancel := context.WithTimeout(t.Context(), batchTime)
	defer cancel()
	run := fmt.Sprintf("chaos batch %d", time.Now().UnixNano())
	to := gate.target(t)
	defer to.close()
	var told error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		session := to.writer.NewSession(ctx, neo4j.SessionConfig{AccessMode: neo4j.AccessModeWrite})
		defer session.Close(ctx) //nolint:errcheck // what counts was said by then
		told = consume(ctx, func() (neo4j.ResultWithContext, error) {
			return session.Run(ctx, text, map[string]any{"run": run})
		})
	}()
	leader := c.Leader()
	killErr := killMidway(ctx, t, c, leader, run, ended)
	<-ended
	if errors.Is(killErr, errTooSoon) {
		t.Logf("%v: %v", killErr, told)
		return false
	}
	if err := mended(t, c); err != nil || killErr != nil {
		t.Fatalf("%v; the batch ended with %v", errors.Join(killErr, err), told)
	}
	stored := tally(t, c, "MATCH (n:Batch {run: $run}) RETURN n.id AS id, count(*) AS n", run)
	if !gate.inDoubt(told) {
		t.Errorf("the batch ended with %v; want that it is in doubt", told)
	}
	twice := 0
	for _, n := range stored {
		twice += min(n-1, 1)
	}
	if twice > 0 || len(stored)%batchSize != 0 || len(stored) < batchKill || len(stored) == batchRows {
		t.Errorf("%d of %d rows are there, %d of them twice; want whole commits of %d, some and not all, nothing twice", len(stored), batchRows, twice, batchSize)
	}
	t.Logf("%s killed in the middle of a batch of %d rows: %d are there, %d of them twice; the client was told %v", leader.Name, batchRows, len(stored), twice, told)
	return true
}

var errTooSoon = errors.New("chaos: the batch ended before its leader was killed")

// killMidway kills the leader when some of the batch is there, and the batch has not ended.
func killMidway(ctx context.Context, t *testing.T, c *labs.Cluster, leader *labs.Member, run string, ended <-chan struct{}) error {
	driver := drive(t, "bolt://"+leader.Bolt, c)
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	for {
		result, err := neo4j.ExecuteQuery(ctx, driver, "MATCH (n:Batch {run: $run}) RETURN count(*) AS n", map[string]any{"run": run}, neo4j.EagerResultTransformer)
		if err != nil {
			return fmt.Errorf("asking %s how far the batch is: %w", leader.Name, err)
		}
		if n, _, _ := neo4j.GetRecordValue[int64](result.Records[0], "n"); n >= batchKill {
			return leader.Kill()
		}
		select {
		case <-ended:
			return errTooSoon
		case <-time.After(5 * time.Millisecond):
		}
	}
}
