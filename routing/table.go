package routing

import (
	"github.com/boltgate/boltgate/bolt"
)

// TTL is how long, in seconds, drivers may keep a routing table of ours (design "Routing tables").
const TTL = 300

// Table is the routing table that a gate answers: the same addresses in all three roles, always all three, for drivers
// drop a table without readers or routers. db is the resolved name, sent since 4.4; "" leaves it out.
func Table(addresses []string, db string, v bolt.Version) map[string]any {
	t := map[string]any{"ttl": int64(TTL), "servers": Servers(addresses, addresses)}
	if v >= bolt.V4_4 && db != "" {
		t["db"] = db
	}
	return t
}

// Servers is the table's list of roles, as ROUTE and the getRoutingTable procedures send it. readers is another address
// for reads, where clients cannot say in a RUN that they read (Bolt 1 and 2).
func Servers(addresses, readers []string) []any {
	list := func(addresses []string) []any {
		all := make([]any, 0, len(addresses))
		for _, a := range addresses {
			all = append(all, a)
		}
		return all
	}
	return []any{
		map[string]any{"addresses": list(addresses), "role": "WRITE"},
		map[string]any{"addresses": list(readers), "role": "READ"},
		map[string]any{"addresses": list(addresses), "role": "ROUTE"},
	}
}
