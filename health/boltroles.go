package health

import (
	"context"
	"errors"
	"fmt"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file asks for roles over Bolt: by procedures (3.x, 4.x) and SHOW DATABASES (4.0 and newer).

// ask puts the roles that the member tells over Bolt into a. A refused login is no error, but a.denied. knows says that its
// roles were told over HTTP already, so that only the rest matters. A kept connection that turns out to be closed is
// replaced once.
func (b *boltRoles) ask(ctx context.Context, a *answer, knows bool) error {
	kept := b.client != nil
	err := b.try(ctx, a, knows)
	if err != nil && kept && b.client == nil && ctx.Err() == nil && !isTimeout(err) {
		b.doubt() // whoever answers now is looked at anew by the next check
		err = b.try(ctx, a, knows)
	}
	return err
}

func (b *boltRoles) try(ctx context.Context, a *answer, knows bool) error {
	switch err := b.login(ctx); {
	case isDenied(err):
		a.denied = err.Error()
		return nil
	case err != nil:
		return err
	}
	switch major, _, _ := parseVersion(b.client.Server); {
	case major >= 4:
		return b.askDatabases(ctx, a, major, knows)
	case major == 3:
		return b.ask3(ctx, a)
	}
	_, err := b.query(ctx, "RETURN 1", nil)
	return b.alive(err, a)
}

// alive turns a query refused for want of rights into a.denied: the member is there, but does not tell.
func (b *boltRoles) alive(err error, a *answer) error {
	if isDenied(err) {
		a.denied = err.Error()
		return nil
	}
	return err
}

func (b *boltRoles) askDatabases(ctx context.Context, a *answer, major int, knows bool) error {
	res, err := b.showDatabases(ctx, major)
	if err != nil {
		return b.alive(err, a)
	}
	list := hostings(res)
	a.addHostings(list, b.isOwn(list))
	a.evidence = evidenceOf(list, major)
	if b.id.edition == "community" {
		a.evidence = cluster.Standalone
	}
	if err := b.askTerms(ctx, a); err != nil {
		return err
	}
	if major == 4 && !a.told && !knows {
		return b.alive(b.askRoles4(ctx, a, list), a)
	}
	return nil
}

// isOwn returns the function that tells whether an advertised address is this member's: by what it said of itself, by the
// addresses that we dial or were told, or because all rows name one server and there is only one.
func (b *boltRoles) isOwn(list []hosting) func(address string) bool {
	alone := b.alone && sameAddress(list)
	return func(address string) bool {
		return alone || b.members.member(address) == b.self || b.id.address != "" && bare(b.id.address) == bare(address)
	}
}

// maxRoles4 bounds how many databases a 4.x member is asked about one by one.
const maxRoles4 = 200

// askRoles4 asks a 4.x member for its own role in each database, for no row of SHOW DATABASES could be told to be its own.
func (b *boltRoles) askRoles4(ctx context.Context, a *answer, list []hosting) error {
	for i, h := range list {
		if _, done := a.roles[h.db]; done || !h.online || i >= maxRoles4 {
			continue
		}
		res, err := b.query(ctx, "CALL dbms.cluster.role($db)", map[string]any{"db": h.db})
		switch {
		case isUnknownProcedure(err):
			return nil // a server that is in no cluster
		case isDenied(err):
			return err
		case isRefusal(err):
			continue // it does not host that database
		case err != nil:
			return err
		}
		if len(res.Rows) == 1 {
			role, _ := column(res)(res.Rows[0], "role").(string)
			a.setRole(h.db, roleNamed(lower(role), false))
		}
	}
	return nil
}

// ask3 asks a 3.x server, which is a causal cluster's, an HA cluster's or on its own. Which of them is remembered.
func (b *boltRoles) ask3(ctx context.Context, a *answer) error {
	if b.bolt3 != cluster.HA {
		switch err := b.askCausal3(ctx, a); {
		case err == nil:
			b.bolt3, a.evidence = cluster.Causal, cluster.Causal
			return nil
		case !isUnknownProcedure(err):
			return b.alive(err, a)
		}
	}
	if b.id.edition == "community" {
		a.evidence = cluster.Standalone
		return nil
	}
	return b.alive(b.askHA(ctx, a), a)
}

func isUnknownProcedure(err error) bool {
	f, ok := errors.AsType[*bolt.Failure](err)
	return ok && f.Code == bolt.CodeProcedureNotFound
}

func (b *boltRoles) askCausal3(ctx context.Context, a *answer) error {
	res, err := b.query(ctx, "CALL dbms.cluster.role()", nil)
	if err != nil {
		return err
	}
	if len(res.Rows) != 1 {
		return fmt.Errorf("CALL dbms.cluster.role() gave %d rows instead of one", len(res.Rows))
	}
	role, _ := column(res)(res.Rows[0], "role").(string)
	a.setRole(cluster.AnyDatabase, roleNamed(lower(role), false))
	res, err = b.query(ctx, "CALL dbms.cluster.overview()", nil)
	switch {
	case err == nil:
		a.addOverview(res)
	case !isRefusal(err):
		return err
	}
	return b.askStore(ctx, a)
}

func (b *boltRoles) askHA(ctx context.Context, a *answer) error {
	res, err := b.query(ctx, haBean, nil)
	if err != nil || len(res.Rows) == 0 {
		return err
	}
	b.bolt3, a.evidence = cluster.HA, cluster.HA
	value := beanValues(res)
	haOverBolt(value).addTo(a)
	if available, ok := value("Available").(bool); ok && !available {
		return unavailable{"its JMX bean says Available false"}
	}
	role, _ := value("Role").(string)
	switch lower(role) {
	case "master":
		a.setRole(cluster.AnyDatabase, cluster.Leader)
	case "slave":
		a.setRole(cluster.AnyDatabase, cluster.Follower)
	default:
		return unavailable{fmt.Sprintf("its JMX bean says role %q", role)}
	}
	return b.askStore(ctx, a)
}
