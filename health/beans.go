package health

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file reads the JMX beans of 2.x and 3.x members, over HTTP or Bolt, and what their bean Kernel tells: the id of the store. That is
// the same on every member of a cluster, for who joins copies the store of another.

// noStore is the id while no store is open, as when one is being copied: -1.
const noStore = "ffffffffffffffff"

// storeOf keeps the id of a member's one store, if it told one.
func (a *answer) storeOf(id string) {
	if id != "" && id != noStore {
		a.databaseIDs = map[string]string{cluster.AnyDatabase: id}
	}
}

// bean reads the attributes of a bean; nil, without an error, when the server does not show it.
func (h *httpRoles) bean(ctx context.Context, name string) (map[string]json.RawMessage, error) {
	r, err := h.client.get(ctx, "/db/manage/server/jmx/domain/org.neo4j/"+url.PathEscape("instance=kernel#0,name="+name))
	if err != nil || r.status != http.StatusOK {
		return nil, err
	}
	var beans []struct {
		Attributes []struct {
			Name  string          `json:"name"`
			Value json.RawMessage `json:"value"`
		} `json:"attributes"`
	}
	if json.Unmarshal(r.body, &beans) != nil || len(beans) == 0 {
		return nil, nil
	}
	attributes := make(map[string]json.RawMessage)
	for _, a := range beans[0].Attributes {
		attributes[a.Name] = a.Value
	}
	return attributes, nil
}

// withStore asks a member that has told its role for the store's id as well.
func (h *httpRoles) withStore(ctx context.Context, a *answer, err error) error {
	if err != nil || !a.told || h.noKernel {
		return err
	}
	attributes, err := h.bean(ctx, "Kernel")
	if err != nil { // its role counts; whether the member answers in time was seen by that
		return nil
	}
	id := ""
	h.noKernel = json.Unmarshal(attributes["StoreId"], &id) != nil
	a.storeOf(id)
	return nil
}

// haBean and kernelBean are the JMX bean of an HA member (HA only; elsewhere the query has no rows), and that of every member.
const (
	haBean     = "CALL dbms.queryJmx('org.neo4j:instance=kernel#0,name=High Availability') YIELD attributes RETURN attributes"
	kernelBean = "CALL dbms.queryJmx('org.neo4j:instance=kernel#0,name=Kernel') YIELD attributes RETURN attributes"
)

// beanValues is the first bean that dbms.queryJmx returned, as a function from an attribute's name to its value.
func beanValues(res *bolt.Result) func(name string) any {
	attributes, _ := column(res)(res.Rows[0], "attributes").(map[string]any)
	return func(name string) any {
		attribute, _ := attributes[name].(map[string]any)
		return attribute["value"]
	}
}

// askStore asks for the store's id. A member that does not tell is none the worse for it.
func (b *boltRoles) askStore(ctx context.Context, a *answer) error {
	res, err := b.query(ctx, kernelBean, nil)
	switch {
	case isRefusal(err):
		return nil
	case err != nil || len(res.Rows) == 0:
		return err
	}
	id, _ := beanValues(res)("StoreId").(string)
	a.storeOf(id)
	return nil
}
