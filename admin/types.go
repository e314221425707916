package admin

import "time"

// This file owns the shapes of the API's answers, as openapi.yaml describes them and the commands read them.

// StatusInfo is the gate as a whole.
type StatusInfo struct {
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Ready      bool      `json:"ready"`      // as /readyz says
	Generation string    `json:"generation"` // of the cluster; unknown while it is not
	Members    int       `json:"members"`
	Up         int       `json:"up"`            // of them
	Taking     int       `json:"ready_members"` // up and not drained or in maint
	Databases  int       `json:"databases"`
	Leaderless []string  `json:"leaderless"` // databases without a leader that takes writes now
}

// MemberInfo is one member.
type MemberInfo struct {
	Name         string            `json:"name"`
	Bolt         string            `json:"bolt"`
	HTTP         string            `json:"http"`
	Condition    string            `json:"condition"` // ready, drain, maint
	Up           bool              `json:"up"`
	Since        time.Time         `json:"since"` // of up
	Roles        map[string]string `json:"roles"` // by database; "" is every database; also of one that is drained
	Leads        []string          `json:"leads"` // databases whose writes go there now
	Agent        string            `json:"agent"` // such as Neo4j/5.26.0; "" while unknown
	Weight       int               `json:"weight"`
	Tags         []string          `json:"tags"`
	LastError    string            `json:"last_error"`   // of the last check; "" after a good one
	Lag          map[string]int64  `json:"lag"`          // transactions behind the leader, by database, where it is known
	InFlight     int               `json:"in_flight"`    // units of work
	Queued       int               `json:"queued"`       // that wait for a place there
	Transactions int               `json:"transactions"` // explicit HTTP transactions that are open there
	Connections  int               `json:"connections"`  // Bolt, ours
	Idle         int               `json:"idle"`         // of all connections, those without work
}

// Busy tells whether work is there that would be lost with the member.
func (m MemberInfo) Busy() bool { return m.InFlight > 0 || m.Transactions > 0 }

// DatabaseInfo is one database.
type DatabaseInfo struct {
	Name    string   `json:"name"` // "" where roles are the members' own
	Default bool     `json:"default"`
	Leader  string   `json:"leader"`  // "" while nobody takes its writes
	Readers []string `json:"readers"` // members whose role serves reads
	Stopped bool     `json:"stopped"` // its operator stopped it
}

// Problem is the answer to a request that failed.
type Problem struct {
	Error string `json:"error"`
}

// ConditionOrder is the body of a change of condition; it may be left out.
type ConditionOrder struct {
	Force bool `json:"force"` // also when writes have to wait for another leader then
}

// WeightOrder is the body of a change of weight.
type WeightOrder struct {
	Weight int `json:"weight"`
}
