package e2e

// This file owns the smoke of every driver, and what is known to go wrong between a driver and a server that nobody in between can mend.

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// refusalTime is within what a driver must have been told that it shares no Bolt version with the server.
const refusalTime = 15 * time.Second

// spoken are the Bolt versions of each lab's servers, oldest first.
var spoken = map[string][]string{
	labs.HA.Name:            {"1", "2", "3"},
	labs.Causal.Name:        {"1", "2", "3"},
	labs.Community44.Name:   {"3", "4.0", "4.1", "4.2", "4.3", "4.4"},
	labs.Community5.Name:    {"4.0", "4.1", "4.2", "4.3", "4.4", "5.0", "5.1", "5.2", "5.3", "5.4", "5.6", "5.7", "5.8"},
	labs.Community2026.Name: {"4.0", "4.1", "4.2", "4.3", "4.4", "5.0", "5.1", "5.2", "5.3", "5.4", "5.6", "5.7", "5.8", "6.0", "6.1"},
}

// install makes every driver ready that this machine can have.
func install(t *testing.T) []drivers.Program {
	var programs []drivers.Program
	for _, d := range drivers.All() {
		if err := d.Available(); err != nil {
			t.Run("install "+d.Name, func(t *testing.T) { labs.Require(t, "driver "+d.Name, err) })
			continue
		}
		p, err := d.Install(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	return programs
}

// flaw is a combination of driver and server in which some steps fail whoever stands between them.
type flaw struct {
	driver, lab string
	steps       []string // that fail
	says        string   // in the first one's error; the rest may be what a driver makes of it
	note        string   // for the matrix
}

var flaws = []flaw{
	{"Python 1.7", labs.Community44.Name, []string{"write", "commit", "managed"}, "does not conform to pattern neo4j:bookmark:v1:tx", bookmarks44},
	{"JavaScript 1.7", labs.Community44.Name, []string{"write", "commit", "managed"}, "does not conform to pattern neo4j:bookmark:v1:tx", bookmarks44},
}

const bookmarks44 = "Over Bolt 3 the server hands out bookmarks (`FB:…`) that it then refuses itself, so a second query in a session fails after a write."

func knownFlaw(d drivers.Driver, lab labs.Lab) *flaw {
	i := slices.IndexFunc(flaws, func(f flaw) bool { return strings.HasPrefix(d.Name, f.driver) && f.lab == lab.Name })
	if i < 0 {
		return nil
	}
	return &flaws[i]
}

// match reports whether exactly the steps of the flaw failed, for its reason.
func (f *flaw) match(r drivers.Report) bool {
	if f == nil || r.Err != nil || len(r.Steps) != len(drivers.Steps) {
		return false
	}
	for _, s := range r.Steps {
		if s.OK == slices.Contains(f.steps, s.Step) || s.Step == f.steps[0] && !strings.Contains(s.Error, f.says) {
			return false
		}
	}
	return true
}

var marks atomic.Int64

// smoke runs a driver against an address and holds the report to what is due.
func smoke(t *testing.T, c *labs.Cluster, p drivers.Program, uri string) drivers.Report {
	t.Helper()
	r := p.Smoke(t.Context(), drivers.Target{URI: uri, User: c.User, Password: c.Password, Mark: fmt.Sprint("run ", marks.Add(1))})
	shares := p.Driver.Shares(spoken[c.Lab.Name])
	known := knownFlaw(p.Driver, c.Lab)
	switch {
	case !shares && (!r.Refused() || r.Took > refusalTime):
		t.Errorf("%s: driver and server share no Bolt version, but it was not refused within %v: %v", uri, refusalTime, r)
	case shares && known != nil && !known.match(r):
		t.Errorf("%s: the known flaw (%s) looks otherwise: %v", uri, known.note, r)
	case shares && known == nil && !r.Passed():
		t.Errorf("%s: %v", uri, r)
	}
	if testing.Verbose() {
		t.Log(uri, r)
	}
	return r
}

// smokeDirect asks the server itself; a causal cluster is asked through its routing table, from a member that is not the leader.
func smokeDirect(t *testing.T, c *labs.Cluster, p drivers.Program) {
	uri := "bolt://" + c.Leader().Bolt
	if c.Lab.Kind == labs.CausalMode {
		uri = p.Driver.Routing + "://" + c.Others(c.Leader())[0].Bolt
	}
	seen.driver(false, c.Lab, smoke(t, c, p, uri))
}

// smokeThroughGate goes through the gate both ways: routed, and not.
func smokeThroughGate(t *testing.T, c *labs.Cluster, p drivers.Program, gate string) {
	for _, scheme := range []string{"bolt", p.Driver.Routing} {
		seen.driver(true, c.Lab, smoke(t, c, p, scheme+"://"+gate))
	}
}
