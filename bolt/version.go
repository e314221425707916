// Package bolt is the Bolt protocol as both its sides see it: versions and handshakes, chunks, messages, failures, and a
// plain client for control queries. It knows nothing of clusters. Values inside messages are package packstream's.
package bolt

import (
	"fmt"
	"slices"
)

// Version is a Bolt version: the major in the high byte, the minor in the low one, so versions compare as numbers. The
// zero Version means none.
type Version uint16

// V returns version major.minor.
func V(major, minor uint8) Version { return Version(major)<<8 | Version(minor) }

// The versions where something a relay must know begins.
const (
	V1   Version = 1 << 8
	V2   Version = 2 << 8
	V3   Version = 3 << 8     // HELLO, BEGIN/COMMIT/ROLLBACK, extra in RUN
	V4_0 Version = 4 << 8     // db, PULL and DISCARD with n and qid, several open results
	V4_1 Version = 4<<8 | 1   // routing in HELLO
	V4_3 Version = 4<<8 | 3   // ROUTE, hints, patch_bolt
	V4_4 Version = 4<<8 | 4   // imp_user, ROUTE with extra
	V5_0 Version = 5 << 8     // element ids, UTC date-times without a patch
	V5_1 Version = 5<<8 | 1   // LOGON and LOGOFF
	V5_2 Version = 5<<8 | 2   // notification filters
	V5_3 Version = 5<<8 | 3   // bolt_agent
	V5_4 Version = 5<<8 | 4   // TELEMETRY
	V5_6 Version = 5<<8 | 6   // GQL status objects
	V5_7 Version = 5<<8 | 7   // FAILURE with neo4j_code and gql_status, manifest handshake
	V5_8 Version = 5<<8 | 8   // db in answers to RUN and BEGIN
	V6_0 Version = 6 << 8     // vectors
	V6_1 Version = 6<<8 | 0x1 // UUIDs
)

// Versions are all that this package speaks, newest first. 5.5 was never released.
var Versions = []Version{V6_1, V6_0, V5_8, V5_7, V5_6, V5_4, V5_3, V5_2, V5_1, V5_0, V4_4, V4_3, V(4, 2), V4_1, V4_0, V3, V2, V1}

// Major is the part before the dot.
func (v Version) Major() uint8 { return uint8(v >> 8) }

// Minor is the part after the dot.
func (v Version) Minor() uint8 { return uint8(v) }

// String is "5.8"; versions before 4 have no minor: "3".
func (v Version) String() string {
	if v.Major() < 4 {
		return fmt.Sprint(v.Major())
	}
	return fmt.Sprintf("%d.%d", v.Major(), v.Minor())
}

// MarshalText is String, for logs and JSON.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Common returns the versions of a that b has too, in a's order.
func Common(a, b []Version) []Version {
	var both []Version
	for _, v := range a {
		if slices.Contains(b, v) {
			both = append(both, v)
		}
	}
	return both
}
