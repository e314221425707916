package standin

import (
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// system answers the queries about the cluster that drivers, checks and people send; known is false for all others.
func (t *transaction) system(text string, list []string, params map[string]any) (r *result, f *bolt.Failure, known bool) {
	if name := calledProcedure(list); name != "" {
		if f := t.mayNotSee(name); f != nil {
			return nil, f, true
		}
		return t.procedure(name, text, list, params)
	}
	multi := t.m.release().multi()
	switch first, second := at(list, 0), at(list, 1); {
	case first == "SHOW" && multi:
		if f := t.mayNotSee(second); f != nil {
			return nil, f, true
		}
		r, f = t.show(second, list[1:], text, params)
		return r, f, r != nil || f != nil
	case multi && (second == "ALIAS" || at(list, 3) == "ALIAS") && first != "MATCH":
		return t.administerAlias(text)
	case multi && (second == "DATABASE" || second == "COMPOSITE" || first == "CREATE" && second == "OR") && administration[first]:
		r, f = t.administer(text, list)
		return r, f, true
	}
	return nil, nil, false
}

var administration = map[string]bool{"CREATE": true, "DROP": true, "START": true, "STOP": true}

// show answers SHOW …; a nil result: not a SHOW that is known here.
func (t *transaction) show(what string, list []string, text string, params map[string]any) (*result, *bolt.Failure) {
	var r *result
	switch second := at(list, 1); {
	case what == "DATABASES":
		r = t.showDatabases("")
	case what == "DATABASE":
		r = t.showDatabases(argument(text, "DATABASE", params))
	case what == "DEFAULT" && second == "DATABASE":
		r = t.showDatabases(t.m.c.home(""))
	case what == "HOME" && second == "DATABASE":
		r = t.showDatabases(t.m.c.home(t.user))
	case (what == "SERVERS" || what == "SERVER") && t.m.release().atLeast(5, 0):
		r = t.showServers()
	case what == "ALIASES" || what == "ALIAS":
		r = t.showAliases()
	case what == "SETTINGS" && t.m.release().atLeast(5, 6):
		r = t.showSettings()
	case what == "PROCEDURES" || what == "PROCEDURE":
		r = t.procedures()
	case what == "CURRENT" && second == "USER":
		r = table([]string{"user", "roles", "passwordChangeRequired", "suspended", "home"}, []any{t.user, []any{"admin", "PUBLIC"}, false, false, nil})
	default:
		return nil, nil
	}
	r.kind = "s"
	return yield(r, list, text, params, t.m.release())
}

// argument is what stands behind a word in a text: a name, quoted or not, or a parameter.
func argument(text, word string, params map[string]any) string {
	at := strings.Index(strings.ToUpper(text), word)
	if at < 0 {
		return ""
	}
	name := strings.TrimRight(strings.TrimSpace(text[at+len(word):]), "; ")
	name, _, _ = strings.Cut(name, " ")
	if p, ok := strings.CutPrefix(name, "$"); ok {
		value, _ := params[p].(string)
		return value
	}
	return strings.Trim(name, "`")
}

// databaseRow is one member's row of SHOW DATABASES. Called with the cluster's mu held.
func (c *Cluster) databaseRow(m, host *member, d *database, user string) map[string]any {
	leads := d.belief[m].leader == host && d.role(host) == cluster.Leader
	status, requested := "online", "online"
	if d.starting() {
		status = "starting"
	}
	if d.stopped {
		status, requested = "offline", "offline"
	}
	heard := c.linked(m, host)
	if !heard {
		status = "unknown"
	}
	kind := "standard"
	if d.name == systemDB {
		kind = "system"
	}
	home := c.homes[user]
	isHome := home == d.name || home == "" && d == c.dbs[0]
	return map[string]any{
		"name": d.name, "type": kind, "aliases": c.aliasesOf(d.name), "access": "read-write", "address": host.bolt(),
		"role": c.shownRole(host, leads, heard), "writer": leads && heard, "requestedStatus": requested, "currentStatus": status,
		"error": "", "statusMessage": "", "default": d == c.dbs[0], "home": isHome, "constituents": []any{},
		"databaseID": formatUUID(d.uuid), "serverID": formatUUID(host.id), "currentPrimariesCount": int64(len(d.voters())),
		"currentSecondariesCount": int64(len(d.hosts) - len(d.voters())), "requestedPrimariesCount": int64(len(d.voters())),
		"requestedSecondariesCount": int64(len(d.hosts) - len(d.voters())), "creationTime": nil, "lastStartTime": nil, "lastStopTime": nil,
		"store": "record-aligned-1.1", "lastCommittedTxn": d.applied[host], "replicationLag": d.applied[host] - d.last(),
	}
}

// shownRole is the role as the generation names it.
func (c *Cluster) shownRole(host *member, leads, heard bool) string {
	five := host.release().atLeast(5, 0)
	switch {
	case !heard:
		return "unknown"
	case five && host.replica:
		return "secondary"
	case five:
		return "primary"
	case c.opt.Generation == cluster.Standalone:
		return "standalone"
	case host.replica:
		return "read_replica"
	case leads:
		return "leader"
	}
	return "follower"
}

func databaseColumns(r release) (shown, all []string) {
	if r.atLeast(5, 0) {
		shown = []string{"name", "type", "aliases", "access", "address", "role", "writer", "requestedStatus", "currentStatus", "statusMessage", "default", "home", "constituents"}
		return shown, append(shown[:len(shown):len(shown)], "databaseID", "serverID", "currentPrimariesCount", "currentSecondariesCount",
			"requestedPrimariesCount", "requestedSecondariesCount", "creationTime", "lastStartTime", "lastStopTime", "store", "lastCommittedTxn", "replicationLag")
	}
	shown = []string{"name"}
	if r.atLeast(4, 4) {
		shown = append(shown, "aliases", "access")
	}
	shown = append(shown, "address", "role", "requestedStatus", "currentStatus", "error", "default")
	if r.atLeast(4, 3) {
		shown = append(shown, "home")
	}
	return shown, shown
}

// showDatabases has one row for each database and member that hosts it; only one database when name is given.
func (t *transaction) showDatabases(name string) *result {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	shown, all := databaseColumns(t.m.release())
	r := &result{fields: shown, columns: all, kind: "r"}
	for _, d := range c.dbs {
		if name != "" && foldName(name) != foldName(d.name) || !c.knows(t.m, d) {
			continue
		}
		for _, host := range d.hosts {
			if !c.linked(t.m, host) && !t.m.release().atLeast(5, 0) {
				continue // 4.x does not list what it does not hear
			}
			r.add(c.databaseRow(t.m, host, d, t.user))
		}
	}
	if t.m.release().atLeast(5, 0) {
		t.addComposites(r, name)
	}
	return r
}

func (t *transaction) showServers() *result {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &result{fields: []string{"name", "address", "state", "health", "hosting"}, kind: "r"}
	r.columns = append(r.fields[:5:5], "serverId", "httpAddress", "httpsAddress", "requestedHosting", "tags", "allowedDatabases", "deniedDatabases", "modeConstraint", "version")
	for _, m := range c.servers(t.m) {
		hosting := []any{}
		for _, d := range c.dbs {
			if d.role(m) != cluster.Unknown {
				hosting = append(hosting, d.name)
			}
		}
		health := "Available"
		if !c.linked(t.m, m) {
			health = "Unavailable"
		}
		mode := "NONE"
		if m.replica {
			mode = "SECONDARY"
		}
		r.add(map[string]any{
			"name": formatUUID(m.id), "address": m.bolt(), "state": "Enabled", "health": health, "hosting": hosting,
			"serverId": formatUUID(m.id), "httpAddress": m.http(), "httpsAddress": nil, "requestedHosting": hosting, "tags": texts(c.opt.Tags[m.name]),
			"allowedDatabases": []any{}, "deniedDatabases": []any{}, "modeConstraint": mode, "version": m.release().text,
		})
	}
	return r
}

// administer carries out CREATE, DROP, START and STOP DATABASE, which belong to the leader of system.
func (t *transaction) administer(text string, list []string) (*result, *bolt.Failure) {
	c, what := t.m.c, list[0]
	name := argument(text, "DATABASE", nil)
	orReplace, ifNot, ifIs := hasWord(list, "REPLACE"), hasWord(list, "NOT"), hasWord(list, "IF")
	c.mu.Lock()
	d := c.find(name)
	c.mu.Unlock()
	switch {
	case what == "CREATE" && d != nil && !ifNot && !orReplace:
		return nil, failure(codeDatabaseExists, "Failed to create the specified database '%s': Database already exists.", name)
	case what != "CREATE" && d == nil && !ifIs:
		return nil, failure(bolt.CodeDatabaseNotFound, "Failed to %s the specified database '%s': Database does not exist.", strings.ToLower(what), name)
	case what == "CREATE" && d != nil && !orReplace, what != "CREATE" && d == nil:
		return table([]string{}), nil
	}
	if hasWord(list, "COMPOSITE") && what == "CREATE" {
		return t.onSystem(text, func(c *Cluster) { c.putComposite(name) })
	}
	return t.onSystem(text, func(c *Cluster) { c.applyCommand(what, name) })
}

// onSystem makes a command a write to the system database, whose leader it needs; effect takes place at the commit.
func (t *transaction) onSystem(text string, effect func(*Cluster)) (*result, *bolt.Failure) {
	sys := &transaction{asker: t.asker, mode: t.mode, readOnly: t.readOnly}
	if f := sys.open(systemDB, nil); f != nil {
		return nil, f
	}
	if f := sys.canWrite(); f != nil {
		return nil, f
	}
	t.exec, t.db, t.uuid = sys.exec, sys.db, sys.uuid
	t.writes++
	t.marks = append(t.marks, text)
	t.effects = append(t.effects, effect)
	r := table([]string{})
	r.kind, r.stats = "s", map[string]any{"system-updates": int64(1)}
	if t.v >= bolt.V5_0 {
		r.stats["contains-system-updates"] = true
	}
	return r, nil
}

// applyCommand is called with mu held.
func (c *Cluster) applyCommand(what, name string) {
	d := c.find(name)
	switch {
	case what == "CREATE" || what == "DROP":
		gone := func(have *database) bool { return have == d }
		c.dbs = slices.DeleteFunc(slices.Clone(c.dbs), gone)
		c.composites = slices.DeleteFunc(slices.Clone(c.composites), gone)
		if what == "CREATE" {
			added := c.addDatabase(foldName(name))
			added.online = time.Now().Add(c.opt.CreateTime)
			if d == nil { // who has not heard of a new one under an old name knows the old one
				added.created = c.find(systemDB).last()
			}
		}
	case d != nil:
		d.stopped = what == "STOP"
	}
}
