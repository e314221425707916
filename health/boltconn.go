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

// This file owns a check's Bolt connection and what is learnt before any role: which versions the member speaks, what it
// calls itself, and who it lets in.

// agent is what members see as user_agent of checks.
const agent = "boltgate-check/1"

// maxAnswers bounds what one check reads over Bolt: SHOW DATABASES has some 300 bytes a row.
const maxAnswers = 8 << 20

// boltRoles asks one member over Bolt and keeps its connection between checks. Not safe for concurrent use.
type boltRoles struct {
	dial      func(ctx context.Context) (net.Conn, error)
	auth      bolt.Auth
	members   book
	self      string
	alone     bool // self is the only member
	contested *contested
	learn     bool // somebody wants to know which servers there are

	client  *bolt.Client // logged on and READY; nil without
	conn    *budget      // under client
	id      identity
	probed  bool               // id.versions are those of the server that answers now
	known   bool               // all of id is of the server that answers now
	plain   bolt.Version       // what it answers to a plain proposal of its newest versions; 0 while not asked
	brief   bool               // it does not show where its databases are
	bolt3   cluster.Generation // what a 3.x server turned out to be; UnknownGeneration: not asked, or none of them
	refused error              // the login was refused; kept until forget or retry
	list    time.Time          // when procedures are to be listed; zero: at the check after the next
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
	b.doubt()
	b.bolt3, b.brief = cluster.UnknownGeneration, false
	b.refused = nil
	b.id.listed = nil
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
	if b.probed {
		return b.pingAgain(ctx)
	}
	b.close()
	versions, err := bolt.Probe(func() (io.ReadWriteCloser, error) { return b.guarded(ctx) })
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return bolt.ErrNoVersion
	}
	b.id, b.plain, b.probed, b.known = identity{versions: versions}, 0, true, false
	return nil
}

// pingAgain makes sure that the server that was probed still answers. Where a question follows, that is its answer's task.
func (b *boltRoles) pingAgain(ctx context.Context) error {
	if b.client != nil || !b.known {
		return nil
	}
	version, err := b.shake(ctx)
	switch {
	case err == nil && (version == b.plain || b.plain == 0):
		b.plain = version
		return nil
	case err == nil || errors.Is(err, bolt.ErrNoVersion): // another server by now
		b.doubt()
		return b.ping(ctx)
	}
	return err
}

// doubt makes the next ping look at the server as at a new one.
func (b *boltRoles) doubt() { b.probed, b.known, b.list = false, false, time.Time{} }

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

// identify learns the server's name, edition and advertised address, once its versions are known: by logging on, or, where that is
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
	switch {
	case b.id.address != "" || b.id.edition == "community":
		return nil
	case major >= 5:
		if b.id.address, err = b.askText(ctx, advertised, "value"); err != nil || b.id.address != "" {
			return err
		}
	}
	if b.learn {
		return b.askOwnAddresses(ctx)
	}
	return nil
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
