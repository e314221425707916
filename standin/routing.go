package standin

import (
	"slices"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

const routingTTL = 300 // seconds, dbms.routing_ttl

// route answers ROUTE (4.3+).
func (c *boltConn) route(m message) *bolt.Failure {
	bookmarks, f := bookmarkList(m.field(1))
	if f != nil {
		return f
	}
	var db, other string
	if c.v < bolt.V4_4 {
		db, _ = m.field(2).(string)
	} else {
		extra := m.mapField(2)
		db, _ = extra["db"].(string)
		other, _ = extra["imp_user"].(string)
	}
	var rt map[string]any
	c.working(func() {
		if c.m.c.opt.Generation != cluster.Standalone || !c.m.release().atLeast(5, 0) { // a single 5.x does not look at them
			if f = c.m.awaitBookmarks(c.v, bookmarks, c.halted()); f != nil {
				return
			}
		}
		var user string
		if user, f = c.asker.actAs(other); f == nil {
			rt, f = c.m.routingTable(user, db)
		}
	})
	if f != nil {
		return f
	}
	if c.v < bolt.V4_4 {
		delete(rt, "db")
	}
	c.out.success(map[string]any{"rt": rt})
	return nil
}

// routingTable is the table of a database, "" being the user's home, as m sees the cluster: keys ttl, db, servers. Roles
// nobody has are left out (facts of Neo4j, "Routing tables").
func (m *member) routingTable(user, db string) (map[string]any, *bolt.Failure) {
	c := m.c
	if db == "" && c.multi() {
		db = c.home(user)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(db)
	switch {
	case d == nil || !c.knows(m, d):
		return nil, failure(bolt.CodeDatabaseNotFound, "Unable to get a routing table for database '%s' because this database does not exist", db)
	case d.stopped || d.starting():
		return nil, failure(bolt.CodeDatabaseUnavailable, "Unable to get a routing table for database '%s' because this database is unavailable", db)
	}
	var writers, readers, routers []any
	for _, other := range d.hosts {
		if !c.linked(m, other) {
			continue
		}
		if d.belief[m].leader == other && d.role(other) == cluster.Leader {
			writers = append(writers, other.bolt())
		} else {
			readers = append(readers, other.bolt())
		}
		if !other.replica {
			routers = append(routers, other.bolt())
		}
	}
	for _, other := range c.members {
		if d.virtual && c.linked(m, other) {
			writers, readers, routers = append(writers, other.bolt()), append(readers, other.bolt()), append(routers, other.bolt())
		}
	}
	if len(readers) == 0 {
		readers = writers
	}
	c.random.Shuffle(len(readers), func(i, j int) { readers[i], readers[j] = readers[j], readers[i] })
	return map[string]any{"ttl": int64(routingTTL), "db": d.name, "servers": serverList(writers, readers, routers)}, nil
}

func serverList(writers, readers, routers []any) []any {
	servers := []any{}
	for _, group := range []struct {
		role      string
		addresses []any
	}{{"WRITE", writers}, {"READ", slices.Clone(readers)}, {"ROUTE", routers}} {
		if len(group.addresses) > 0 {
			servers = append(servers, map[string]any{"addresses": group.addresses, "role": group.role})
		}
	}
	return servers
}
