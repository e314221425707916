package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file asks over Bolt: which versions a member speaks, what it calls itself, and its roles by procedures (3.x, 4.x)
// and SHOW DATABASES (4.0 and newer).

// agent is what members see as user_agent of checks.
const agent = "boltgate-check/1"

// maxAnswers bounds what one check reads over Bolt: SHOW DATABASES has some 300 bytes a row.
const maxAnswers = 8 << 20

// boltRoles asks one member over Bolt and keeps its connection between checks. Not safe for concurrent use.
type boltRoles struct {
	dial    func(ctx context.Context) (net.Conn, error)
	auth    bolt.Auth
	members book
	self    string
	alone   bool // self is the only member

	client  *bolt.Client // logged on and READY; nil without
	conn    *budget      // under client
	id      identity
	known   bool               // id is of the server that answers now
	plain   bolt.Version       // what it answers to a plain proposal of its newest versions; 0 while not asked
	bolt3   cluster.Generation // what a 3.x server turned out to be; UnknownGeneration: not asked, or none of them
	refused error              // the login was refused; kept until forget or retry
}

// budget is a connection that reads no more than left bytes, so that an endless answer fails the check.
type budget struct {
	net.Conn
	left int
}

var errTooMuch = errors.New("the member sent more than a check reads")

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// forget makes the next ask look at the server as at a new one.
func (b *boltRoles) forget() {
	b.close()
	b.known = false
	b.bolt3 = cluster.UnknownGeneration
	b.refused = nil
}

// close ends the connection, if there is one, with GOODBYE.
func (b *boltRoles) close() {
	if b.client == nil {
		return
	}
	b.conn.SetDeadline(time.Now().Add(100 * time.Millisecond)) //nolint:errcheck // closed next
	b.client.Close()
	b.client, b.conn = nil, nil
}

// ping finds out whether the member speaks Bolt now, without a login, and in which versions when that is not known.
func (b *boltRoles) ping(ctx context.Context) error {
	if !b.known {
		b.close() // what it was logged on to is to be looked at anew
	}
	if b.client != nil {
		return nil // the query that follows is the ping
	}
	if b.known {
		version, err := b.shake(ctx)
		if err == nil && (version == b.plain || b.plain == 0) {
			b.plain = version
			return nil
		}
		if err != nil && !errors.Is(err, bolt.ErrNoVersion) {
			return err
		}
		b.known = false // another server by now
	}
	versions, err := bolt.Probe(func() (io.ReadWriteCloser, error) { return b.guarded(ctx) })
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return bolt.ErrNoVersion
	}
	b.id, b.plain = identity{versions: versions}, 0
	return nil
}

// shake opens a connection for a handshake alone.
func (b *boltRoles) shake(ctx context.Context) (bolt.Version, error) {
	conn, err := b.guarded(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return bolt.Handshake(conn, b.proposals()...)
}

// proposals are at most the four newest versions of the member.
func (b *boltRoles) proposals() []bolt.Version { return b.id.versions[:min(4, len(b.id.versions))] }

// guarded dials a connection whose life ends with ctx.
func (b *boltRoles) guarded(ctx context.Context) (*guardedConn, error) {
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: &budget{Conn: conn, left: maxAnswers}, release: guard(ctx, conn)}, nil
}

type guardedConn struct {
	net.Conn
	release func()
}

func (g *guardedConn) Close() error {
	g.release()
	return g.Conn.Close()
}

// identify learns the server's name and edition, once a.identity's versions are known: by logging on, or, where that is
// refused, by HELLO alone (5.1+). version is neo4j_version of the discovery document, "" if none.
func (b *boltRoles) identify(ctx context.Context, version string) error {
	if b.known {
		return nil
	}
	switch err := b.login(ctx); {
	case err == nil:
		b.id.agent = b.client.Server
		b.id.utc = utcByHello(b.client.Hello) || utcByVersion(b.id.agent)
		if err := b.askDetails(ctx); err != nil {
			return err
		}
	case !isDenied(err):
		return err
	default:
		if b.id.agent, err = b.introduce(ctx); err != nil {
			return err
		}
		if b.id.agent == "" && version != "" {
			b.id.agent = "Neo4j/" + version
		}
		b.id.utc = utcByVersion(b.id.agent)
	}
	b.known = true
	return nil
}

// isRefusal tells whether err is a FAILURE that the member sent.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*bolt.Failure](err)
	return ok
}

// isDenied tells whether the member's reason is who asks: a wrong or missing login, no rights, a password to be changed.
// All such codes are of the class Security (Neo4j status codes); another server's look the same.
func isDenied(err error) bool {
	f, ok := errors.AsType[*bolt.Failure](err)
	return ok && strings.Contains(f.Code, ".Security.")
}

// login opens the connection that checks keep. A refusal of the login itself is remembered, for
// asking again with a wrong password would lock the user out.
func (b *boltRoles) login(ctx context.Context) error {
	if b.client != nil || b.refused != nil {
		return b.refused
	}
	conn, err := b.dial(ctx)
	if err != nil {
		return err
	}
	release := guard(ctx, conn)
	defer release()
	limited := &budget{Conn: conn, left: maxAnswers}
	v, err := bolt.Handshake(limited, b.proposals()...)
	if err != nil {
		conn.Close()
		return err
	}
	client := bolt.NewClient(limited, v)
	if err := client.Logon(bolt.HelloOptions{Agent: agent, UTC: true}, b.auth); err != nil {
		conn.Close()
		if isDenied(err) {
			b.refused = fmt.Errorf("the login was refused: %w", err)
			return b.refused
		}
		return err
	}
	b.client, b.conn = client, limited
	return nil
}

// introduce asks for the server's name without a login; "" before 5.1.
func (b *boltRoles) introduce(ctx context.Context) (string, error) {
	if b.id.versions[0] < bolt.V5_1 {
		return "", nil
	}
	conn, err := b.guarded(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	v, err := bolt.Handshake(conn, b.proposals()...)
	if err != nil || v < bolt.V5_1 {
		return "", err
	}
	client := bolt.NewClient(conn, v)
	if err := client.Introduce(bolt.HelloOptions{Agent: agent}); err != nil && !isRefusal(err) {
		return "", err
	}
	return client.Server, nil
}

// query runs text on the kept connection. After an error that is not the member's refusal the connection is closed.
func (b *boltRoles) query(ctx context.Context, text string, params map[string]any) (*bolt.Result, error) {
	extra := map[string]any{"mode": "r"}
	if b.client.Version >= bolt.V4_0 {
		extra["db"] = "system"
	}
	b.conn.left = maxAnswers
	release := guard(ctx, b.conn.Conn)
	defer release()
	res, err := b.client.Query(text, params, extra)
	if err == nil {
		return res, nil
	}
	if !isRefusal(err) || ctx.Err() != nil {
		b.conn.Close()
		b.client, b.conn = nil, nil
	}
	return nil, fmt.Errorf("%s: %w", text, err)
}

// advertised asks a 5.x server (from 5.6 on) which Bolt address it advertises: under it, SHOW DATABASES names it.
const advertised = "SHOW SETTINGS YIELD name, value WHERE name = 'server.bolt.advertised_address'"

// askDetails learns the edition and the advertised address. What the user of checks may not see stays unknown.
func (b *boltRoles) askDetails(ctx context.Context) error {
	major, _, _ := parseVersion(b.id.agent)
	if major == 0 {
		return nil // not a Neo4j
	}
	b.id.address, _ = b.client.Hello["advertised_address"].(string)
	var err error
	if b.id.edition, err = b.askText(ctx, "CALL dbms.components()", "edition"); err != nil {
		return err
	}
	if b.id.address == "" && major >= 5 && b.id.edition != "community" {
		b.id.address, err = b.askText(ctx, advertised, "value")
	}
	return err
}

// askText returns the first text in a column of text's result; "" when there is none or the member refuses to answer.
func (b *boltRoles) askText(ctx context.Context, text, name string) (string, error) {
	res, err := b.query(ctx, text, nil)
	switch {
	case isRefusal(err):
		return "", nil
	case err != nil:
		return "", err
	}
	get := column(res)
	for _, row := range res.Rows {
		if s, ok := get(row, name).(string); ok && s != "" {
			return s, nil
		}
	}
	return "", nil
}

// ask puts the roles that the member tells over Bolt into a. A refused login is no error, but a.denied. knows says that its
// roles were told over HTTP already, so that only the rest matters. A kept connection that turns out to be closed is
// replaced once.
func (b *boltRoles) ask(ctx context.Context, a *answer, knows bool) error {
	kept := b.client != nil
	err := b.try(ctx, a, knows)
	if err != nil && kept && b.client == nil && ctx.Err() == nil && !isTimeout(err) {
		b.known = false // whoever answers now is looked at anew by the next check
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
	res, err := b.query(ctx, "SHOW DATABASES", nil)
	if err != nil {
		return b.alive(err, a)
	}
	list := hostings(res)
	a.addHostings(list, b.isOwn(list))
	a.evidence = evidenceOf(list, major)
	if b.id.edition == "community" {
		a.evidence = cluster.Standalone
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
	return nil
}

// haBean is the JMX bean of an HA member (HA only; elsewhere the query has no rows).
const haBean = "CALL dbms.queryJmx('org.neo4j:instance=kernel#0,name=High Availability') YIELD attributes RETURN attributes"

func (b *boltRoles) askHA(ctx context.Context, a *answer) error {
	res, err := b.query(ctx, haBean, nil)
	if err != nil || len(res.Rows) == 0 {
		return err
	}
	b.bolt3, a.evidence = cluster.HA, cluster.HA
	attributes, _ := column(res)(res.Rows[0], "attributes").(map[string]any)
	value := func(name string) any {
		attribute, _ := attributes[name].(map[string]any)
		return attribute["value"]
	}
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
	return nil
}
