package cluster

import (
	"iter"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
)

// AnyDatabase is the key under which a member's role stands when it is the same for all databases: HA, causal 3.x, a
// standalone server.
const AnyDatabase = ""

// Status is one member at one moment.
type Status struct {
	*Member
	Condition Condition
	Asked     time.Time           // since when Condition holds, as far as this process knows
	Up        bool                // by the checks, after rise and fall
	Since     time.Time           // of Up
	Silent    time.Time           // down, and since then its process says nothing to anybody: what waits for it waits in vain; else zero
	Roles     map[string]Role     // by database name; AnyDatabase where roles are the member's
	Stopped   map[string]bool     // databases that their operator stopped
	Versions  []bolt.Version      // Bolt versions that it speaks, newest first; nil until a probe told
	UTC       bool                // accepts patch_bolt ["utc"] (4.3 and 4.4)
	Agent     string              // "Neo4j/5.26.0"; "" while unknown
	Progress  map[string]Progress // by database name, as Roles; nil while unknown
	LastError string              // the last check's failure; "" after a good one
}

// Role is the member's role for db; a member that is not up, or that the operator took out, has none.
func (s *Status) Role(db string) Role {
	if !s.Up || s.Condition != Ready {
		return Unknown
	}
	if r, ok := s.Roles[db]; ok {
		return r
	}
	return s.Roles[AnyDatabase]
}

// Speaks tells whether the member is known to speak v; v 0 (HTTP) everybody does.
func (s *Status) Speaks(v bolt.Version) bool {
	if v == 0 {
		return true
	}
	for _, have := range s.Versions {
		if have == v {
			return true
		}
	}
	return false
}

// View is every member's roles and condition at one moment. A published View never changes.
type View struct {
	Generation Generation
	Members    []*Status          // in the order of the configuration
	Default    string             // the default database's name; "" before 4.0 and while unknown
	Versions   []bolt.Version     // spoken by every member that is up and not in maint, newest first; nil while unknown
	Composites map[string]bool    // composite databases and their constituents ("all.part"), in lower case; nil: none
	Procedures *cypher.Procedures // what members listed; nil while none has
	Blind      bool               // members told the checks no roles for want of a login: clients' routing tables are all there is
	Discovery  []byte             // a member's discovery document (GET /), cached; nil while none was seen
	At         time.Time          // when it was published

	replaced chan struct{}
}

// resolve maps the empty database name to the default's, where there is one.
func (v *View) resolve(db string) string {
	if db == "" {
		return v.Default
	}
	return db
}

// Resolve is the name under which Roles and Progress hold db, "" being the default database.
func (v *View) Resolve(db string) string { return v.resolve(db) }

// Leader is the member that leads db, "" being the default database; nil while none is known. A View never has two.
func (v *View) Leader(db string) *Status {
	db = v.resolve(db)
	for _, s := range v.Members {
		if s.Role(db) == Leader {
			return s
		}
	}
	return nil
}

// Hosted tells whether any member has a role for db, "" being the default database.
func (v *View) Hosted(db string) bool {
	db = v.resolve(db)
	for _, s := range v.Members {
		if _, ok := s.Roles[db]; ok {
			return true
		}
		if _, ok := s.Roles[AnyDatabase]; ok {
			return true
		}
	}
	return false
}

// Readers are the members whose role serves reads of db, without its leader, in the order of the configuration.
func (v *View) Readers(db string) iter.Seq[*Status] {
	db = v.resolve(db)
	return func(yield func(*Status) bool) {
		for _, s := range v.Members {
			if r := s.Role(db); (r == Follower || r == Replica) && !yield(s) {
				return
			}
		}
	}
}

// Up are the members that are up and ready for new work, whatever their roles.
func (v *View) Up() iter.Seq[*Status] {
	return func(yield func(*Status) bool) {
		for _, s := range v.Members {
			if s.Up && s.Condition == Ready && !yield(s) {
				return
			}
		}
	}
}

// Member finds a member by name; nil when there is none.
func (v *View) Member(name string) *Status {
	for _, s := range v.Members {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Replaced is closed when a newer View is published.
func (v *View) Replaced() <-chan struct{} { return v.replaced }
