package health

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
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

// haOverBolt reads the attributes that dbms.queryJmx returns.
func haOverBolt(attributes map[string]any) (h haView) {
	value := func(name string) any {
		attribute, _ := attributes[name].(map[string]any)
		return attribute["value"]
	}
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

// namedValue is how JMX over HTTP writes an attribute, and a field of a composite one.
type namedValue struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// haOverHTTP reads the bean as /db/manage/server/jmx writes it; false: it is none.
func haOverHTTP(body []byte) (h haView, ok bool) {
	var beans []struct {
		Attributes []namedValue `json:"attributes"`
	}
	if json.Unmarshal(body, &beans) != nil || len(beans) == 0 {
		return h, false
	}
	for _, a := range beans[0].Attributes {
		switch a.Name {
		case "InstanceId":
			ok = json.Unmarshal(a.Value, &h.id) == nil
		case "LastCommittedTxId":
			if json.Unmarshal(a.Value, &h.tx) != nil {
				h.tx = 0
			}
		case "InstancesInCluster":
			var lines []struct {
				Value []struct {
					Name  string `json:"name"`
					Value any    `json:"value"`
				} `json:"value"`
			}
			if json.Unmarshal(a.Value, &lines) != nil {
				return h, false
			}
			for _, line := range lines {
				fields := make(map[string]any, len(line.Value))
				for _, f := range line.Value {
					fields[f.Name] = f.Value
				}
				h.instances = append(h.instances, newHAInstance(func(name string) any { return fields[name] }))
			}
		}
	}
	return h, ok
}

// haBeanPath is the bean over HTTP.
var haBeanPath = "/db/manage/server/jmx/domain/org.neo4j/" + url.PathEscape("instance=kernel#0,name=High Availability")

// askInstances asks for the bean over HTTP. Only a broken connection is an error: a member that does not tell is none the
// worse for it.
func (h *httpRoles) askInstances(ctx context.Context) (v haView, ok bool, err error) {
	r, err := h.client.get(ctx, haBeanPath)
	if err != nil || r.status != http.StatusOK {
		return v, false, err
	}
	v, ok = haOverHTTP(r.body)
	return v, ok, nil
}
