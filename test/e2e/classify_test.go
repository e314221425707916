package e2e

// This file owns the differential test of cypher.Classify: every statement is put to a real server with EXPLAIN, whose summary tells whether it would
// have read or written, and held against what Classify says of the statement alone. classification_test.go owns the page with the counts.

import (
	"errors"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/test/labs"
)

// classified puts statements to the lab's leader: all of them when what it says is kept (-update) or documented, else one in four, for a server that
// has just started takes some 8 ms for each. No statement may write for the server and be a read for Classify, and at most one in a hundred of its
// reads and writes may be a read that goes to the leader for nothing.
func classified(t *testing.T, c *labs.Cluster) {
	queries, err := statements()
	if err != nil {
		t.Fatal(err)
	}
	if !*update && os.Getenv("BOLTGATE_WRITE_DOCS") == "" {
		queries = oneInFour(queries)
	}
	begun := time.Now()
	said := explainAll(t, c, queries)
	t.Logf("%d statements in %.1f s", len(queries), time.Since(begun).Seconds())
	if *update {
		if err := recordAnswers(queries, c.Lab.Version(), said); err != nil {
			t.Fatal(err)
		}
	}
	checkRecorded(t, c.Lab.Version(), queries, said)
	n := compare(queries, said)
	t.Logf("%d refused, %d administer, %d writes (%d missed), %d reads (%d about one member, %d to the leader for nothing)",
		n.refused, n.administers, n.writes, len(n.missed), n.reads, n.oneMember, len(n.careful))
	for _, query := range n.missed {
		t.Errorf("a write that Classify takes for a read: %q", query)
	}
	for _, query := range n.careful {
		t.Logf("a read that goes to the leader: %q: %s", query, cypher.ClassifyString(query, nil).Reason)
	}
	if n.reads < len(queries)/10 || n.writes < len(queries)/10 {
		t.Errorf("the server understood too little of %d statements", len(queries))
	}
	if len(n.careful)*100 > n.reads+n.writes {
		t.Errorf("%d of %d reads and writes are reads that go to the leader for nothing; at most 1 %% may", len(n.careful), n.reads+n.writes)
	}
}

func oneInFour(all []variation) []variation {
	var some []variation
	for i := 0; i < len(all); i += 4 {
		some = append(some, all[i])
	}
	return some
}

// checkRecorded holds what a server said against what is kept of its version, on which package cypher's own tests rely.
func checkRecorded(t *testing.T, version string, queries []variation, said []string) {
	t.Helper()
	kept, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range queries {
		if was, ok := kept[v.query][version]; !ok || was != said[i] {
			t.Errorf("%q: the server says %q, and %q is kept; look at it, and keep it with -update", v.query, said[i], was)
		}
	}
}

// explainAll returns what the server says of each of queries: see statement.
func explainAll(t *testing.T, c *labs.Cluster, queries []variation) []string {
	t.Helper()
	const askers = 2 // connections that share the work: a core each
	said := make([]string, len(queries))
	leader := c.Leader().Bolt
	versions := offered(t, leader)
	var all sync.WaitGroup
	for first := range askers {
		all.Go(func() {
			client, err := logon(leader, versions[len(versions)-1], c)
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			modes, err := procedureModes(client)
			if err != nil {
				t.Error(err)
				return
			}
			for i := first; i < len(queries); i += askers {
				kind, err := explain(client, queries[i].query)
				if err != nil {
					t.Errorf("%q: %v", queries[i].query, err)
					return
				}
				said[i] = kindOf(kind, queries[i].plain, c.Lab.Version(), modes)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return said
}

var (
	shows  = regexp.MustCompile(`(?i)^SHOW\b`)
	calls  = regexp.MustCompile(`(?i)^CALL ([a-z.]+)(\([^()]*\))?( YIELD [\w ,*]+)?( RETURN [\w ,*()]+)?$`)
	unions = regexp.MustCompile(`\bUNION\b`)
)

// kindOf is what to make of the type that a server gives a statement. It is "dbms" where the statement touches no database: SHOW of the administration,
// which has type s, and calls of mode DBMS, which have any type whether they act or not. All others of type s change a schema or are commands that
// act. Of a UNION 3.5 says r when its first part reads, whatever the second does: "union".
func kindOf(kind, plain, version string, modes map[string]string) string {
	if !slices.Contains([]string{"r", "rw", "w", "s"}, kind) {
		return kind
	}
	called := calls.FindStringSubmatch(plain)
	switch {
	case kind == "s" && shows.MatchString(plain):
		return "dbms"
	case called != nil && (modes[called[1]] == "DBMS" || called[1] == "dbms.clientConfig"): // which is internal, and not listed
		return "dbms"
	case kind == "r" && strings.HasPrefix(version, "3.") && unions.MatchString(plain):
		return "union"
	}
	return kind
}

// procedureModes returns the mode of each procedure, as the server lists them.
func procedureModes(client *bolt.Client) (map[string]string, error) {
	result, err := client.Query("SHOW PROCEDURES YIELD name, mode", nil, nil)
	if _, refused := errors.AsType[*bolt.Failure](err); refused { // 3.5
		result, err = client.Query("CALL dbms.procedures() YIELD name, mode", nil, nil)
	}
	if err != nil {
		return nil, err
	}
	modes := map[string]string{}
	for _, row := range result.Rows {
		modes[row[0].(string)] = row[1].(string)
	}
	return modes, nil
}

func logon(addr string, v bolt.Version, c *labs.Cluster) (*bolt.Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // the handshake would say so
	if _, err := bolt.Handshake(conn, v); err != nil {
		conn.Close() //nolint:errcheck // the handshake's error says why
		return nil, err
	}
	client := bolt.NewClient(conn, v)
	return client, client.Logon(bolt.HelloOptions{Agent: "explain/1"}, bolt.Basic(c.User, c.Password))
}

// explain asks what one statement would do. Under EXPLAIN it does nothing.
func explain(client *bolt.Client, query string) (string, error) {
	client.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // the query would say so
	result, err := client.Query("EXPLAIN "+query, nil, nil)
	if refused, ok := errors.AsType[*bolt.Failure](err); ok {
		return refused.Code[strings.LastIndexByte(refused.Code, '.')+1:], nil
	}
	if err != nil {
		return "", err
	}
	kind, _ := result.Summary["type"].(string)
	return kind, nil
}

// comparison is how Classify did with one server.
type comparison struct {
	refused, administers     int      // refused by the server; what touches no database
	reads, writes, oneMember int      // as the server says; of the reads, those that concern one member and go to the leader for that
	missed, careful          []string // writes that Classify takes for reads, reads that it takes for writes
}

// compare holds Classify against what a server said of each of queries.
func compare(queries []variation, said []string) comparison {
	var n comparison
	for i, v := range queries {
		verdict := cypher.ClassifyString(v.query, nil)
		switch said[i] {
		case "r":
			n.reads++
			if verdict.OneMember {
				n.oneMember++
			} else if verdict.Access == cypher.Write {
				n.careful = append(n.careful, v.query)
			}
		case "rw", "w", "s":
			n.writes++
			if verdict.Access == cypher.Read {
				n.missed = append(n.missed, v.query)
			}
		case "dbms":
			n.administers++
		default:
			n.refused++
		}
	}
	return n
}
