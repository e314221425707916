package routing

import (
	"github.com/boltgate/boltgate/bolt"
)

// TTL is how long, in seconds, drivers may keep a routing table of ours (design "Routing tables").
const TTL = 300

// Table is the routing table that a gate answers: the same addresses in all three roles, always all three, for drivers
// drop a table without readers or routers. db is the resolved name, sent since 4.4; "" leaves it out.
func Table(addresses []string, db string, v bolt.Version) map[string]any {
	t := map[string]any{"ttl": int64(TTL), "servers": Servers(addresses)}
	if v >= bolt.V4_4 && db != "" {
		t["db"] = db
	}
	return t
}

// Servers is the table's list of roles, as ROUTE and the getRoutingTable procedures send it.
func Servers(addresses []string) []any {
	all := make([]any, 0, len(addresses))
	for _, a := range addresses {
		all = append(all, a)
	}
	var servers []any
	for _, role := range []string{"WRITE", "READ", "ROUTE"} {
		servers = append(servers, map[string]any{"addresses": all, "role": role})
	}
	return servers
}
