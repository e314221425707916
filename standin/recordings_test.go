package standin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/test/labs/exchange"
)

const recordings = "../test/labs/recordings"

// TestRecordingsOfRealServers goes through every exchange recorded from a real server with a stand-in of the same kind and
// version, and compares what kind of answer comes, the names of its metadata, and the codes of failures. What only a
// database can know, such as rows of a graph, is not compared.
func TestRecordingsOfRealServers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("SKIPPED: there are no recordings of real servers in test/labs/recordings")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			scenarios, err := exchange.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			o, v := recordedFrom(t, string(text))
			for _, s := range scenarios {
				t.Run(s.Name, func(t *testing.T) { replay(t, o, v, s) })
			}
		})
	}
}

// replay runs one scenario on a stand-in of its own.
func replay(t *testing.T, o Options, v bolt.Version, s exchange.Scenario) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, o)
		server := exchange.Server{Version: v, User: DefaultUser, Password: DefaultPassword, Patience: time.Minute,
			Dial: func() (net.Conn, error) { return b.net.Dial(t.Context(), "", "s1:7687") }}
		got, err := server.Run(s)
		if err != nil {
			t.Fatal(err)
		}
		if g, w := kinds(got), kinds(s); g != w {
			t.Errorf("the kinds of its queries: got %s; want %s", g, w)
		}
		if diff := exchange.Diff(got.Shape(), s.Shape()); diff != "" && exchange.Diff(unsaid(got.Shape()), s.Shape()) != "" {
			t.Errorf("%s\nin full, the stand-in: %s\nthe server: %s", diff, strings.Join(got.Lines, "\n  "), strings.Join(s.Lines, "\n  "))
		}
	})
}

// unsaid is a scenario as its client sees it when the server's closing the connection outruns its last answer, as now and
// then happens to a client of a real one whose requests it did not read any more.
func unsaid(s exchange.Scenario) exchange.Scenario {
	n := len(s.Lines)
	if n > 1 && s.Lines[n-1] == "S: closed" && strings.HasPrefix(s.Lines[n-2], "S: FAILURE") {
		s.Lines = append(s.Lines[:n-2:n-2], "S: closed")
	}
	return s
}

var queryKind = regexp.MustCompile(`^S: SUCCESS .*type: ("\w+")`)

// kinds are the types of a scenario's queries, as the ends of their results name them.
func kinds(s exchange.Scenario) string {
	var list []string
	for _, line := range s.Lines {
		if m := queryKind.FindStringSubmatch(line); m != nil {
			list = append(list, m[1])
		}
	}
	return strings.Join(list, " ")
}

var recordingHead = regexp.MustCompile(`What Neo4j (\S+) \(lab (\S+)\) answers in Bolt (\d+)(?:\.(\d+))?\.`)

// recordedFrom is a stand-in like the server that a recording's head names.
func recordedFrom(t *testing.T, text string) (Options, bolt.Version) {
	t.Helper()
	m := recordingHead.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("its head does not name server, lab and Bolt version")
	}
	generations := map[string]cluster.Generation{"ha": cluster.HA, "causal": cluster.Causal}
	o := Options{Generation: cluster.Standalone, ServerVersion: m[1]}
	if g, ok := generations[m[2]]; ok {
		o.Generation = g
	}
	var major, minor uint8
	fmt.Sscan(m[3], &major)
	fmt.Sscan(orElse(m[4], "0"), &minor)
	return o, bolt.V(major, minor)
}
