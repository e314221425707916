package standin

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the JMX beans of 2.x and 3.x members: that of their kernel, and in HA what an instance sees of the others (facts of Neo4j,
// "Roles and topology"; seen on 3.5.0-beta03).

const beanPrefix = "instance=kernel#0,name="

// bean is what JMX shows of one thing.
type bean struct {
	name, about string
	values      map[string]any
}

// beans are those that a member shows. Called with the cluster's mu held.
func (m *member) beans() []bean {
	if m.release().atLeast(4, 0) {
		return nil
	}
	store := hex.EncodeToString(m.c.dbs[0].uuid[8:])
	all := []bean{{"Kernel", "Information about the Neo4j kernel", map[string]any{"DatabaseName": "graph.db", "ReadOnly": false, "StoreId": store}}}
	if m.c.opt.Generation == cluster.HA {
		all = append(all, bean{"High Availability", "Information about an instance participating in a HA cluster", m.haAttributes()})
	}
	return all
}

// haAttributes are the bean's, by name. Called with the cluster's mu held.
func (m *member) haAttributes() map[string]any {
	d := m.c.dbs[0]
	role := "slave"
	if d.role(m) == cluster.Leader {
		role = "master"
	}
	var instances []map[string]any
	for _, other := range m.c.servers(m) {
		instances = append(instances, m.haInstance(d, other))
	}
	return map[string]any{"Role": role, "Alive": true, "Available": true, "LastCommittedTxId": d.applied[m], "InstanceId": m.haID(),
		"LastUpdateTime": "N/A", "InstancesInCluster": instances}
}

func (m *member) haID() string { return fmt.Sprint(m.index + 1) }

// haAddress is where others pull from the member. Nobody listens there.
func (m *member) haAddress() string {
	host, _, _ := net.SplitHostPort(m.http())
	return net.JoinHostPort(host, fmt.Sprint(6001+m.index))
}

// haInstance is a line of InstancesInCluster: other, as m sees it.
func (m *member) haInstance(d *database, other *member) map[string]any {
	heard := m.c.member(other.name) != other || m.c.linked(m, other)
	role := "slave"
	switch {
	case !heard:
		role = "UNKNOWN"
	case d.belief[m].leader == other:
		role = "master"
	}
	return map[string]any{"alive": heard, "available": heard, "haRole": role, "instanceId": other.haID(), "roles": []any{role},
		"uris": []any{"ha://" + other.haAddress() + "?serverId=" + other.haID()}}
}

// jmx answers dbms.queryJmx for the beans whose name the pattern has, or for all.
func (t *transaction) jmx(args []any) *result {
	r := &result{fields: []string{"name", "description", "attributes"}, kind: "r"}
	if len(args) == 0 {
		return r
	}
	pattern, _ := args[0].(string)
	t.m.c.mu.Lock()
	defer t.m.c.mu.Unlock()
	for _, b := range t.m.beans() {
		if !strings.HasSuffix(pattern, "name="+b.name) && !strings.HasSuffix(pattern, ":*") {
			continue
		}
		attributes := make(map[string]any)
		for name, value := range b.values {
			if list, ok := value.([]map[string]any); ok {
				var lines []any
				for _, properties := range list {
					lines = append(lines, map[string]any{"description": "org.neo4j.management.ClusterMemberInfo", "properties": properties})
				}
				value = lines
			}
			attributes[name] = map[string]any{"description": name, "value": value}
		}
		r.add(map[string]any{"name": "org.neo4j:" + beanPrefix + b.name, "description": b.about, "attributes": attributes})
	}
	return r
}

// jmxPage answers /db/manage/server/jmx/domain/org.neo4j/…, a bean as HTTP writes it.
func (h *httpRequest) jmxPage() {
	_, name, _ := strings.Cut(h.r.URL.Path, "/org.neo4j/"+beanPrefix)
	h.m.c.mu.Lock()
	all := h.m.beans()
	h.m.c.mu.Unlock()
	i := slices.IndexFunc(all, func(b bean) bool { return b.name == name })
	if i < 0 {
		h.json(http.StatusOK, []any{})
		return
	}
	attributes := all[i].values
	named := func(values map[string]any) (list []any) {
		for name, value := range values {
			list = append(list, map[string]any{"name": name, "description": name, "value": value})
		}
		return list
	}
	if instances, ok := attributes["InstancesInCluster"].([]map[string]any); ok {
		lines := []any{}
		for _, i := range instances {
			lines = append(lines, map[string]any{"description": "org.neo4j.management.ClusterMemberInfo", "type": "org.neo4j.management.ClusterMemberInfo", "value": named(i)})
		}
		attributes["InstancesInCluster"] = lines
	}
	h.json(http.StatusOK, []any{map[string]any{"name": "org.neo4j:" + beanPrefix + name, "attributes": named(attributes), "url": "org.neo4j/" + url.QueryEscape(beanPrefix+name)}})
}
