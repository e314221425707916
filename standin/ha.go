package standin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the JMX bean of HA members, which tells what an instance sees of the others (facts of Neo4j, "Roles and
// topology"; seen on 3.5.0-beta03).

const haBean = "org.neo4j:instance=kernel#0,name=High Availability"

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

// jmx answers dbms.queryJmx for the bean; other patterns match nothing.
func (t *transaction) jmx(args []any) *result {
	r := &result{fields: []string{"name", "description", "attributes"}, kind: "r"}
	if t.m.c.opt.Generation != cluster.HA || len(args) == 0 {
		return r
	}
	pattern, _ := args[0].(string)
	if !strings.Contains(pattern, "High Availability") && !strings.HasSuffix(pattern, ":*") {
		return r
	}
	t.m.c.mu.Lock()
	defer t.m.c.mu.Unlock()
	attributes := make(map[string]any)
	for name, value := range t.m.haAttributes() {
		if list, ok := value.([]map[string]any); ok {
			var lines []any
			for _, properties := range list {
				lines = append(lines, map[string]any{"description": "org.neo4j.management.ClusterMemberInfo", "properties": properties})
			}
			value = lines
		}
		attributes[name] = map[string]any{"description": name, "value": value}
	}
	r.add(map[string]any{"name": haBean, "description": "Information about an instance participating in a HA cluster", "attributes": attributes})
	return r
}

// jmxPage answers /db/manage/server/jmx/domain/org.neo4j/…, the bean as HTTP writes it.
func (h *httpRequest) jmxPage() {
	if h.m.c.opt.Generation != cluster.HA || !strings.HasSuffix(h.r.URL.Path, "/org.neo4j/instance=kernel#0,name=High Availability") {
		h.json(http.StatusOK, []any{})
		return
	}
	h.m.c.mu.Lock()
	attributes := h.m.haAttributes()
	h.m.c.mu.Unlock()
	named := func(values map[string]any) (list []any) {
		for name, value := range values {
			list = append(list, map[string]any{"name": name, "description": name, "value": value})
		}
		return list
	}
	instances, _ := attributes["InstancesInCluster"].([]map[string]any)
	lines := []any{}
	for _, i := range instances {
		lines = append(lines, map[string]any{"description": "org.neo4j.management.ClusterMemberInfo", "type": "org.neo4j.management.ClusterMemberInfo", "value": named(i)})
	}
	attributes["InstancesInCluster"] = lines
	h.json(http.StatusOK, []any{map[string]any{"name": haBean, "attributes": named(attributes), "url": json.RawMessage(`"org.neo4j/instance%3Dkernel%230%2Cname%3DHigh+Availability"`)}})
}
