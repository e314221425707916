package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/routing"
)

// Access is a frontend's limit, or its word on work that nobody declared.
type Access uint8

// The accesses. AccessRead and AccessWrite decide undeclared work; they refuse nothing. AccessReadOnly refuses writes.
const (
	AccessAny Access = iota
	AccessRead
	AccessWrite
	AccessReadOnly
)

// Undeclared says where work goes whose client did not say whether it writes.
type Undeclared uint8

// The policies (design "Reads and writes").
const (
	UndeclaredDetect Undeclared = iota // as its text says
	UndeclaredLeader                   // to the leader
	UndeclaredRead                     // HTTP: what does not declare a write is a read; Bolt: as detect
)

// ServerSide says when member connections ask for server-side routing.
type ServerSide uint8

// The policies.
const (
	ServerSideWhenNeeded ServerSide = iota // for texts with USE
	ServerSideAlways
	ServerSideNever
)

// Protocols is which protocols a frontend serves; the zero value is all.
type Protocols struct{ NoBolt, NoWebSocket, NoHTTP bool }

// Timeouts of a frontend. 0 means without limit, but for Handshake, where it means 5 s.
type Timeouts struct {
	Handshake       time.Duration // for each step until the login, while we wait for the client
	ClientIdle      time.Duration // without a byte from the client; for HTTP between requests as well
	TransactionIdle time.Duration // between two requests of a transaction
	Queue           time.Duration // for a slot at a member
	Server          time.Duration // without a byte from the member, while it is its turn
	Transaction     time.Duration // what a unit of work has at its member: tx_timeout, where the client gives no less
}

// Frontend is one address that we listen on, with its protocols and limits. It never changes; a reload makes another.
type Frontend struct {
	Name           string
	Bind           []string // host:port, or unix:/path
	Protocols      Protocols
	TLS            *tls.Config // nil: no TLS
	TLSRequired    bool        // plain text is refused
	ProxyFrom      []netip.Prefix
	Advertise      []string
	AdvertiseRead  string // for Bolt 1 and 2, whose RUN has no mode: the readers' address in routing tables
	MaxConnections int    // 0: without limit
	MaxPerAddress  int    // connections of one client address; 0: without limit
	Priority       int    // in every line: the higher goes first
	MaxRows        int    // of the results of one unit of work over Bolt; 0: without limit
	MaxBytes       int64  // of the results of one unit of work; 0: without limit
	Allow, Deny    []netip.Prefix
	Timeouts       Timeouts
	Keepalive      time.Duration
	Access         Access
	Undeclared     Undeclared
	Causality      Causality     // what a read has to see that we judged to be one
	CausalityWait  time.Duration // for a member to get the transactions that a read has to see; 0 means 500 ms
	ServerSide     ServerSide
	Policy         routing.Policy
	Procedures     *cypher.Procedures // the operator's word on procedures; nil adds nothing to the built-in table
}

// Options are what all frontends share.
type Options struct {
	Hold         time.Duration  // how long work waits for a leader; 0 means 20 s
	MaxHeld      int            // how many units of work; 0 means 10,000
	MaxHeldBytes int64          // and with how many bytes; 0 means 64 MiB
	RetryBudget  float64        // second tries as a share of the work that a member gets; 0 means 0.2, less than 0 none at all; see budget.go
	Replay       bool           // transactions whose member is lost are played again at another: replay.go
	RequestLimit int            // of a request that opens a unit of work; 0 means 16 MiB
	Remember     time.Duration  // how long a verified login is not verified again
	AuthInFlight int            // log-ons at members at once; 0 means 8
	AskTimeout   time.Duration  // for our own questions to members; 0 means 10 s
	AccessLog    bool           // a line for each unit of work, see accesslog.go
	AccessShare  float64        // of units of work, from 0 to 1, that have a line; 0: all
	Lines        *LineWriter    // where those lines go; nil: into the log
	Spans        *otlp.Exporter // nil or off: there are no spans, see spans.go
	Slow         time.Duration  // a query that takes longer is logged, see slowlog.go; 0: none is
	SlowData     bool           // with its text as it was sent, and its parameters
	Learn        Learn          // roles from routing tables, where checks have no login
	Users        []User         // gate users; none: members verify every login
	Memory       int64          // of the process, in bytes: near it idle clients go, and new work is refused; 0: no limit
	Limits       Limits         // of users and addresses
	ParkEvery    time.Duration  // how often idle sessions are looked at, see park.go; 0 means 1 s; New's counts
}

func (o Options) withDefaults() Options {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	if o.Hold == 0 {
		o.Hold = 20 * time.Second
	}
	if o.RetryBudget == 0 {
		o.RetryBudget = 0.2
	}
	if o.AskTimeout == 0 {
		o.AskTimeout = 10 * time.Second
	}
	if o.ParkEvery == 0 {
		o.ParkEvery = time.Second
	}
	if o.MaxHeldBytes == 0 {
		o.MaxHeldBytes = 64 << 20
	}
	o.Learn = o.Learn.withDefaults()
	set(&o.MaxHeld, 10000)
	set(&o.RequestLimit, 16<<20)
	set(&o.AuthInFlight, 8)
	return o
}
