package standin

import (
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// asker is on whose behalf, and how, a member works.
type asker struct {
	m      *member
	user   string
	v      bolt.Version // 0: HTTP
	routed bool         // wants server-side routing
}

// work is what a unit of work says of itself: the extra of BEGIN or RUN, or the headers of an HTTP request.
type work struct {
	db          string // "": the user's home database
	mode        string // "r" or "w"
	bookmarks   []string
	impersonate string
	timeout     time.Duration // 0: none
}

// transaction is one open transaction, explicit or of a single statement.
type transaction struct {
	asker
	exec      *member // where it runs: another member than m after server-side routing
	db        string
	uuid      [16]byte
	mode      string
	readOnly  bool  // the mode is enforced
	marks     []any // of nodes created
	dropped   []any // marks whose nodes were deleted, before those of marks came
	writes    int
	effects   []func(*Cluster) // of administration commands, at the commit, with mu held
	end       directives       // of the statement that said something about the commit
	bookmarks []string
	ends      time.Time // its timeout; zero: never
}

// begin opens a transaction: it finds the database, waits for the bookmarks, and decides where to run.
func (a asker) begin(w work, done <-chan struct{}) (*transaction, *bolt.Failure) {
	user, f := a.actAs(w.impersonate)
	if f != nil {
		return nil, f
	}
	t := &transaction{asker: a, exec: a.m, mode: w.mode, bookmarks: w.bookmarks}
	t.user = user
	if w.timeout > 0 {
		t.ends = time.Now().Add(w.timeout)
	}
	t.readOnly = w.mode == "r" && a.m.release().multi()
	if f := t.open(w.db, done); f != nil {
		return nil, f
	}
	if f := t.exec.awaitBookmarks(a.v, w.bookmarks, done); f != nil {
		return nil, f
	}
	return t, nil
}

// actAs checks an impersonation: DefaultUser may act as every other user.
func (a asker) actAs(other string) (string, *bolt.Failure) {
	if other == "" || other == a.user {
		return a.user, nil
	}
	a.m.c.mu.Lock()
	_, exists := a.m.c.users[other]
	a.m.c.mu.Unlock()
	switch {
	case a.m.edition() == "community":
		return "", failure(codeArgumentError, "Impersonation is not supported in community edition.")
	case !exists:
		return "", failure(codeArgumentError, "Cannot impersonate user '%s'.", other)
	case a.user != DefaultUser:
		return "", failure(bolt.CodeForbidden, "Cannot impersonate user '%s'.", other)
	}
	return other, nil
}

// open finds the database called name, "" being the user's home, and the member that runs the transaction.
func (t *transaction) open(name string, done <-chan struct{}) *bolt.Failure {
	c := t.m.c
	if name == "" && c.multi() {
		name = c.home(t.user)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(name)
	switch {
	case d == nil || name != "" && !c.multi() || !c.knows(t.m, d):
		return t.m.databaseNotFound(name)
	case d.stopped || d.starting():
		return databaseUnavailable(d.name)
	}
	t.db, t.uuid, t.exec = d.name, d.uuid, t.m
	if d.virtual {
		return nil
	}
	return c.place(t, d)
}

// place chooses the member that runs t. Called with mu held.
func (c *Cluster) place(t *transaction, d *database) *bolt.Failure {
	hosted := slices.Contains(d.hosts, t.m)
	if hosted && (t.mode == "r" || d.role(t.m) == cluster.Leader) {
		return nil
	}
	ssr := t.routed && c.opt.SSR && t.m.release().multi()
	switch leader := c.present(d); {
	case !ssr && hosted:
		return nil
	case !ssr:
		return failure(bolt.CodeRouting, "Unable to route to database '%s'. Server-side routing is disabled.", d.name)
	case leader == nil || !c.linked(t.m, leader):
		return databaseUnavailable(d.name)
	default:
		t.exec = leader
	}
	return nil
}

// home is the user's home database.
func (c *Cluster) home(user string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if db, ok := c.homes[user]; ok {
		return db
	}
	return c.dbs[0].name
}

// canWrite says why t may not change anything, or nil.
func (t *transaction) canWrite() *bolt.Failure {
	if t.readOnly {
		return failure(bolt.CodeAccessMode, "Writing in read access mode not allowed. Attempted write to %s", t.db)
	}
	c := t.m.c
	if c.opt.Generation == cluster.HA {
		return nil // a slave pushes it to the master
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.find(t.db)
	switch {
	case d == nil:
		return t.m.databaseNotFound(t.db)
	case d.remote:
		return nil
	case d.virtual:
		return failure("Neo.ClientError.Statement.SemanticError", "Writing to a composite database is only possible in one of its parts: USE %s.<part>", t.db)
	}
	if d.role(t.exec) != cluster.Leader {
		return notALeader(t.exec)
	}
	return nil
}

// commit makes t's writes last and returns the bookmark; done interrupts its delay.
func (t *transaction) commit(done <-chan struct{}) (string, *bolt.Failure) {
	if t.end.delayAt == "commit" {
		if f := t.pause(t.end.delay, done); f != nil {
			return "", f
		}
	}
	if f := t.expired(); f != nil {
		return "", f
	}
	if t.end.fail != "" && t.end.failAt == "commit" {
		return "", failure(t.end.fail, "The stand-in was asked to fail at the commit.")
	}
	c := t.m.c
	if t.writes == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if d := c.find(t.db); d != nil {
			return t.m.bookmark(t.v, t.uuid, d.applied[t.exec]), nil
		}
		return "", t.m.databaseNotFound(t.db)
	}
	at := t.exec
	if c.opt.Generation == cluster.HA {
		if at = c.master(t.exec); at == nil {
			return "", failure("Neo.DatabaseError.Transaction.TransactionCommitFailed", "No master to push the transaction to.")
		}
	}
	tx, f := c.commit(at, t)
	if f != nil {
		return "", f
	}
	c.change(func() {
		if d := c.find(t.db); d != nil && at != t.exec {
			d.applied[t.exec] = max(d.applied[t.exec], tx) // a slave applies what it pushed at once
		}
		for _, effect := range t.effects {
			effect(c)
		}
	})
	return t.m.bookmark(t.v, t.uuid, tx), nil
}

// master is the HA master that m can reach; nil when there is none.
func (c *Cluster) master(m *member) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if leader := c.present(c.dbs[0]); leader != nil && c.linked(m, leader) {
		return leader
	}
	return nil
}

// expired is the failure of a transaction whose timeout has passed.
func (t *transaction) expired() *bolt.Failure {
	if t.ends.IsZero() || time.Now().Before(t.ends) {
		return nil
	}
	const text = "The transaction has been terminated. Retry your operation in a new transaction, and you should see a successful result. The transaction has not completed within the "
	if t.m.release().atLeast(5, 0) {
		return failure(codeTimedOut, text+"timeout specified at its start by the client. You may want to retry with a longer timeout. ")
	}
	return failure(codeTimedOutOld, text+"specified timeout (dbms.transaction.timeout). You may want to retry with a longer timeout. ")
}

// pause waits for d, at most until the timeout; done interrupts it.
func (t *transaction) pause(d time.Duration, done <-chan struct{}) *bolt.Failure {
	early := t.m.release().atLeast(5, 0) // before, a timeout is noticed when all rows are out
	if !t.ends.IsZero() && early {
		d = min(d, max(time.Until(t.ends), 0))
	}
	if !pause(d, done) {
		return t.m.terminated()
	}
	if !early {
		return nil
	}
	return t.expired()
}

// pause waits for d; false when done closes first.
func pause(d time.Duration, done <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
