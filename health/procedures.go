package health

import (
	"context"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
)

// This file learns from members which procedures they have and what each does, so that a CALL of one that the built-in table
// does not know need not be a write.

const (
	listEvery    = 10 * time.Minute // plugins come with a restart, which is seen anyway; this is for what is not
	maxProcedure = 5000             // what is beyond is not kept: it stays a write
)

// procedure is a procedure's name and mode, as its server lists them.
type procedure struct{ name, mode string }

// listProcedures asks for the list now and then, and never at a server's first check: that shall not wait for it. It has a
// quarter of the check's time; when it fails the check has not.
func (c *checker) listProcedures(ctx context.Context, a *answer) {
	b := &c.bolt
	if b.list.IsZero() {
		b.list = time.Now()
		return
	}
	if time.Now().Before(b.list) {
		return
	}
	b.list = time.Now().Add(listEvery)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout/4)
	defer cancel()
	if listed, err := b.askProcedures(ctx); err == nil && len(listed) > 0 {
		b.id.listed = listed
		a.identity.listed = listed
	}
}

// askProcedures lists what the server can CALL. From 3.4 on it says the modes; names without one are left out.
func (b *boltRoles) askProcedures(ctx context.Context) ([]procedure, error) {
	if err := b.login(ctx); err != nil {
		return nil, err
	}
	text := "SHOW PROCEDURES YIELD name, mode"
	if major, minor, _ := parseVersion(b.client.Server); major < 4 || major == 4 && minor < 3 {
		text = "CALL dbms.procedures()"
	}
	res, err := b.query(ctx, text, nil)
	if err != nil {
		return nil, err
	}
	return procedures(res), nil
}

// procedures reads such a list.
func procedures(r *bolt.Result) []procedure {
	get := column(r)
	var list []procedure
	for _, row := range r.Rows[:min(len(r.Rows), maxProcedure)] {
		name, _ := get(row, "name").(string)
		mode, _ := get(row, "mode").(string)
		if name != "" && mode != "" {
			list = append(list, procedure{name, mode})
		}
	}
	return list
}

// procedureTable is the table of all that members listed, and the lists that it was made from.
type procedureTable struct {
	from  [][]procedure
	table *cypher.Procedures
}

// of returns the table for these lists: the same one as before when they have not changed, nil when there are none.
func (t *procedureTable) of(lists [][]procedure) *cypher.Procedures {
	if slices.EqualFunc(t.from, lists, slices.Equal) {
		return t.table
	}
	t.from, t.table = lists, nil
	for _, list := range lists {
		for _, p := range list {
			if t.table == nil {
				t.table = new(cypher.Procedures)
			}
			t.table.Add(p.name, p.mode) //nolint:errcheck // a mode that is unknown leaves the procedure a write
		}
	}
	return t.table
}
