package health

import (
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file reads the tables with which members describe the whole cluster: SHOW DATABASES and dbms.cluster.overview.

// hosting is one row of SHOW DATABASES: a database on one server.
type hosting struct {
	db, address          string
	role                 cluster.Role
	standalone           bool // 4.x says role standalone
	online, stopped      bool
	isDefault, addressed bool
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
		list = append(list, h)
	}
	return list
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

// addHostings puts what SHOW DATABASES of member self said into a. alone: self is the only configured member, so rows that
// all have one address are its own whatever that address is.
func (a *answer) addHostings(list []hosting, known book, alone bool) {
	single := sameAddress(list)
	for _, h := range list {
		name := known.member(h.address)
		if name == "" && (h.standalone || alone && single) {
			name = a.member
		}
		if h.isDefault {
			a.def = h.db
		}
		switch {
		case name == "":
			if h.addressed {
				a.strangers = append(a.strangers, h.address)
			}
			continue
		case name != a.member:
		case h.stopped:
			a.stopped[h.db] = true
		case h.online:
			a.setRole(h.db, h.role)
		}
		if h.role == cluster.Leader && h.online {
			a.names[h.db] = name
		}
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

// evidenceOf tells the kind of cluster that SHOW DATABASES shows. Rows at one address prove a standalone server only when
// system is among them, which every server of a cluster hosts.
func evidenceOf(list []hosting, major int) cluster.Generation {
	servers, system := make(map[string]bool), false
	for _, h := range list {
		if h.standalone {
			return cluster.Standalone
		}
		if h.addressed {
			servers[h.address] = true
			system = system || h.db == "system"
		}
	}
	switch {
	case len(servers) == 1 && system:
		return cluster.Standalone
	case len(servers) == 0 || len(servers) == 1:
		return cluster.UnknownGeneration
	case major == 4:
		return cluster.Causal
	}
	return cluster.Autonomous
}

// addOverview puts what dbms.cluster.overview() of 3.x said into a: whom the member takes for the leader.
func (a *answer) addOverview(r *bolt.Result, known book) {
	get := column(r)
	for _, row := range r.Rows {
		role, _ := get(row, "role").(string)
		address := boltAddress(get(row, "addresses"))
		name := known.member(address)
		switch {
		case name == "" && address != "":
			a.strangers = append(a.strangers, address)
		case role == "LEADER":
			a.names[cluster.AnyDatabase] = name
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
