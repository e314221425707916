package proxy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns learning roles where members tell the checks none, for they have no login (cluster.View.Blind): every member is
// asked for its routing tables on a connection that is logged on as a client, and the answers go to the checks. It runs beside
// the clients' work, in a goroutine of its own, and takes pooled connections between units of work as any session does.

// Learn says how often; the zero value of each field has a meaning.
type Learn struct {
	Every   time.Duration // between two questions to a member; 0 means 2 s
	Fast    time.Duration // the same while a leader is missing, for a minute at most; 0 means 200 ms
	Timeout time.Duration // for one member's answers; 0 means 1 s
}

func (l Learn) withDefaults() Learn {
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{{&l.Every, 2 * time.Second}, {&l.Fast, 200 * time.Millisecond}, {&l.Timeout, time.Second}} {
		if *d.set <= 0 {
			*d.set = d.to
		}
	}
	return l
}

const (
	maxLearned   = 100              // databases that are asked about
	learnFastFor = time.Minute      // how long a missing leader makes it fast
	learnShy     = 30 * time.Second // until a member whose tables say nothing is asked again
)

// learner is what the questions need to know. asker and missing belong to its goroutine.
type learner struct {
	wake chan struct{} // room for one: there is something to ask at once

	mu        sync.Mutex
	databases map[string]struct{}  // guarded by mu: that work has named
	shy       map[string]time.Time // guarded by mu, by member: when it may be asked again

	asker   *login    // by whose login members were asked last
	missing time.Time // since when a leader is missing; zero while none is
}

func newLearner() *learner {
	return &learner{wake: make(chan struct{}, 1), databases: map[string]struct{}{}, shy: map[string]time.Time{}}
}

// soon has members asked as soon as may be.
func (l *learner) soon() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// want has members asked about a database that work named, from now on.
func (l *learner) want(db string) {
	if db == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.databases[db]; !ok && len(l.databases) < maxLearned {
		l.databases[strings.Clone(strings.ToLower(db))] = struct{}{}
		l.soon()
	}
}

// forget stops asking about a database that is not there.
func (l *learner) forget(db string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.databases, db)
}

func (l *learner) wanted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.databases))
}

// learn runs until the server ends. While the checks are not blind it only waits.
func (s *Server) learn() {
	for s.work.Err() == nil {
		v := s.current.View()
		if !v.Blind {
			select {
			case <-v.Replaced():
			case <-s.work.Done():
			}
			continue
		}
		o := s.options.Load().Learn
		s.askAll(v, o.Timeout)
		select {
		case <-time.After(o.Fast): // the least between two questions, whoever waits
		case <-s.work.Done():
		}
		s.breather(o.Every - o.Fast)
	}
}

// breather waits for the next question's time, unless a leader is missing or somebody has something new to ask for.
func (s *Server) breather(d time.Duration) {
	l := s.learner
	over := time.NewTimer(d)
	defer over.Stop()
	for v := s.current.View(); v.Blind && !l.hurry(v, time.Now()); v = s.current.View() {
		select {
		case <-v.Replaced():
			continue
		case <-over.C:
		case <-l.wake:
		case <-s.work.Done():
		}
		return
	}
}

// hurry tells whether a leader is missing, and has not been for long.
func (l *learner) hurry(v *cluster.View, now time.Time) bool {
	lost := v.Leader("") == nil
	for _, db := range l.wanted() {
		lost = lost || v.Leader(db) == nil
	}
	switch {
	case !lost || l.asker == nil:
		l.missing = time.Time{}
		return false
	case l.missing.IsZero():
		l.missing = now
	}
	return now.Sub(l.missing) < learnFastFor
}

// askAll asks every member that is up, at the same time, by the login of a client that is there.
func (s *Server) askAll(v *cluster.View, limit time.Duration) {
	l := s.learner
	var id *pool.Identity
	if l.asker, id = s.logins.asker(l.asker); id == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.work, limit)
	defer cancel()
	version := id.Key.Value().Version
	var asking sync.WaitGroup
	for m := range v.Up() {
		if m.Bolt == "" || !m.Speaks(version) || l.isShy(m.Name) {
			continue
		}
		asking.Go(func() {
			known, err := s.askTables(ctx, m.Member, id)
			f, refused := errors.AsType[*bolt.Failure](err)
			switch {
			case refused && isSecurity(f.Code):
				s.logins.mute(l.asker) // its log-on is not tried again: repeating a wrong password locks a user out
			case err == nil && !known && v.Generation == cluster.UnknownGeneration:
				l.leave(m.Name)
			}
		})
	}
	asking.Wait()
}

// isShy tells whether a member's tables said nothing of late.
func (l *learner) isShy(member string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.shy[member]) {
		return true
	}
	delete(l.shy, member)
	return false
}

// leave leaves a member alone for a while, whose tables say nothing.
func (l *learner) leave(member string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shy[member] = time.Now().Add(learnShy)
}

// askTables asks one member for the tables of the home database, of system, and of those that work named. known says that one
// of them told something. The error is that of getting a connection, or a connection's that broke.
func (s *Server) askTables(ctx context.Context, m *cluster.Member, id *pool.Identity) (known bool, err error) {
	lease := s.pools.TryAcquire(m, id)
	if lease == nil {
		if lease, err = s.pools.Acquire(ctx, m, id); err != nil {
			return false, err
		}
	}
	clean := false
	defer func() { lease.Release(clean) }()
	if deadline, ok := ctx.Deadline(); ok {
		lease.Link.SetDeadline(deadline)
		defer lease.Link.SetDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, func() { lease.Link.SetDeadline(longAgo) }) // a shutdown does not wait for it
	defer func() { clean = stop() && clean }()
	for _, db := range s.tablesToAsk(lease.Client.Version) {
		t, err := askTable(lease.Client, db)
		if f, refused := errors.AsType[*bolt.Failure](err); refused {
			if f.Code == bolt.CodeDatabaseNotFound {
				s.learner.forget(db)
			}
			if err != error(f) || f.Code == bolt.CodeAuthExpired { // joined: its RESET failed; or the connection is of no use any more
				return known, nil
			}
			continue
		}
		if err != nil {
			return known, err
		}
		t.Member = m.Name
		known = known || t.Evidence()
		s.current.Tell(t)
	}
	clean = lease.Client.Trim() == nil
	return known, nil
}

// tablesToAsk are the databases to ask about, "" being the asker's home database. Before 4.0 there is one for all.
func (s *Server) tablesToAsk(v bolt.Version) []string {
	if v < bolt.V4_0 {
		return []string{""}
	}
	all := []string{"", routing.System}
	for _, db := range s.learner.wanted() {
		if db != routing.System {
			all = append(all, db)
		}
	}
	return all
}

// askTable asks on a connection that is READY and is so again afterwards, also after a *bolt.Failure.
func askTable(c *bolt.Client, db string) (*cluster.Table, error) {
	t := &cluster.Table{Asked: time.Now(), Server: c.Server, DB: db, Home: db == ""}
	t.Address, _ = c.Hello["advertised_address"].(string)
	servers, name, err := askServers(c, db)
	if err != nil {
		return nil, err
	}
	if name != "" {
		t.DB = name
	}
	list, _ := servers.([]any)
	for _, entry := range list {
		group, _ := entry.(map[string]any)
		addresses := stringsIn(group["addresses"])
		switch role, _ := group["role"].(string); role {
		case "WRITE":
			t.Writers = addresses
		case "READ":
			t.Readers = addresses
		case "ROUTE":
			t.Routers = addresses
		}
	}
	return t, nil
}

func stringsIn(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, e := range list {
		if text, ok := e.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// askServers asks as drivers of the connection's version do (facts of Neo4j, "How tables are asked for"). name is the database's,
// from 4.4 on.
func askServers(c *bolt.Client, db string) (servers any, name string, err error) {
	if c.Version < bolt.V4_3 {
		servers, err = callServers(c, db)
		return servers, "", err
	}
	var named any
	if db != "" {
		named = db
	}
	last := named
	if c.Version >= bolt.V4_4 {
		last = map[string]any{"db": named}
	}
	answer, err := c.AskReady(bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, last))
	table, _ := answer["rt"].(map[string]any)
	name, _ = table["db"].(string)
	return table["servers"], name, err
}

func callServers(c *bolt.Client, db string) (any, error) {
	context := map[string]any{"context": map[string]any{}}
	var texts []string
	extra := map[string]any{"mode": "r"}
	switch {
	case c.Version >= bolt.V4_0 && db != "":
		context["database"], extra["db"] = db, routing.System
		texts = []string{"CALL dbms.routing.getRoutingTable($context, $database)"}
	case c.Version >= bolt.V4_0:
		extra["db"] = routing.System
		texts = []string{"CALL dbms.routing.getRoutingTable($context)"}
	default: // {context} is read by every 3.x; 3.1 has getServers alone
		texts = []string{"CALL dbms.cluster.routing.getRoutingTable({context})", "CALL dbms.cluster.routing.getServers()"}
	}
	var err error
	for _, text := range texts {
		var result *bolt.Result
		result, err = c.Query(text, context, extra)
		if err == nil {
			for _, row := range result.Rows {
				if i := slices.Index(result.Fields, "servers"); i >= 0 && i < len(row) {
					return row[i], nil
				}
			}
			return nil, nil
		}
		if f, ok := errors.AsType[*bolt.Failure](err); !ok || f.Code != bolt.CodeProcedureNotFound {
			break
		}
	}
	return nil, err
}

// pick is the router's choice. While the checks are blind nobody has a role until a client is logged on: any member that is up
// may verify a login then.
func (s *boltSession) pick(v *cluster.View, in routing.Intent, verify bool) (*cluster.Status, error) {
	status, err := s.front.router().Pick(v, in, s.unit.tried)
	if err == nil && !in.Since.IsZero() {
		s.srv.keptAtLeader(v, in, status)
	}
	if err == nil || !verify || !v.Blind {
		return status, err
	}
	for m := range v.Up() {
		if m.Bolt != "" && m.Speaks(s.version) && !slices.Contains(s.unit.tried, m.Member) {
			return m, nil
		}
	}
	return nil, err
}
