// Package configs owns the configuration file: its schema, its defaults, its checks, and the commented reference boltgate.yaml that
// they are tested against.
//
// This file holds the schema. The `key` tag of a field is its name in the file; the other tags narrow what may stand there:
//
//	enum:"a|b"   one of these words (for a list: each entry is one of them, none twice)
//	min:"1"      the least value: of a number as it is, of a duration in nanoseconds, of a size in bytes
//	one:""       a list that may be written as a single value
//	path:""      names a file; a relative one is taken from the folder of the file that names it
//
// A new key needs a field here, its default in defaults.go and a line in boltgate.yaml; the tests hold the three together. A key that is
// named in the file format but not built yet also stands in the table of built.go.
package configs

import (
	"net/netip"
	"time"
)

// Config is one whole, checked configuration. It is made by Load, Parse or Default and not changed afterwards, so it may be shared.
type Config struct {
	Routing   Routing              `key:"routing"` // stands first: each frontend's own routing starts from it
	Frontends []Frontend           `key:"frontends"`
	Cluster   Cluster              `key:"cluster"`
	Failover  Failover             `key:"failover"`
	Auth      Auth                 `key:"auth"`
	Users     []User               `key:"users"`
	Pool      Pool                 `key:"pool"`
	Admin     Admin                `key:"admin"`
	Log       Log                  `key:"log"`
	Shutdown  Shutdown             `key:"shutdown"`
	Limits    Limits               `key:"limits"`
	Backup    map[string]BackupJob `key:"backup"` // by name

	// Warnings are remarks on a file that is in force nevertheless, each "file:line:column: key: text".
	Warnings []string
}

// Frontend is an address that we listen on, its protocols and its limits.
type Frontend struct {
	Name           string         `key:"name"`
	Bind           []string       `key:"bind" one:""`                            // "host:port" or "unix:/path", templates filled in; at least one
	Protocols      []string       `key:"protocols" enum:"bolt|websocket|http"`   // at least one
	TLS            FrontendTLS    `key:"tls"`                                    // towards clients
	ProxyProtocol  ProxyProtocol  `key:"proxy_protocol"`                         // PROXY v1 and v2
	Advertise      []string       `key:"advertise" one:""`                       // host:port each; none: the address that the client used
	AdvertiseRead  string         `key:"advertise_read"`                         // host:port of a frontend with access: read; "" none
	MaxConnections int            `key:"max_connections" min:"1"`                // the next one waits unaccepted
	MaxPerAddress  int            `key:"max_per_address" min:"0"`                // connections of one client address; 0 no limit
	MaxRows        int            `key:"max_rows" min:"0"`                       // of the results of one unit of work; Bolt
	MaxBytes       Size           `key:"max_bytes" min:"0"`                      // of the results of one unit of work
	Allow          []netip.Prefix `key:"allow"`                                  // none: everybody
	Deny           []netip.Prefix `key:"deny"`                                   // comes before Allow
	Priority       int            `key:"priority"`                               // in every line: the higher goes first
	Timeouts       Timeouts       `key:"timeouts"`                               // of one client
	Keepalive      time.Duration  `key:"keepalive"`                              // TCP keep-alive towards clients; 0 off
	Access         string         `key:"access" enum:"any|read|write|read-only"` // a limit that comes before what clients declare
	Member         string         `key:"member"`                                 // this one member only; "" all
	Routing        Routing        `key:"routing"`                                // in force here: Config.Routing with this frontend's own keys over it
}

// FrontendTLS is TLS towards clients.
type FrontendTLS struct {
	Cert     []string `key:"cert" one:"" path:""`               // several: by the name that clients ask for (SNI), else the first
	Key      []string `key:"key" one:"" path:""`                // as many, in the same order
	Mode     string   `key:"mode" enum:"off|optional|required"` // optional: told apart by the first byte; required: plaintext is refused
	ClientCA string   `key:"client_ca" path:""`                 // clients must show a certificate of it
}

// ProxyProtocol says who may send a PROXY header.
type ProxyProtocol struct {
	From []netip.Prefix `key:"from"` // none: nobody
}

// Timeouts are those of one client of a frontend. 0 means no limit, except where said.
type Timeouts struct {
	Handshake       time.Duration `key:"handshake" min:"1"` // waiting for the client before it is logged in; never 0
	ClientIdle      time.Duration `key:"client_idle"`       // between units of work
	TransactionIdle time.Duration `key:"transaction_idle"`  // inside an explicit transaction
	Queue           time.Duration `key:"queue"`             // for a slot at a member that is there; 0: a full member is refused at once
	Transaction     time.Duration `key:"transaction"`       // a unit of work at its member: tx_timeout, where the client gives no less
	Server          time.Duration `key:"server"`            // without a byte from the member
}

// Cluster is the Neo4j servers behind the gate.
type Cluster struct {
	Generation string            `key:"generation" enum:"auto|ha|causal|autonomous|standalone|memgraph"`
	Members    []Member          `key:"members"`
	Discover   Discover          `key:"discover"`
	Addresses  map[string]string `key:"addresses"` // advertised host:port -> reachable host:port
	Check      Check             `key:"check"`
	TLS        ClusterTLS        `key:"tls"`
}

// Member is one server that the file names.
type Member struct {
	Name        string   `key:"name"`                  // unique; s1, s2, … by position where the file gives none
	Bolt        string   `key:"bolt"`                  // host:port; "" it is not spoken to in Bolt
	HTTP        string   `key:"http"`                  // host:port; "" it is not spoken to in HTTP
	Weight      int      `key:"weight" min:"1"`        // share of the reads
	MaxInFlight int      `key:"max_in_flight" min:"0"` // units of work at once, both protocols together; 0: Pool.MaxPerMember
	Tags        []string `key:"tags"`
}

// Discover says where members come from beside those that are named. ParseDNS and ParseSRV take its names apart.
type Discover struct {
	SRV       []string `key:"srv" one:""`       // names of SRV records
	DNS       []string `key:"dns" one:""`       // names of hosts whose addresses are members
	Resolvers []string `key:"resolvers" one:""` // DNS servers, host:port; none: the system's
	Cluster   bool     `key:"cluster"`          // learn members from the members; not given: where one member is listed, and no name
}

// Check is how members are asked for their roles.
type Check struct {
	Interval     time.Duration `key:"interval" min:"1"`
	FastInterval time.Duration `key:"fast_interval" min:"1"` // after the first sign that a leader is lost
	Timeout      time.Duration `key:"timeout" min:"1"`
	Rise         int           `key:"rise" min:"1"` // good answers in a row before a member is up
	Fall         int           `key:"fall" min:"1"` // bad answers in a row before it is down
	User         string        `key:"user"`         // "" checks without a login
	Password     Secret        `key:"password"`
	Method       string        `key:"method" enum:"auto|http|bolt|tcp"`
}

// ClusterTLS is TLS towards members.
type ClusterTLS struct {
	Mode       string `key:"mode" enum:"off|verify|insecure"`
	CA         string `key:"ca" path:""`   // PEM; "" the system's
	ServerName string `key:"server_name"`  // "" the host of the member's address
	Cert       string `key:"cert" path:""` // our own certificate, where members ask for one
	Key        string `key:"key" path:""`
}

// Routing is how a member is picked for a unit of work.
type Routing struct {
	Undeclared    string            `key:"undeclared" enum:"detect|leader|read"`
	Balance       string            `key:"balance" enum:"round-robin|least-busy|random-two|latency|first"`
	LeaderReads   string            `key:"leader_reads" enum:"fallback|always"`
	Prefer        []string          `key:"prefer"`
	MaxLag        int               `key:"max_lag" min:"0"` // transactions; 0 no limit
	SlowStart     time.Duration     `key:"slow_start"`
	Procedures    map[string]string `key:"procedures" enum:"read|write"` // by name, or by prefix.*
	Causality     string            `key:"causality" enum:"none|session|user|cluster"`
	CausalityWait time.Duration     `key:"causality_wait"`
	ServerSide    string            `key:"server_side" enum:"when-needed|always|never"`
	Oversize      string            `key:"oversize" enum:"refuse|leader"`
}

// Failover is what happens while a database has no leader.
type Failover struct {
	Hold         time.Duration `key:"hold"`                   // how long new writes and log-ons wait; 0 not at all
	MaxHeld      int           `key:"max_held" min:"0"`       // units of work that wait at once
	MaxHeldBytes Size          `key:"max_held_bytes" min:"0"` // their requests together
	RetryBudget  Percent       `key:"retry_budget"`           // second tries as a share of the work that a member gets
	Replay       bool          `key:"replay"`
}

// Auth is how clients' log-ons are verified.
type Auth struct {
	Remember    time.Duration `key:"remember"`              // after a member has verified a login; 0 off
	MaxInFlight int           `key:"max_in_flight" min:"1"` // log-ons at one member at once
}

// User is a gate user: the gate verifies its password, and does its work at the members as another user.
type User struct {
	Name           string `key:"name"` // unique; it hides a user of that name at the members
	Password       Secret `key:"password"`
	Access         string `key:"access" enum:"read-only|any"` // read-only, which is the default, on whatever frontend it comes
	MemberUser     string `key:"member_user"`
	MemberPassword Secret `key:"member_password"`
}

// Pool is our connections to one member.
type Pool struct {
	MaxPerMember   int           `key:"max_per_member" min:"1"` // Bolt connections, log-ons included
	ConnectTimeout time.Duration `key:"connect_timeout" min:"1"`
	IdleTimeout    time.Duration `key:"idle_timeout"`       // Bolt; 0 never
	MaxQueued      int           `key:"max_queued" min:"0"` // units of work that wait for one member
	HTTPIdle       time.Duration `key:"http_idle"`          // HTTP; 0: a connection is closed after its request
	MaxLifetime    time.Duration `key:"max_lifetime"`       // 0 no end
}

// Admin is the operator's side.
type Admin struct {
	Bind     string       `key:"bind"`                      // host:port; "" there is none
	Probes   string       `key:"probes"`                    // host:port that answers probes alone; "" only Bind does
	Metrics  string       `key:"metrics" enum:"open|login"` // who may read /metrics
	Users    []AdminUser  `key:"users"`                     // none, and no tokens either: no login, and Bind is a loopback address
	Tokens   []AdminToken `key:"tokens"`
	Webhooks []Webhook    `key:"webhooks"`
	TLS      FrontendTLS  `key:"tls"` // on Bind
}

// AdminUser may log in on the operator's side.
type AdminUser struct {
	Name     string `key:"name"` // unique
	Role     string `key:"role" enum:"viewer|operator"`
	Password Secret `key:"password"` // its bcrypt hash
}

// AdminToken is a program's login on the operator's side.
type AdminToken struct {
	Name  string `key:"name"` // unique, also among the users: it stands in events
	Role  string `key:"role" enum:"viewer|operator"`
	Token Secret `key:"token"`
}

// Webhook is told of events by POST.
type Webhook struct {
	URL    Secret `key:"url"`    // http or https; a token may stand in it
	Secret Secret `key:"secret"` // signs what is sent; "" it is not signed
	Level  string `key:"level" enum:"info|warn|error"`
}

// Log is what is written, and how.
type Log struct {
	Level    string        `key:"level" enum:"debug|info|warn|error"`
	Format   string        `key:"format" enum:"auto|text|json"` // auto: text on a terminal and in the journal, else JSON
	Access   string        `key:"access"`                       // a line for each unit of work: off, on, or the share of them that has one, see AccessLines
	Slow     time.Duration `key:"slow"`                         // a query that takes longer has a line; 0: none has
	SlowData string        `key:"slow_data" enum:"off|on"`      // with its text as it was sent, and its parameters
	OTLP     string        `key:"otlp"`                         // the URL of a collector that spans are sent to; "": none are
}

// Shutdown is the end of the daemon.
type Shutdown struct {
	Delay    time.Duration `key:"delay"`   // not ready, but still listening
	Timeout  time.Duration `key:"timeout"` // for units of work to end
	Handover time.Duration `key:"handover"`
}

// Limits bound memory, and what one user, address or database may ask for. 0 means no limit, except where said.
type Limits struct {
	Memory      Size           `key:"memory" min:"0"`     // 0: half of what the cgroup or machine has
	Request     Size           `key:"request" min:"1024"` // an opening request, which is held whole
	Rate        RateLimits     `key:"rate"`               // stands before Users, which start from it
	PerUser     UserLimits     `key:"per_user"`
	PerDatabase DatabaseLimits `key:"per_database"`
	Users       []LimitedUser  `key:"users"`
}

// RateLimits are units of work in a time.
type RateLimits struct {
	User    Rate `key:"user"`          // of each user
	Address Rate `key:"address"`       // of each client address
	Burst   int  `key:"burst" min:"0"` // units at once before a rate counts; 0: as many as one second has, at least one
}

// UserLimits are those of each user that Limits.Users does not name.
type UserLimits struct {
	MaxInFlight int           `key:"max_in_flight" min:"0"` // units of work at once, over all connections
	MaxQueued   int           `key:"max_queued" min:"0"`    // that wait for that, for up to Timeouts.Queue; also of each user in Limits.Users
	Transaction time.Duration `key:"transaction"`           // as Timeouts.Transaction
	MaxRows     int           `key:"max_rows" min:"0"`      // as Frontend.MaxRows
	MaxBytes    Size          `key:"max_bytes" min:"0"`     // as Frontend.MaxBytes
}

// DatabaseLimits are those of each database, for all users together.
type DatabaseLimits struct {
	MaxInFlight int `key:"max_in_flight" min:"0"` // units of work at once
	MaxQueued   int `key:"max_queued" min:"0"`    // that wait for that, for up to Timeouts.Queue
}

// LimitedUser is what one user has in place of UserLimits and RateLimits.User; what its entry leaves out is as there.
type LimitedUser struct {
	Name        string        `key:"name"` // unique; a gate user's or a member's
	Rate        Rate          `key:"rate"`
	MaxInFlight int           `key:"max_in_flight" min:"0"`
	Priority    int           `key:"priority"` // added to the frontend's
	Transaction time.Duration `key:"transaction"`
	MaxRows     int           `key:"max_rows" min:"0"`
	MaxBytes    Size          `key:"max_bytes" min:"0"`
}

// BackupJob is a backup that somebody else makes, and that the gate watches.
type BackupJob struct {
	Watch string        `key:"watch" path:""`           // the files that it leaves, a pattern of filepath.Match
	Every time.Duration `key:"every" min:"60000000000"` // it is overdue when the newest of them is older
}
