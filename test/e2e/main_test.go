// Package e2e runs real drivers, and a raw Bolt client, against real Neo4j servers: directly and through boltgate. It needs Java, Maven, Python
// and Node; what a machine lacks is skipped loudly, and in CI (CI is set) fails. One lab of servers runs at a time, each in one test:
//
//	go test -v -timeout 30m ./test/e2e                     everything, about ten minutes on two cores
//	go test -v -run TestCommunity5 ./test/e2e              one lab
//	go test -run TestRehearsal ./test/e2e                  the raw client, the gate and stand-ins: seconds, no Java
//	go test -run TestAdminAPI ./test/e2e                   the admin API by its description, with schemathesis: a minute, no Java
//	go test -run TestCommunity5/direct/raw ./test/e2e -update    writes the recordings of test/labs/recordings anew
//	go test -run TestCommunity5/classify ./test/e2e -update      writes what the server says into cypher/testdata/statements.ndjson anew
//	go test -run TestClassificationPage ./test/e2e -update       and then the page docs/classification.md
//	BOLTGATE_WRITE_DOCS=1 go test -timeout 30m ./test/e2e  writes docs/compatibility.md from what it saw
//
// This file owns the run as a whole; labs_test.go one test per lab, drivers_test.go the drivers' smoke, raw_test.go the raw client, rehearsal_test.go
// the same without servers, gate_test.go the gate, matrix_test.go the page that is written; classify_test.go holds cypher.Classify against the servers,
// browser_test.go has Chromium run the JavaScript driver. upgrade_test.go has servers of other releases take each other's place behind one address.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/boltgate/boltgate/test/labs"
)

var update = flag.Bool("update", false, "write the recordings in test/labs/recordings anew")

// page is where the matrix goes.
var page = filepath.Join("..", "..", "docs", "compatibility.md")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if times := labs.Times(); times != "" {
		fmt.Println("e2e: time per lab:", times)
	}
	if os.Getenv("BOLTGATE_WRITE_DOCS") != "" && code == 0 {
		if err := seen.write(page); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = 1
		}
	}
	os.Exit(code)
}
