// Package cluster holds the nouns that the rest shares: members and their roles, the View of one moment, and Current, where
// health publishes Views and everybody else reads them.
package cluster

import (
	"fmt"
	"time"
)

// Role is what a member is to one database.
type Role uint8

// The roles. Unknown is what a member has before a check told, and when it hosts no such database.
const (
	Unknown  Role = iota
	Leader        // takes writes: the HA master, the Raft leader, a standalone server
	Follower      // votes and serves reads: the HA slave, a core or primary that does not lead
	Replica       // only serves reads: read replica, secondary
)

// String is the role in lower case.
func (r Role) String() string {
	switch r {
	case Leader:
		return "leader"
	case Follower:
		return "follower"
	case Replica:
		return "replica"
	}
	return "unknown"
}

// MarshalText is String, for logs and JSON.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Generation is which kind of cluster the members form.
type Generation uint8

// The generations. UnknownGeneration is what automatic detection starts from: work waits as with no leader.
const (
	UnknownGeneration Generation = iota
	HA
	Causal
	Autonomous
	Standalone
)

var generations = [...]string{"unknown", "ha", "causal", "autonomous", "standalone"}

// String is the name that the configuration uses; "unknown" for UnknownGeneration.
func (g Generation) String() string { return generations[g] }

// MarshalText is String, for logs and JSON.
func (g Generation) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// ParseGeneration is the inverse of String, with "auto" and "" for UnknownGeneration.
func ParseGeneration(s string) (Generation, error) {
	for g, name := range generations {
		if s == name {
			return Generation(g), nil
		}
	}
	if s == "auto" || s == "" {
		return UnknownGeneration, nil
	}
	return 0, fmt.Errorf("generation %q: want auto, ha, causal, autonomous or standalone", s)
}

// Member is one server as the configuration, or discovery, names it. It never changes; a changed member is another Member.
type Member struct {
	Name        string
	Short       string // what clients see of Name in the ids of HTTP transactions; "" means Name
	Bolt        string // host:port that we dial; "" has no Bolt (HA 2.x)
	HTTP        string // host:port that we dial; "" has no HTTP
	Weight      int    // 0 means 1
	MaxInFlight int    // units of work at once, both protocols; 0 means the pool's size
	Tags        []string
}

// ID stands before the ids of HTTP transactions at m.
func (m *Member) ID() string {
	if m.Short != "" {
		return m.Short
	}
	return m.Name
}

// Load is what a member has to do at one moment, as far as this gate knows.
type Load struct {
	InFlight int           // units of work
	Latency  time.Duration // from a request to the first of its answer, of late; 0 while unknown
}

// Condition is what the operator asked of a member.
type Condition uint8

// The conditions: all work, no new work, neither work nor checks.
const (
	Ready Condition = iota
	Drain
	Maint
)

// String is the condition as commands name it.
func (c Condition) String() string { return [...]string{"ready", "drain", "maint"}[c] }

// MarshalText is String, for logs and JSON.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Condition) UnmarshalText(text []byte) error {
	for _, known := range [...]Condition{Ready, Drain, Maint} {
		if known.String() == string(text) {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("cluster: %q is no condition", text)
}
