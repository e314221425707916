package e2e

// This file owns the page docs/classification.md: how Classify does with what each server said, as cypher/testdata/statements.ndjson keeps it and the
// labs hold it.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/test/labs"
)

var classificationPage = filepath.Join("..", "..", "docs", "classification.md")

// The page says what is true; -update, or a run that writes the docs, writes it.
func TestClassificationPage(t *testing.T) {
	want, err := classificationText()
	if err != nil {
		t.Fatal(err)
	}
	if *update || os.Getenv("BOLTGATE_WRITE_DOCS") != "" {
		if err := os.WriteFile(classificationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(classificationPage); err != nil || string(got) != want {
		t.Errorf("%s is not what the kept answers give (%v); write it with -update", classificationPage, err)
	}
}

const classificationPreface = `# Reads told from writes, held against real servers

<!-- Written by the test run: go test -run TestClassificationPage ./test/e2e -update. Do not edit by hand. -->

Where a client does not say whether it reads or writes, boltgate judges by the text: ` + "`cypher.Classify`, which `boltgate classify` shows" + `. The end-to-end
tests put the statements of ` + "`cypher/testdata/statements.ndjson`" + ` to each server with EXPLAIN, whose answer tells whether the statement would read or write, and
hold that against what Classify says of the statement with its built-in table of procedures. The statements are those of ` + "`statements.txt`" + ` there and their variations:
in Cypher 25, with keywords for names, in lower case, with comments, ` + "`\\uXXXX`" + ` and unusual white space. Many are made to be refused: what a server cannot
read, it does not run. The tests fail when one write is missed, or when more than 1 % of a server's reads and writes are reads that go to the leader for nothing.

"Administration" is what EXPLAIN counts with schema changes although it touches no database: SHOW of users or databases, procedures of mode DBMS. The reads that
concern one member, such as SHOW TRANSACTIONS, go to the leader on purpose; TERMINATE is among them, for EXPLAIN calls it a read.

| server | statements | refused by it | administration | writes | of them missed | reads | of them about one member | go to the leader for nothing |
|---|---|---|---|---|---|---|---|---|
`

func classificationText() (string, error) {
	queries, err := statements()
	if err != nil {
		return "", err
	}
	kept, err := recorded()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(classificationPreface)
	var careful []string
	there := map[string]bool{}
	for _, lab := range []labs.Lab{labs.HA, labs.Community44, labs.Community5, labs.Community2026} {
		said := make([]string, len(queries))
		for i, v := range queries {
			if said[i] = kept[v.query][lab.Version()]; said[i] == "" {
				return "", fmt.Errorf("nothing is kept of what Neo4j %s says of %q; run the test of lab %s with -update", lab.Version(), v.query, lab.Name)
			}
		}
		n := compare(queries, said)
		fmt.Fprintf(&b, "| Neo4j %s | %d | %d | %d | %d | %d | %d | %d | %d (%.2f %%) |\n", lab.Version(), len(queries), n.refused, n.administers,
			n.writes, len(n.missed), n.reads, n.oneMember, len(n.careful), 100*float64(len(n.careful))/float64(n.reads+n.writes))
		for _, query := range n.careful {
			if !there[query] {
				there[query] = true
				careful = append(careful, query)
			}
		}
	}
	b.WriteString("\nThe reads that go to the leader for nothing, each with the reason that Classify gives:\n\n")
	for _, query := range careful {
		fmt.Fprintf(&b, "* ``%s``: %s\n", strings.Join(strings.Fields(query), " "), cypher.ClassifyString(query, nil).Reason)
	}
	return b.String(), nil
}

func TestKindOf(t *testing.T) {
	modes := map[string]string{"dbms.listConfig": "DBMS", "db.createLabel": "WRITE"}
	for _, test := range []struct{ kind, plain, version, want string }{
		{"s", "SHOW USERS", "5.26.30", "dbms"},
		{"r", "SHOW INDEXES", "5.26.30", "r"},
		{"s", "CREATE USER x SET PASSWORD 'y'", "5.26.30", "s"},
		{"s", "CALL dbms.listConfig()", "5.26.30", "dbms"},
		{"rw", "CALL dbms.listConfig('a') YIELD name RETURN name", "3.5.0", "dbms"},
		{"rw", "CALL dbms.listConfig() YIELD name CREATE ({n: name})", "3.5.0", "rw"},
		{"w", "CALL db.createLabel('x')", "5.26.30", "w"},
		{"s", "CALL unknown.one()", "5.26.30", "s"},
		{"r", "RETURN 1 UNION CREATE (n) RETURN 1", "3.5.0", "union"},
		{"r", "RETURN 1 UNION RETURN 2", "5.26.30", "r"},
		{"SyntaxError", "SHOW USERS", "3.5.0", "SyntaxError"},
	} {
		if got := kindOf(test.kind, test.plain, test.version, modes); got != test.want {
			t.Errorf("%s of %q on %s: got %s; want %s", test.kind, test.plain, test.version, got, test.want)
		}
	}
}
