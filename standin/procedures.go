package standin

import (
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// procedure answers CALL of a procedure of the server's own. Others of the usual name spaces are ordinary queries, and the
// rest is not there.
func (t *transaction) procedure(name, text string, list []string, params map[string]any) (*result, *bolt.Failure, bool) {
	r, f := t.call(name, text, params)
	if r == nil && f == nil {
		if ofOneMember[name] {
			return nil, nil, false
		}
		for _, space := range [...]string{"DB.", "APOC.", "GDS.", "STANDIN."} {
			if strings.HasPrefix(name, space) {
				return nil, nil, false
			}
		}
		return nil, procedureNotFound(text), true
	}
	if f != nil {
		return nil, f, true
	}
	if t.db == systemDB {
		r.kind = "s"
	}
	r, f = yield(r, list, text, params, t.m.release())
	return r, f, true
}

// ofOneMember are procedures whose answer differs by member: here it says which one gave it.
var ofOneMember = map[string]bool{
	"DBMS.LISTQUERIES": true, "DBMS.LISTTRANSACTIONS": true, "DBMS.LISTCONNECTIONS": true, "DBMS.KILLQUERY": true, "DBMS.KILLQUERIES": true,
	"DBMS.KILLTRANSACTION": true, "DBMS.KILLCONNECTION": true, "DBMS.SETCONFIGVALUE": true, "DBMS.LISTCONFIG": true,
}

func procedureNotFound(text string) *bolt.Failure {
	_, name, _ := strings.Cut(strings.TrimSpace(text), " ")
	name, _, _ = strings.Cut(name, "(")
	return failure(bolt.CodeProcedureNotFound, "There is no procedure with the name `%s` registered for this database instance. Please ensure you've spelled the procedure name correctly and that the procedure is properly deployed.", strings.TrimSpace(name))
}

// call answers the procedures that the member's version and generation have; nil, nil for the rest.
func (t *transaction) call(name, text string, params map[string]any) (*result, *bolt.Failure) {
	m, rel := t.m, t.m.release()
	causal := m.c.opt.Generation == cluster.Causal
	switch name {
	case "DBMS.COMPONENTS":
		return table([]string{"name", "versions", "edition"}, []any{"Neo4j Kernel", []any{rel.text}, m.edition()}), nil
	case "DB.PING":
		return table([]string{"success"}, []any{true}), nil
	case "DBMS.PROCEDURES":
		if !rel.atLeast(5, 0) {
			return t.procedures(), nil
		}
	case "DBMS.CLUSTER.ROLE":
		if causal && !rel.atLeast(5, 0) {
			return t.clusterRole(arguments(text, params))
		}
	case "DBMS.CLUSTER.OVERVIEW":
		if causal && !rel.atLeast(5, 0) {
			return t.overview(), nil
		}
	case "DBMS.CLUSTER.STATUSCHECK":
		if m.c.opt.Generation == cluster.Autonomous && rel.atLeast(5, 24) {
			return t.statusCheck(arguments(text, params)), nil
		}
	case "DBMS.LISTCONFIG":
		return t.listConfig(), nil
	case "DBMS.QUERYJMX":
		return t.jmx(arguments(text, params)), nil
	}
	return t.routingProcedure(name, arguments(text, params))
}

func (m *member) edition() string {
	if m.c.opt.Generation == cluster.Standalone {
		return "community"
	}
	return "enterprise"
}

// routingProcedure answers the three names of getServers and getRoutingTable.
func (t *transaction) routingProcedure(name string, args []any) (*result, *bolt.Failure) {
	multi := t.m.release().multi()
	known := multi && (name == "DBMS.ROUTING.GETROUTINGTABLE" || name == "DBMS.CLUSTER.ROUTING.GETROUTINGTABLE") ||
		t.m.c.opt.Generation == cluster.Causal && !multi && (name == "DBMS.CLUSTER.ROUTING.GETROUTINGTABLE" || name == "DBMS.CLUSTER.ROUTING.GETSERVERS")
	if !known {
		return nil, nil
	}
	db := ""
	if multi && len(args) > 1 {
		db, _ = args[1].(string)
	}
	rt, f := t.m.routingTable(t.user, db)
	if f != nil {
		return nil, f
	}
	r := table([]string{"ttl", "servers"}, []any{rt["ttl"], rt["servers"]})
	if multi {
		r.kind = "s"
	}
	return r, nil
}

func oldRole(r cluster.Role) string {
	return map[cluster.Role]string{cluster.Leader: "LEADER", cluster.Follower: "FOLLOWER", cluster.Replica: "READ_REPLICA", cluster.Unknown: "UNKNOWN"}[r]
}

func (t *transaction) clusterRole(args []any) (*result, *bolt.Failure) {
	db := ""
	if t.m.release().multi() {
		if len(args) == 0 {
			return nil, failure("Neo.ClientError.Procedure.ProcedureCallFailed", "Procedure call does not provide the required number of arguments: got 0 expected at least 1")
		}
		db, _ = args[0].(string)
	}
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(db)
	if d == nil || db == "" && t.m.release().multi() {
		return nil, failure(bolt.CodeDatabaseNotFound, "Unable to get a cluster role for database '%s' because this database does not exist", db)
	}
	return table([]string{"role"}, []any{oldRole(d.role(t.m))}), nil
}

// overview is dbms.cluster.overview() of 3.1-4.4.
func (t *transaction) overview() *result {
	c, multi := t.m.c, t.m.release().multi()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &result{fields: []string{"id", "addresses", "role", "groups", "database"}, kind: "r"}
	if multi {
		r.fields = []string{"id", "addresses", "databases", "groups"}
	}
	for _, m := range c.servers(t.m) {
		if c.member(m.name) == m && !c.linked(t.m, m) {
			continue
		}
		row := map[string]any{"id": formatUUID(m.id), "addresses": []any{"bolt://" + m.bolt(), "http://" + m.http()}, "groups": texts(c.opt.Tags[m.name]), "database": "default"}
		databases := make(map[string]any)
		for _, d := range c.dbs {
			role := d.role(m)
			if role == cluster.Leader && d.belief[t.m].leader != m {
				role = cluster.Follower // another has won meanwhile
			}
			databases[d.name] = oldRole(role)
			row["role"] = oldRole(role)
		}
		row["databases"] = databases
		r.add(row)
	}
	return r
}

// statusCheck is dbms.cluster.statusCheck(databases, timeout) of 5.24.
func (t *transaction) statusCheck(args []any) *result {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var wanted []any
	if len(args) > 0 {
		wanted, _ = args[0].([]any)
	}
	r := &result{fields: []string{"database", "serverId", "serverName", "address", "replicationSuccessful", "memberStatus", "recognisedLeader", "recognisedLeaderTerm", "requester", "error"}, kind: "r"}
	for _, d := range c.dbs {
		if len(wanted) > 0 && !containsText(wanted, d.name) {
			continue
		}
		leader := d.belief[t.m].leader
		replicates := leader != nil && c.linked(t.m, leader) && c.majority(d, leader)
		for _, m := range d.voters() {
			row := map[string]any{"database": d.name, "serverId": formatUUID(m.id), "serverName": formatUUID(m.id), "address": m.bolt(),
				"replicationSuccessful": replicates, "memberStatus": "UNAVAILABLE", "requester": m == t.m}
			if c.linked(t.m, m) {
				row["memberStatus"] = "APPLYING"
				if b := d.belief[m]; b.leader != nil {
					row["recognisedLeader"], row["recognisedLeaderTerm"] = formatUUID(b.leader.id), b.term
				}
			}
			r.add(row)
		}
	}
	return r
}

func containsText(list []any, text string) bool {
	for _, v := range list {
		if v == text {
			return true
		}
	}
	return false
}

// procedures lists some that every server has.
func (t *transaction) procedures() *result {
	fields := []string{"name", "signature", "description", "mode"}
	if t.m.release().atLeast(4, 3) {
		fields = []string{"name", "description", "mode", "worksOnSystem"}
	}
	r := &result{fields: fields, columns: []string{"name", "signature", "description", "mode", "worksOnSystem"}, kind: "r"}
	for _, p := range [...][3]string{
		{"db.labels", "() :: (label :: STRING?)", "READ"}, {"db.createLabel", "(newLabel :: STRING?) :: VOID", "WRITE"},
		{"db.propertyKeys", "() :: (propertyKey :: STRING?)", "READ"}, {"db.relationshipTypes", "() :: (relationshipType :: STRING?)", "READ"},
		{"dbms.components", "() :: (name :: STRING?, versions :: LIST? OF STRING?, edition :: STRING?)", "DBMS"},
		{"standin.read", "() :: (value :: STRING?)", "READ"}, {"standin.write", "() :: (value :: STRING?)", "WRITE"},
	} {
		r.add(map[string]any{"name": p[0], "signature": p[0] + p[1], "description": "", "mode": p[2], "worksOnSystem": p[2] == "DBMS"})
	}
	return r
}
