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
	Clients    int       `json:"clients"`    // connections
	Held       int64     `json:"held"`       // units of work that wait for a leader, or for any member
	HeldBytes  int64     `json:"held_bytes"`
	InDoubt    int64     `json:"in_doubt"` // commits whose answer was lost, since the gate was started

	Backups []BackupInfo `json:"backups"` // jobs that are watched, by name
}

// BackupInfo is one backup job that is watched.
type BackupInfo struct {
	Job     string    `json:"job"`
	Last    time.Time `json:"last,omitzero"` // when it last ended well; left out when nothing of it was found
	Due     time.Time `json:"due"`           // when it is overdue
	Overdue bool      `json:"overdue"`       // it is
	Problem string    `json:"problem"`       // why its folder cannot be read; "" it can
}

// ReloadPreview is what a reload would change, one line a key such as "failover.hold: 20s -> 10s"; no secret stands in it.
type ReloadPreview struct {
	Changes []string `json:"changes"`
}

// MemberInfo is one member.
type MemberInfo struct {
	Name         string            `json:"name"`
	Bolt         string            `json:"bolt"`
	HTTP         string            `json:"http"`
	Condition    string            `json:"condition"`       // ready, drain, maint
	Asked        time.Time         `json:"condition_since"` // as far as this process of the gate knows
	Up           bool              `json:"up"`
	Since        time.Time         `json:"since"` // of up
	Roles        map[string]string `json:"roles"` // by database; "" is every database; also of one that is drained
	Leads        []string          `json:"leads"` // databases whose writes go there now
	Agent        string            `json:"agent"` // such as Neo4j/5.26.0; "" while unknown
	Weight       int               `json:"weight"`
	Tags         []string          `json:"tags"`
	LastError    string            `json:"last_error"` // of the last check; "" after a good one
	Check        CheckInfo         `json:"check"`
	Lag          map[string]int64  `json:"lag"`          // transactions behind the leader, by database, where it is known
	InFlight     int               `json:"in_flight"`    // units of work
	Queued       int               `json:"queued"`       // that wait for a place there
	Transactions int               `json:"transactions"` // explicit HTTP transactions that are open there
	Connections  int               `json:"connections"`  // Bolt, ours
	Idle         int               `json:"idle"`         // of all connections, those without work
	Slots        int               `json:"slots"`        // units of work that it takes at once
	Units        uint64            `json:"units"`        // of work, since the gate knows it
	Rate         float64           `json:"rate"`         // of them a second, of late; 0 when nobody looked before
	Latency      Latency           `json:"latency"`      // of a unit of work there, within the last minute
	Failures     map[string]uint64 `json:"failures"`     // that it answered, by code
	Broken       uint64            `json:"broken"`       // units of work with which a connection was given up
	BytesIn      uint64            `json:"bytes_in"`     // requests to it, of units of work that ended
	BytesOut     uint64            `json:"bytes_out"`    // its answers
}

// CheckInfo is what the checks of a member came to; the zero value with "not checked": none.
type CheckInfo struct {
	At     time.Time `json:"at"`           // when the last one ended
	Result string    `json:"result"`       // of it: passed, connected, unreachable, timed out, wrong; not checked in maint
	Took   float64   `json:"took_ms"`      // it
	Failed uint64    `json:"failed"`       // checks that failed while the member was up
	Falls  uint64    `json:"falls"`        // how often it went down
	Down   float64   `json:"down_seconds"` // in all, after it was up first
}

// Busy tells whether work is there that would be lost with the member.
func (m MemberInfo) Busy() bool { return m.InFlight > 0 || m.Transactions > 0 }

// Latency is in milliseconds; all 0 when there was nothing to measure.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// FrontendInfo is one frontend.
type FrontendInfo struct {
	Name           string            `json:"name"`
	Bind           []string          `json:"bind"`
	Open           int               `json:"open"`     // client connections
	Working        int               `json:"working"`  // of them, those with work
	Max            int               `json:"max"`      // connections; 0: no limit
	Accepted       uint64            `json:"accepted"` // connections since it was there
	Refused        uint64            `json:"refused"`  // of them, those that it did not let in
	Units          uint64            `json:"units"`    // of work, given to members
	Rate           float64           `json:"rate"`     // of them a second, of late
	ConnectionRate float64           `json:"connection_rate"`
	BytesIn        uint64            `json:"bytes_in"`  // from clients
	BytesOut       uint64            `json:"bytes_out"` // to clients
	Failures       map[string]uint64 `json:"failures"`  // that the gate itself answered, by code
}

// SessionsInfo is a list of clients.
type SessionsInfo struct {
	Total    int           `json:"total"` // also those that the list has no room for
	Sessions []SessionInfo `json:"sessions"`
}

// SessionInfo is one client.
type SessionInfo struct {
	ID       string  `json:"id"` // as Bolt drivers are told it
	Frontend string  `json:"frontend"`
	Address  string  `json:"address"`
	Protocol string  `json:"protocol"` // such as "bolt 5.4" or "http"; "" while it is not known
	User     string  `json:"user"`     // Bolt
	Agent    string  `json:"agent"`    // the driver, as it says
	State    string  `json:"state"`    // idle, waiting, working, in transaction
	Member   string  `json:"member"`   // that has its work
	Database string  `json:"database"`
	Access   string  `json:"access"`  // read or write; "" without work
	Seconds  float64 `json:"seconds"` // since its member has the work
	Query    string  `json:"query"`   // the text that its member was sent last, in normal form; "" without work, or none
}

// TopInfo is what is known of queries by the shape of their texts, since the gate was started.
type TopInfo struct {
	Since   time.Time   `json:"since"`
	Shapes  int         `json:"shapes"` // that are told apart
	Calls   uint64      `json:"calls"`  // of all shapes
	Failed  uint64      `json:"failed"`
	Total   float64     `json:"total_ms"`
	Queries []QueryInfo `json:"queries"` // those that come first
}

// QueryInfo is one shape of text.
type QueryInfo struct {
	ID      int     `json:"id"`   // while the gate runs
	Text    string  `json:"text"` // in normal form: literals are ?
	Calls   uint64  `json:"calls"`
	Failed  uint64  `json:"failed"` // of them
	Rows    uint64  `json:"rows"`   // Bolt
	Total   float64 `json:"total_ms"`
	Mean    float64 `json:"mean_ms"`
	Longest float64 `json:"longest_ms"`
	Latency Latency `json:"latency"`
	Share   float64 `json:"share"` // of the time of all queries, from 0 to 1
}

// SlowInfo is one run that took longer than log.slow.
type SlowInfo struct {
	Time     time.Time `json:"time"` // of its end
	Text     string    `json:"text"` // in normal form
	Took     float64   `json:"took_ms"`
	Rows     uint64    `json:"rows"`
	Failed   bool      `json:"failed"`
	Session  string    `json:"session"`
	User     string    `json:"user"`
	Frontend string    `json:"frontend"`
	Address  string    `json:"address"`
	Member   string    `json:"member"`
	Database string    `json:"database"`
	Access   string    `json:"access"`
	Trace    string    `json:"trace"` // W3C trace id, in hexadecimal; "" without one
}

// ClientsInfo is how many clients a frontend has of one kind.
type ClientsInfo struct {
	Frontend string `json:"frontend"`
	Protocol string `json:"protocol"`
	Agent    string `json:"agent"` // the driver and its version, as it says
	Clients  int    `json:"clients"`
	Working  int    `json:"working"` // of them, those with work
}

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
