package health

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file reads what a HA member (2.x, 3.x) knows of the other instances: the attribute InstancesInCluster of its JMX bean,
// over HTTP or Bolt.

// haView is what an instance says of its cluster.
type haView struct {
	id        string // its own
	tx        int64  // the last transaction that it has committed; 0 while unknown
	instances []haInstance
}

// haInstance is one line of it.
type haInstance struct {
	id     string
	master bool   // and alive, and available
	alive  bool   // it is heard
	host   string // host:port of the address where others pull from it; the only one that is told
}

// add keeps the member's id and whom it names.
func (h haView) addTo(a *answer) {
	a.addProgress(cluster.AnyDatabase, cluster.Progress{Tx: h.tx})
	if h.id != "" {
		a.ids[cluster.AnyDatabase] = h.id
	}
	for _, i := range h.instances {
		if i.master {
			a.namedIDs[cluster.AnyDatabase] = i.id
		}
	}
}

func newHAInstance(get func(name string) any) haInstance {
	text := func(v any) string { s, _ := v.(string); return s }
	yes := func(name string) bool { v, _ := get(name).(bool); return v }
	i := haInstance{id: text(get("instanceId")), alive: yes("alive")}
	i.master = lower(text(get("haRole"))) == "master" && i.alive && yes("available")
	uris, _ := get("uris").([]any)
	for _, v := range uris {
		if rest, ok := strings.CutPrefix(text(v), "ha://"); ok {
			i.host, _, _ = strings.Cut(rest, "?")
		}
	}
	return i
}

// haOverBolt reads the bean's attributes that dbms.queryJmx returned.
func haOverBolt(value func(name string) any) (h haView) {
	h.id, _ = value("InstanceId").(string)
	h.tx, _ = value("LastCommittedTxId").(int64)
	list, _ := value("InstancesInCluster").([]any)
	for _, v := range list {
		line, _ := v.(map[string]any)
		properties, _ := line["properties"].(map[string]any)
		h.instances = append(h.instances, newHAInstance(func(name string) any { return properties[name] }))
	}
	return h
}

// haOverHTTP reads them as HTTP writes them; false: they are of another bean.
func haOverHTTP(attributes map[string]json.RawMessage) (h haView, ok bool) {
	ok = json.Unmarshal(attributes["InstanceId"], &h.id) == nil
	if json.Unmarshal(attributes["LastCommittedTxId"], &h.tx) != nil {
		h.tx = 0
	}
	var lines []struct {
		Value []struct {
			Name  string `json:"name"`
			Value any    `json:"value"`
		} `json:"value"`
	}
	if list, told := attributes["InstancesInCluster"]; told && json.Unmarshal(list, &lines) != nil {
		return h, false
	}
	for _, line := range lines {
		fields := make(map[string]any, len(line.Value))
		for _, f := range line.Value {
			fields[f.Name] = f.Value
		}
		h.instances = append(h.instances, newHAInstance(func(name string) any { return fields[name] }))
	}
	return h, ok
}

// askInstances asks for the bean over HTTP. Only a broken connection is an error: a member that does not tell is none the
// worse for it.
func (h *httpRoles) askInstances(ctx context.Context) (v haView, ok bool, err error) {
	attributes, err := h.bean(ctx, "High Availability")
	if attributes == nil {
		return v, false, err
	}
	v, ok = haOverHTTP(attributes)
	return v, ok, nil
}
