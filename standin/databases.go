package standin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// This file owns databases that come and go, and the names that are no database of their own: aliases, local and remote, and
// composite databases.

// alias is another name for a database; the alias of a composite's part has the composite's name in front.
type alias struct {
	name, target string
	url          string // of another cluster; "" is this one
}

// addNames is called with mu held: the aliases and composites of the options.
func (c *Cluster) addNames() {
	for name, target := range c.opt.Aliases {
		c.putAlias(alias{name: name, target: target})
	}
	for name, parts := range c.opt.Composites {
		c.putComposite(name)
		for _, db := range parts {
			c.putAlias(alias{name: name + "." + db, target: db})
		}
	}
	slices.SortFunc(c.aliases, func(a, b alias) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(c.composites, func(a, b *database) int { return strings.Compare(a.name, b.name) })
}

// putAlias is called with mu held.
func (c *Cluster) putAlias(a alias) {
	a.name, a.target = foldName(a.name), foldName(a.target)
	c.aliases = slices.DeleteFunc(c.aliases, func(have alias) bool { return have.name == a.name })
	c.aliases = append(c.aliases, a)
}

// putComposite is called with mu held.
func (c *Cluster) putComposite(name string) {
	c.composites = append(c.composites, &database{name: foldName(name), uuid: c.newUUIDLocked(), virtual: true, applied: make(map[*member]int64),
		belief: make(map[*member]belief), isolated: make(map[*member]time.Time)})
}

// findVirtual looks up what is no database of the cluster's own: an alias, a composite, a database of another cluster. Called
// with mu held.
func (c *Cluster) findVirtual(name string) *database {
	for _, d := range c.composites {
		if d.name == name {
			return d
		}
	}
	for _, a := range c.aliases {
		switch {
		case a.name != name:
		case a.url != "":
			return c.remote(name)
		default:
			return c.find(a.target)
		}
	}
	return nil
}

// remote is the database of another cluster behind a remote alias: every member reaches it. Called with mu held.
func (c *Cluster) remote(name string) *database {
	if d := c.remotes[name]; d != nil {
		return d
	}
	d := &database{name: name, uuid: c.newUUIDLocked(), virtual: true, remote: true, applied: make(map[*member]int64),
		belief: make(map[*member]belief), isolated: make(map[*member]time.Time)}
	c.remotes[name] = d
	return d
}

// aliasesOf are the names of db's aliases. Called with mu held.
func (c *Cluster) aliasesOf(db string) []any {
	names := []any{}
	for _, a := range c.aliases {
		if a.url == "" && a.target == db {
			names = append(names, a.name)
		}
	}
	return names
}

// partsOf are the names of a composite's parts. Called with mu held.
func (c *Cluster) partsOf(composite string) []any {
	names := []any{}
	for _, a := range c.aliases {
		if strings.HasPrefix(a.name, composite+".") {
			names = append(names, a.name)
		}
	}
	return names
}

// knows tells whether a member has heard that a database exists: the command that created it is in its log of system.
// Called with mu held.
func (c *Cluster) knows(m *member, d *database) bool {
	sys := c.find(systemDB)
	return sys == nil || d.created <= sys.applied[m]
}

// starting tells whether a database is still being created on its members. Called with mu held.
func (d *database) starting() bool { return time.Now().Before(d.online) }

// CreateDatabase creates a database, as a command at the leader of system does, and returns once it has a leader.
func (c *Cluster) CreateDatabase(name string) error { return c.command("CREATE", name) }

// DropDatabase drops a database or composite.
func (c *Cluster) DropDatabase(name string) error { return c.command("DROP", name) }

// StopDatabase stops a database as its operator does.
func (c *Cluster) StopDatabase(name string) error { return c.command("STOP", name) }

// StartDatabase starts a stopped database.
func (c *Cluster) StartDatabase(name string) error { return c.command("START", name) }

func (c *Cluster) command(what, name string) error {
	c.mu.Lock()
	exists := c.find(name) != nil
	c.mu.Unlock()
	if exists == (what == "CREATE") {
		return fmt.Errorf("standin: %s of %q, which exists: %v", what, name, exists)
	}
	c.change(func() { c.applyCommand(what, name) })
	return nil
}

// SetAlias makes name another name for a database of this cluster.
func (c *Cluster) SetAlias(name, target string) {
	c.change(func() { c.putAlias(alias{name: name, target: target}) })
}

// SetHome changes a user's home database.
func (c *Cluster) SetHome(user, db string) { c.change(func() { c.homes[user] = foldName(db) }) }

// DropAlias takes a name away.
func (c *Cluster) DropAlias(name string) { c.change(func() { c.dropAlias(name) }) }

// dropAlias is called with mu held.
func (c *Cluster) dropAlias(name string) {
	c.aliases = slices.DeleteFunc(c.aliases, func(a alias) bool { return a.name == foldName(name) })
}

var aliasCommand = lazyregexp.New("(?is)^\\s*(CREATE|ALTER|DROP)\\s+(?:OR\\s+REPLACE\\s+)?ALIAS\\s+([\\w.`]+)\\s*(IF\\s+(?:NOT\\s+)?EXISTS)?" +
	"(?:\\s+(?:FOR|SET)\\s+DATABASE(?:\\s+TARGET)?\\s*([\\w.`]+)?(?:\\s+AT\\s+'([^']*)')?.*)?\\s*;?\\s*$")

// administerAlias carries out CREATE, ALTER and DROP ALIAS; known is false for other texts.
func (t *transaction) administerAlias(text string) (r *result, f *bolt.Failure, known bool) {
	m := aliasCommand.FindStringSubmatch(text)
	if m == nil {
		return nil, nil, false
	}
	what, a := strings.ToUpper(m[1]), alias{name: unquoted(m[2]), target: unquoted(m[4]), url: m[5]}
	c := t.m.c
	c.mu.Lock()
	taken, target := c.find(a.name), c.find(a.target)
	c.mu.Unlock()
	switch {
	case what == "CREATE" && taken != nil && m[3] == "":
		f = failure(codeDatabaseExists, "Failed to create the specified database alias '%s': Database or alias already exists.", a.name)
	case what != "CREATE" && taken == nil && m[3] == "":
		f = failure(bolt.CodeDatabaseNotFound, "Failed to %s the specified database alias '%s': Alias does not exist.", strings.ToLower(what), a.name)
	case what != "DROP" && a.url == "" && target == nil:
		f = failure(bolt.CodeDatabaseNotFound, "Failed to create the specified database alias '%s': Database '%s' does not exist.", a.name, a.target)
	}
	if f != nil {
		return nil, f, true
	}
	r, f = t.onSystem(text, func(c *Cluster) {
		if what == "DROP" {
			c.dropAlias(a.name)
			return
		}
		c.putAlias(a)
	})
	return r, f, true
}

func unquoted(name string) string { return strings.ReplaceAll(name, "`", "") }

// showAliases is SHOW ALIASES FOR DATABASE (4.4+).
func (t *transaction) showAliases() *result {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &result{fields: []string{"name", "composite", "database", "location", "url", "user"}, kind: "s"}
	for _, a := range c.aliases {
		row := map[string]any{"name": a.name, "database": a.target, "location": "local"}
		if name, _, ok := strings.Cut(a.name, "."); ok {
			row["composite"] = name
		}
		if a.url != "" {
			row["location"], row["url"], row["user"] = "remote", a.url, t.user
		}
		r.add(row)
	}
	return r
}

// addComposites adds the rows that SHOW DATABASES has for composite databases. Called with mu held.
func (t *transaction) addComposites(r *result, name string) {
	c := t.m.c
	for _, d := range c.composites {
		if name != "" && foldName(name) != d.name {
			continue
		}
		for _, host := range c.members {
			if !c.linked(t.m, host) {
				continue
			}
			row := c.databaseRow(t.m, host, d, t.user)
			row["type"], row["access"], row["role"], row["writer"], row["constituents"] = "composite", "read-only", nil, false, c.partsOf(d.name)
			r.add(row)
		}
	}
}

// graphName is the name behind a leading USE, its parts joined by dots, and what follows it.
func graphName(list []string) (name string, rest []string) {
	name, rest = strings.Trim(at(list, 1), "`"), list[min(2, len(list)):]
	for at(rest, 0) == "." {
		name, rest = name+"."+strings.Trim(at(rest, 1), "`"), rest[min(2, len(rest)):]
	}
	return name, rest
}
