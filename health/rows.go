package health

import (
	"slices"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file reads the tables with which members describe the whole cluster: SHOW DATABASES and dbms.cluster.overview.

// hosting is one row of SHOW DATABASES: a database on one server.
type hosting struct {
	db, address          string
	aliases              []string // 4.4 and newer
	role                 cluster.Role
	standalone           bool // 4.x says role standalone
	online, stopped      bool
	ambiguous            bool // another row has the same database and address: servers share an advertised address
	isDefault, addressed bool
	composite            bool     // its data lie in other databases
	constituents         []string // of a composite: alias names, with its own in front
	progress             cluster.Progress
	id                   string // of the database, the same at every member; "" where it is not told
}

// column returns a function that reads a row's value by the name of its column; nil when there is none such.
func column(r *bolt.Result) func(row []any, name string) any {
	at := make(map[string]int, len(r.Fields))
	for i, f := range r.Fields {
		at[f] = i
	}
	return func(row []any, name string) any {
		if i, ok := at[name]; ok && i < len(row) {
			return row[i]
		}
		return nil
	}
}

// hostings reads the rows of SHOW DATABASES, of 4.x (role leader, follower, read_replica, standalone) and of 5.0 and newer
// (role primary or secondary, and writer).
func hostings(r *bolt.Result) []hosting {
	get := column(r)
	list := make([]hosting, 0, len(r.Rows))
	for _, row := range r.Rows {
		text := func(name string) string { s, _ := get(row, name).(string); return lower(s) }
		name, _ := get(row, "name").(string)
		if name == "" {
			continue
		}
		writer, _ := get(row, "writer").(bool)
		h := hosting{db: name, address: text("address"), role: roleNamed(text("role"), writer), standalone: text("role") == "standalone"}
		h.addressed = h.address != ""
		h.online = text("currentStatus") == "online"
		h.stopped = text("requestedStatus") == "offline"
		h.isDefault, _ = get(row, "default").(bool)
		h.composite = text("type") == "composite"
		h.aliases, h.constituents = texts(get(row, "aliases")), texts(get(row, "constituents"))
		h.id = text("databaseID")
		h.progress.Tx, _ = get(row, "lastCommittedTxn").(int64)
		if lag, _ := get(row, "replicationLag").(int64); lag < 0 {
			h.progress.Lag = -lag
		}
		list = append(list, h)
	}
	markAmbiguous(list)
	return list
}

// markAmbiguous marks the rows whose address is of no use: where no server has dbms.default_advertised_address set, all of
// them call themselves localhost:7687.
func markAmbiguous(list []hosting) {
	type key struct{ db, address string }
	rows := make(map[key]int, len(list))
	for _, h := range list {
		rows[key{h.db, h.address}]++
	}
	for i, h := range list {
		list[i].ambiguous = rows[key{h.db, h.address}] > 1
	}
}

func roleNamed(role string, writer bool) cluster.Role {
	switch {
	case writer, role == "leader", role == "standalone":
		return cluster.Leader
	case role == "follower", role == "primary":
		return cluster.Follower
	case role == "read_replica", role == "secondary":
		return cluster.Replica
	}
	return cluster.Unknown
}

// addHostings puts what SHOW DATABASES of a member said into a. own tells whether an advertised address is that member's.
func (a *answer) addHostings(list []hosting, own func(address string) bool) {
	for _, h := range list {
		if h.addressed && !slices.Contains(a.addresses, h.address) {
			a.addresses = append(a.addresses, h.address)
		}
		if h.isDefault {
			a.def = h.db
		}
		if h.composite {
			a.addComposite(h)
			continue
		}
		mine := h.standalone || !h.ambiguous && own(h.address)
		if mine && h.id != "" {
			a.databaseIDs = put(a.databaseIDs, h.db, h.id)
		}
		switch {
		case !mine:
		case h.stopped:
			a.stopped[h.db], a.closed[h.db] = true, true
		case !h.online:
			a.closed[h.db] = true // starting, copying a store, quarantined
		default:
			a.setRole(h.db, h.role)
			a.addProgress(h.db, h.progress)
		}
		for _, alias := range h.aliases {
			a.aliases[alias] = h.db
		}
		if h.role == cluster.Leader && h.online && !h.ambiguous {
			a.named[h.db] = h.address
		}
	}
}

// addComposite notes a composite database: no member leads it, and each can find its parts.
func (a *answer) addComposite(h hosting) {
	a.composites[lower(h.db)] = true
	for _, c := range h.constituents {
		a.composites[lower(c)] = true
	}
}

// sameAddress tells whether all rows name one server: then it is alone.
func sameAddress(list []hosting) bool {
	for _, h := range list {
		if h.address != list[0].address {
			return false
		}
	}
	return len(list) > 0
}

// evidenceOf tells the kind of cluster that SHOW DATABASES shows. 4.x has a role of its own for a standalone server. From 5.0
// on, rows that all have one address prove one only when system is among them, which every server of a cluster hosts.
func evidenceOf(list []hosting, major int) cluster.Generation {
	servers, clustered, system := make(map[string]bool), false, false
	for _, h := range list {
		if h.standalone {
			return cluster.Standalone
		}
		if h.addressed {
			servers[h.address] = true
			clustered = clustered || h.ambiguous || major == 4 && h.role != cluster.Unknown
			system = system || h.db == "system"
		}
	}
	switch {
	case major == 4 && (clustered || len(servers) > 1):
		return cluster.Causal
	case major > 4 && (clustered || len(servers) > 1):
		return cluster.Autonomous
	case major > 4 && system:
		return cluster.Standalone
	}
	return cluster.UnknownGeneration
}

// addOverview puts what dbms.cluster.overview() of 3.x said into a: whom the member takes for the leader.
func (a *answer) addOverview(r *bolt.Result) {
	get := column(r)
	for _, row := range r.Rows {
		address := bare(boltAddress(get(row, "addresses")))
		if address == "" {
			continue
		}
		a.addresses = append(a.addresses, address)
		if role, _ := get(row, "role").(string); role == "LEADER" {
			a.named[cluster.AnyDatabase] = address
		}
	}
}

func boltAddress(v any) string {
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok && strings.HasPrefix(s, "bolt://") {
			return s
		}
	}
	return ""
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
