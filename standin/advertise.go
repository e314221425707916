package standin

import (
	"net"
	"slices"
)

// This file owns what members say of addresses: their own, and which servers they tell of.

// bolt is the Bolt address that the member advertises.
func (m *member) bolt() string { return m.advertised("bolt", m.boltAddr) }

// http is the HTTP address that the member advertises.
func (m *member) http() string { return m.advertised("http", m.httpAddr) }

func (m *member) advertised(protocol, address string) string {
	if m.c.opt.Advertise != nil && address != "" {
		return m.c.opt.Advertise(m.name, protocol, address)
	}
	return address
}

// Tell makes a member tell of these servers alone, by the name of a member or any Bolt address, in SHOW SERVERS,
// dbms.cluster.overview and the JMX bean; without servers it tells the truth again, and of none if the only one is "".
func (c *Cluster) Tell(teller string, servers ...string) error {
	if _, err := c.known(teller); err != nil {
		return err
	}
	c.change(func() {
		if c.tells == nil {
			c.tells = make(map[string][]string)
		}
		if c.tells[teller] = servers; servers == nil {
			delete(c.tells, teller)
		}
	})
	return nil
}

// servers are those that a member tells of. One that is no member is made up. Called with mu held.
func (c *Cluster) servers(teller *member) []*member {
	names, told := c.tells[teller.name]
	if !told {
		return c.members
	}
	var list []*member
	for _, name := range names {
		switch m := c.member(name); {
		case m != nil:
			list = append(list, m)
		case name != "":
			host, _, _ := net.SplitHostPort(name)
			ghost := &member{c: c, name: name, boltAddr: name, httpAddr: net.JoinHostPort(host, "7474"), index: 100 + slices.Index(names, name)}
			ghost.runs.Store(teller.runs.Load())
			list = append(list, ghost)
		}
	}
	return list
}

// listConfig answers dbms.listConfig for the addresses that the member advertises.
func (t *transaction) listConfig() *result {
	r := &result{fields: []string{"name", "description", "value", "dynamic"}, kind: "r"}
	prefix := "dbms.connector."
	if t.m.release().atLeast(5, 0) {
		prefix = "server."
	}
	for _, row := range [...][2]string{{prefix + "bolt.advertised_address", t.m.bolt()}, {prefix + "http.advertised_address", t.m.http()}} {
		r.add(map[string]any{"name": row[0], "description": "", "value": row[1], "dynamic": false})
	}
	return r
}

// showSettings answers SHOW SETTINGS of 5.6 and newer, for the same.
func (t *transaction) showSettings() *result {
	r := &result{fields: []string{"name", "value", "isDynamic", "defaultValue", "description"}, kind: "r"}
	for _, row := range [...][2]string{{"server.bolt.advertised_address", t.m.bolt()}, {"server.http.advertised_address", t.m.http()}} {
		r.add(map[string]any{"name": row[0], "value": row[1], "isDynamic": false, "defaultValue": "", "description": ""})
	}
	return r
}

func texts(list []string) []any {
	values := []any{}
	for _, s := range list {
		values = append(values, s)
	}
	return values
}
