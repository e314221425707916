// Package labs starts real Neo4j servers for tests, without Docker: it fetches their jars from Maven Central (package jars), writes their
// configuration, and runs them on the loopback interface with authentication on. The servers are test fixtures under their own licences
// (Community is GPL, Enterprise 3.5.0-beta AGPL); nothing of them is part of a build of boltgate.
//
//	c := labs.Start(t, labs.Causal) // skips, loudly, where there is no Java; fails there when CI is set
//	c.WaitReady()
//	c.Leader().Kill()
//
// One lab runs at a time on a machine: Start waits for the one before. Everything that it started has ended when the test has.
//
// This file owns the list of labs and the question whether this machine can run them; dist.go owns what is specific to a version of the
// server, conf.go the configuration files, member.go one server, cluster.go a whole lab.
package labs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/boltgate/boltgate/test/labs/jars"
)

// Kind is how the servers of a lab work together.
type Kind int

const (
	Alone      Kind = iota // a single Community server
	HAMode                 // a HA cluster of 3.x: a master and slaves, roles by HTTP
	CausalMode             // a causal cluster of 3.x: cores that elect a leader, and read replicas
)

// Lab describes servers that run as one.
type Lab struct {
	Name     string
	Kind     Kind
	Cores    int // members that vote; 1 when Alone
	Replicas int // read replicas, CausalMode only
	dist     *distribution
}

// Host is where a member runs.
type Host struct {
	Front string   // its address for clients: Bolt and HTTP
	Back  string   // its address for other members
	Enter []string // a command that starts the one behind it there, in its own place: such as ip netns exec NAME
}

// here is where members run when nothing else was said.
var here = Host{Front: "127.0.0.1", Back: "127.0.0.1"}

// Prepare fetches what the lab needs, so that it can be started where nothing can be fetched.
func (l Lab) Prepare(ctx context.Context) error {
	in, err := l.dist.install(ctx)
	if err != nil || l.Kind == Alone {
		return err
	}
	_, err = in.seed(ctx)
	return err
}

// The labs. Bolt versions are those that facts were collected for; every member listens for Bolt and HTTP.
var (
	HA            = Lab{"ha", HAMode, 3, 0, enterprise35}           // Bolt 1, 2, 3
	Causal        = Lab{"causal", CausalMode, 3, 1, enterprise35}   // Bolt 1, 2, 3
	Single35      = Lab{"single-3.5", Alone, 1, 0, enterprise35}    // Bolt 1, 2, 3; dbms.mode=SINGLE
	Community44   = Lab{"community-4.4", Alone, 1, 0, community44}  // Bolt 3, 4.0-4.4
	Community5    = Lab{"community-5.26", Alone, 1, 0, community5}  // Bolt 4.0-4.4, 5.0-5.4, 5.6-5.8, manifest
	Community2026 = Lab{"community-2026", Alone, 1, 0, community26} // Bolt 4.0-4.4, 5.0-5.4, 5.6-5.8, 6.0, 6.1, manifest
)

// All returns every lab that a full test run goes through.
func All() []Lab { return []Lab{HA, Causal, Community44, Community5, Community2026} }

// Version returns the version of the servers, such as 5.26.30.
func (l Lab) Version() string { return l.dist.version }

// Available reports whether this machine can run the lab, and if not what it lacks.
func (l Lab) Available() error {
	if _, err := jars.FindJDK(l.dist.java[0], l.dist.java[1]); err != nil {
		return err
	}
	if l.dist.set().Present() {
		return nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("labs: Maven (mvn) is not on the PATH, and %s is not in the cache: %w", l.dist.name, err)
	}
	return nil
}

// Require skips the test, saying loudly why, when err is not nil; in CI, where nothing may be skipped, it fails it instead. It is meant for what
// a machine lacks (see Lab.Available), not for what went wrong. Short test runs skip all labs.
func Require(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skipf("SKIPPED: %s (-short)", what)
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%s: CI is set, so nothing may be skipped: %v", what, err)
	default:
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: %s: %v\n\n", what, err)
		t.Skipf("SKIPPED: %s: %v", what, err)
	}
}
