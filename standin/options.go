// Package standin is a cluster without a database: members that speak real Bolt and real HTTP, elect leaders, replicate a
// log with a lag, fail on cue, and say in each answer who gave it. It runs `boltgate demo` and most of the tests.
//
// A stand-in does not run Cypher. A small rule of its own tells whether a text writes (words.go), the answers to ordinary
// queries describe the member, and query parameters ask for rows, delays and faults (directives.go). It has a server state
// machine of its own for every Bolt version and shares none of the gate's code for sessions, so that the two cannot agree
// on the same mistake.
//
// This file owns the options; cluster.go the members' lives, election.go who leads, log.go what was committed.
package standin

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// The login that a cluster has when Options.Users is nil.
const (
	DefaultUser     = "neo4j"
	DefaultPassword = "standin"
)

// Options describe a cluster. The zero Options are an autonomous cluster of three members, on free loopback ports.
type Options struct {
	Generation    cluster.Generation                                  // UnknownGeneration means Autonomous
	Members       int                                                 // that vote, named s1, s2, …; 0 means 3, or 1 of Standalone
	Replicas      int                                                 // that only read, named r1, r2, …
	ServerVersion string                                              // such as "4.4.48"; "" means the newest of the generation that was seen
	Versions      []bolt.Version                                      // Bolt versions of every member; nil means those of ServerVersion
	Override      map[string]Release                                  // by member name: what a member has instead, for mixed clusters
	Seed          int64                                               // of election timeouts, winners, and every id
	Users         map[string]string                                   // passwords by name; nil means DefaultUser and DefaultPassword
	Tokens        map[string]string                                   // user names by bearer token
	NoAuth        bool                                                // everybody may come in
	StatusOpen    bool                                                // role endpoints over HTTP need no login
	Databases     []string                                            // besides system; nil means neo4j. Before 4.0 there is one, without a name
	Home          map[string]string                                   // home databases by user; others have the first of Databases
	Hosting       map[string][]string                                 // by database: members that have it; others are on all
	Aliases       map[string]string                                   // databases by further name
	Composites    map[string][]string                                 // by name: the databases that are its parts, as <name>.<database>; 5.0+
	CreateTime    time.Duration                                       // from CREATE DATABASE until the database is online
	Lag           time.Duration                                       // between a commit and its place in the others' logs
	ElectionTime  time.Duration                                       // until a lost leader is replaced, up to a quarter more by the seed; 0 means 2 s
	BookmarkWait  time.Duration                                       // for a bookmark ahead of the member; 0 means 30 s
	TxIdle        time.Duration                                       // until an explicit HTTP transaction is rolled back; 0 means 60 s
	SSR           bool                                                // server-side routing is on (dbms.routing.enabled)
	LateRefusal   bool                                                // a write at the wrong member fails at PULL instead of RUN, as lazy plans do
	NoopEvery     time.Duration                                       // NOOPs while a request takes its time (4.1+); 0 means none
	MaxChunk      int                                                 // answers come in chunks of random lengths up to it, by the seed; 0 means whole
	LogSize       int                                                 // entries kept for Log; 0 means 100,000
	Logger        *slog.Logger                                        // nil means none
	OnElection    func(Election)                                      // called for each change of leader after the first, on a goroutine of its own, in order
	OnQuery       func(Query)                                         // called before each statement is run, by the goroutine that runs it
	Tags          map[string][]string                                 // by member: server tags (5.0+) or server groups (before)
	Advertise     func(member, protocol, address string) string       // the address that a member advertises for "bolt" or "http"; nil means where it listens
	Listen        func(member, protocol string) (net.Listener, error) // protocol is "bolt" or "http"; nil means a free loopback port
}

// Release is what one member of a mixed cluster runs.
type Release struct {
	ServerVersion string         // "" means that of the cluster
	Versions      []bolt.Version // nil means those of ServerVersion
}

// Election is a change of leader.
type Election struct {
	DB     string // "" before 4.0
	Leader string // the new leader's name
	Before string // the old one's; "" when there was none
	Term   int64
	At     time.Time
}

// Query is one statement that a member runs.
type Query struct {
	Member string // that the client is connected to
	Runs   string // that runs it: another one after server-side routing
	User   string
	DB     string
	Mode   string       // "r" or "w", as the client said
	Bolt   bolt.Version // 0: HTTP
	Routed bool         // its connection wants server-side routing, as all HTTP does
	Text   string
	Mark   any
}

func (o Options) withDefaults() (Options, error) {
	if o.Generation == cluster.UnknownGeneration {
		o.Generation = cluster.Autonomous
	}
	if o.Members == 0 {
		o.Members = 3
		if o.Generation == cluster.Standalone {
			o.Members = 1
		}
	}
	if o.Generation == cluster.Standalone && (o.Members > 1 || o.Replicas > 0) {
		return o, fmt.Errorf("standin: a standalone server has no further members, got %d and %d replicas", o.Members, o.Replicas)
	}
	if o.ServerVersion == "" {
		o.ServerVersion = defaultServerVersion[o.Generation]
	}
	if o.Users == nil {
		o.Users = map[string]string{DefaultUser: DefaultPassword}
	}
	o.ElectionTime = orElse(o.ElectionTime, 2*time.Second)
	o.BookmarkWait = orElse(o.BookmarkWait, 30*time.Second)
	o.TxIdle = orElse(o.TxIdle, time.Minute)
	o.LogSize = orElse(o.LogSize, 100_000)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Databases) == 0 {
		o.Databases = []string{"neo4j"}
	}
	return o, nil
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

var defaultServerVersion = map[cluster.Generation]string{
	cluster.HA:         "3.5.35",
	cluster.Causal:     "4.4.48",
	cluster.Autonomous: "5.26.30",
	cluster.Standalone: "5.26.30",
}

// release is a server version as numbers, and the Bolt versions that go with it.
type release struct {
	text                string
	major, minor, patch int
	versions            []bolt.Version // newest first
}

func parseRelease(text string, versions []bolt.Version) (release, error) {
	r := release{text: text}
	if n, _ := fmt.Sscanf(text, "%d.%d.%d", &r.major, &r.minor, &r.patch); n < 2 {
		return r, fmt.Errorf("standin: server version %q: want numbers such as 5.26.30", text)
	}
	r.versions = slices.Clone(versions)
	if versions == nil {
		r.versions = r.boltVersions()
	}
	slices.Sort(r.versions)
	slices.Reverse(r.versions)
	if len(r.versions) == 0 && r.atLeast(3, 0) {
		return r, fmt.Errorf("standin: no Bolt versions for server %s", text)
	}
	return r, nil
}

// atLeast compares; calendar versions (2025.01) are greater than 5.x.
func (r release) atLeast(major, minor int) bool {
	return r.major > major || r.major == major && r.minor >= minor
}

// knowsUTC tells whether the server accepts patch_bolt ["utc"]: since the autumn of 2022.
func (r release) knowsUTC() bool {
	return r.major > 4 || r.major == 4 && (r.minor == 4 && r.patch >= 12 || r.minor == 3 && r.patch >= 20)
}

// multi tells whether there are several databases.
func (r release) multi() bool { return r.major >= 4 }

// boltVersions are those that a server of this version speaks (facts of Neo4j, "Bolt versions by server").
func (r release) boltVersions() []bolt.Version {
	var vs []bolt.Version
	for _, row := range boltBySince {
		if !r.atLeast(row.major, row.minor) || row.untilMajor != 0 && r.atLeast(row.untilMajor, 0) {
			continue
		}
		vs = append(vs, row.v)
	}
	return vs
}

var boltBySince = []struct {
	major, minor int // first server with it
	untilMajor   int // first server without it; 0 none
	v            bolt.Version
}{
	{3, 0, 4, bolt.V1}, {3, 4, 4, bolt.V2}, {3, 5, 5, bolt.V3},
	{4, 0, 0, bolt.V4_0}, {4, 1, 0, bolt.V4_1}, {4, 2, 0, bolt.V(4, 2)}, {4, 3, 0, bolt.V4_3}, {4, 4, 0, bolt.V4_4},
	{5, 0, 0, bolt.V5_0}, {5, 5, 0, bolt.V5_1}, {5, 7, 0, bolt.V5_2}, {5, 9, 0, bolt.V5_3}, {5, 13, 0, bolt.V5_4},
	{5, 23, 0, bolt.V5_6}, {5, 26, 0, bolt.V5_7}, {5, 26, 0, bolt.V5_8}, {2025, 10, 0, bolt.V6_0}, {2026, 1, 0, bolt.V6_1},
}
