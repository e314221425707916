// Package health asks members for their roles, by their HTTP role endpoints and by procedures and SHOW DATABASES over Bolt,
// folds the answers, and publishes what they add up to as a cluster.View.
//
// One goroutine per member asks (checker); the one that runs Monitor.Run owns all state, folds each answer into it and
// publishes. What follows from answers is decided in pure functions (fold.go).
package health

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// The methods of Options.Method.
const (
	MethodAuto = "auto" // HTTP role endpoints first, then Bolt; a member with a Bolt address must answer there
	MethodHTTP = "http" // HTTP alone decides; Bolt is asked only for its versions
	MethodBolt = "bolt" // Bolt alone
	MethodTCP  = "tcp"  // a connection is enough; tells no roles, so it suits generation standalone
)

// Options say whom to check and how. The zero value of each field has a meaning; Members may be empty.
type Options struct {
	Generation cluster.Generation           // UnknownGeneration: found out from the answers
	Members    []*cluster.Member            // in the order in which Views list them
	Conditions map[string]cluster.Condition // by member name; absent means Ready

	Learn      bool              // ask members which servers there are: see Monitor.Heard
	Candidates []*cluster.Member // checked like members, but no part of the View: servers of which members tell

	Interval     time.Duration // from the end of a check to the next of that member; 0 means 2s
	FastInterval time.Duration // the same while a leader is missing; 0 means 200ms
	Timeout      time.Duration // for one whole check of one member; 0 means 1s
	Rise, Fall   int           // good (bad) answers in a row before a member is up (down); 0 means 1 (2)

	User, Password string   // the login of checks; "" asks without one
	Method         string   // MethodAuto and its like; "" means MethodAuto
	Databases      []string // more names to ask for where a member cannot list them (4.0 and 4.1 without a login)

	TLS       *tls.Config                                                          // to members, Bolt and HTTP alike; nil is plain text
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer
	Addresses map[string]string                                                    // advertised Bolt address -> the one we dial
}

// withDefaults returns o with every zero value replaced by what it means.
func (o Options) withDefaults() Options {
	o.Interval = orElse(o.Interval, 2*time.Second)
	o.FastInterval = orElse(o.FastInterval, 200*time.Millisecond)
	o.Timeout = orElse(o.Timeout, time.Second)
	o.Rise = orElse(o.Rise, 1)
	o.Fall = orElse(o.Fall, 2)
	o.Method = orElse(o.Method, MethodAuto)
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return o
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// auth is the login of checks over Bolt. Without a user it is scheme none, which a server without authentication takes.
func (o *Options) auth() bolt.Auth {
	if o.User == "" {
		return noAuth
	}
	return bolt.Basic(o.User, o.Password)
}

// missing says, for the log, which setting would let a member answer that refused us.
func (o *Options) missing() string {
	if o.User == "" {
		return "cluster.check.user is not set and the member tells roles only to a logged-in user: set cluster.check.user and " +
			"cluster.check.password_file; or turn authentication of the status endpoints off on the members, and list their http " +
			"addresses; or, for a single server, set cluster.generation: standalone. Meanwhile roles are learned from routing tables, asked " +
			"with the logins of clients that are connected over Bolt"
	}
	return "the member refused the login of cluster.check.user: correct cluster.check.user and cluster.check.password_file"
}
