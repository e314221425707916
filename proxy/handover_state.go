package proxy

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/netio"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what is passed of a client and of a login, format 1. Whoever changes what stands here, or what it means, makes it
// another format: the other process refuses what it does not know to the letter, and then the client stays where it is.

// passedClient is an idle client between two units of work.
type passedClient struct {
	Front  string
	Local  string      // the address that the client used
	Remote string      // where it came from
	By     int64       // UnixNano: when its next bytes have to be there; 0: no limit
	Bolt   *passedBolt `json:",omitempty"`
	HTTP   *passedHTTP `json:",omitempty"`
}

// passedBolt is a Bolt session that is logged on. Texts that the client wrote are bytes: they may be no UTF-8.
type passedBolt struct {
	ID       string
	Version  uint16
	UTC      bool
	Failed   bool // it is to RESET
	Address  []byte
	Routed   bool
	Agent    []byte
	Notify   []byte
	NotifyN  int
	Auth     []byte // bolt.Auth.Encoded; secret
	Asks     bool   // members accepted it, so that they may be asked in its name
	GateUser *passedUser
	Seen     *passedMarks
	Database []byte
}

// passedUser is a gate user, by what shows whether the other process has the same one. Sum is that of the password with Key, which no
// other process uses.
type passedUser struct {
	Name     []byte
	ReadOnly bool
	Key, Sum []byte // secret
}

// passedHTTP is an HTTP connection between two requests.
type passedHTTP struct {
	Posted   bool
	Requests uint64
	Database []byte
}

// passedMarks are marks.
type passedMarks struct {
	List  []passedMark
	Wrote int64
	Loose int64
}

type passedMark struct {
	DB     []byte
	Tx     int64
	At     int64
	Format uint32
}

// passedMemory is one thing that is not of one client.
type passedMemory struct {
	Login       *passedLogin `json:",omitempty"`
	Transaction *passedTx    `json:",omitempty"`
}

// passedTx is an explicit HTTP transaction, which any connection may go on with.
type passedTx struct {
	Member string // its id
	ID     []byte
	Until  int64 // UnixNano
}

// passedLogin is what the gate knows of one credential, by a hash of it whose salt both processes have.
type passedLogin struct {
	Key     []byte // none: of all those that found no place
	Marks   passedMarks
	Home    string
	HomeAt  int64
	Checked int64
}

// passable is what is passed of a client that lies down until by; nil when it cannot be passed, or not now.
func (s *Server) passable(c *client, by time.Time) (syscall.Conn, []byte) {
	p := passedClient{Front: c.front}
	if !by.IsZero() {
		p.By = by.UnixNano()
	}
	if !c.session.describe(&p) {
		return nil, nil
	}
	conn, ok := c.conn.(syscall.Conn)
	if !ok {
		return nil, nil
	}
	state, err := json.Marshal(p)
	if err != nil { // it cannot be: there is nothing in it that JSON does not know
		return nil, nil
	}
	return conn, state
}

// describe is true for a session between two units of work that holds nothing of a member.
func (s *boltSession) describe(p *passedClient) bool {
	if !s.mayPark() || s.pinnedTo != nil || s.identity.Single() || s.state != stateReady && s.state != stateFailed {
		return false
	}
	p.Local, p.Remote = s.local, s.remote
	p.Bolt = &passedBolt{
		ID: s.id, Version: uint16(s.version), UTC: s.utc, Failed: s.state == stateFailed,
		Address: []byte(s.address), Routed: s.routed, Agent: []byte(s.agent), Notify: s.notify, NotifyN: s.notifyN,
		Auth: s.identity.Auth().Encoded(), Asks: s.srv.logins.asks(s.login), GateUser: s.srv.passedUser(s.gateUser), Database: []byte(s.lastDB),
	}
	if s.seen != nil {
		seen := s.seen.pass()
		p.Bolt.Seen = &seen
	}
	return true
}

// passed ends what this process has of a session that lives on in another.
func (s *boltSession) passed() { s.end() }

func (c *httpConn) describe(p *passedClient) bool {
	if c.in != nil || c.w != nil || !c.link.Raw() {
		return false
	}
	p.Local, p.Remote = c.local, c.remote
	p.HTTP = &passedHTTP{Posted: c.posted, Requests: c.requests, Database: []byte(c.lastDB)}
	return true
}

func (c *httpConn) passed() { c.letGo() }

func (s *Server) passedUser(u *gateUser) *passedUser {
	users := s.users.Load()
	if u == nil {
		return nil
	}
	p := &passedUser{Name: []byte(u.name), ReadOnly: u.readOnly}
	if users.has(u) { // else it has changed already, and no other process has it
		p.Key, p.Sum = users.key, u.password[:]
	}
	return p
}

// adoptUser is the gate user of a session that was passed. Where this process has another one of the name, or none, it is one that
// the session's next request finds changed.
func (s *Server) adoptUser(p *passedUser, auth bolt.Auth) *gateUser {
	if p == nil {
		return nil
	}
	users, theirs := s.users.Load(), gateUsers{key: p.Key}
	for _, o := range s.options.Load().Users {
		if o.Name != string(p.Name) || users == nil || users.byName[o.Name] == nil {
			continue
		}
		u, sum := users.byName[o.Name], theirs.sum(o.Password)
		if u.readOnly == p.ReadOnly && u.auth == auth && hmac.Equal(p.Sum, sum[:]) {
			return u
		}
	}
	return &gateUser{name: string(p.Name), readOnly: p.ReadOnly, auth: auth}
}

// adoptBolt makes the session of p on c.
func (s *Server) adoptBolt(f *frontend, c *client, p *passedClient) (session, error) {
	b := p.Bolt
	auth, err := bolt.ParseAuth(b.Auth)
	if err != nil {
		return nil, err
	}
	link, version := netio.New(c.conn), bolt.Version(b.Version)
	if !link.Raw() || !slices.Contains(bolt.Versions[:], version) {
		return nil, fmt.Errorf("proxy: a session of Bolt %v that cannot be taken over", version)
	}
	n := &boltSession{
		srv: s, front: f, client: link, id: b.ID, local: p.Local, remote: p.Remote, in: inbox{link: link}, napping: napping{link: link},
		version: version, utc: b.UTC, state: stateReady, address: string(b.Address), routed: b.Routed, agent: string(b.Agent),
		notify: b.Notify, notifyN: b.NotifyN, gateUser: s.adoptUser(b.GateUser, auth), lastDB: string(b.Database),
	}
	if b.Failed {
		n.state = stateFailed
	}
	n.dialect.Store(uint32(dialectOf(version, b.UTC)))
	n.identity = pool.NewIdentity(n.key(false), auth, n.notifyN)
	n.login, n.account = s.logins.adopt(auth, n.identity, b.Asks), accountOf(n.gateUser, auth)
	n.loggedOn(auth.Principal)
	if b.Seen != nil {
		n.seen = new(marks)
		n.seen.recall(*b.Seen)
	}
	return n, nil
}

func (s *Server) adoptHTTP(f *frontend, c *client, p *passedClient) (session, error) {
	link := netio.New(c.conn)
	if !link.Raw() {
		return nil, errors.New("proxy: an HTTP connection that cannot be taken over")
	}
	h := newHTTPConn(s, f, link, &peer{conn: c.conn, local: p.Local, remote: p.Remote})
	h.client = c
	h.posted, h.requests, h.lastDB = p.HTTP.Posted, p.HTTP.Requests, string(p.HTTP.Database)
	return h, nil
}

// pass is m as it is passed.
func (m *marks) pass() passedMarks {
	p := passedMarks{Wrote: m.wrote.Load(), Loose: m.loose.Load()}
	for _, k := range m.all() {
		p.List = append(p.List, passedMark{k.db[:], k.tx.Load(), k.at.Load(), k.format.Load()})
	}
	return p
}

// recall adds what another process has seen.
func (m *marks) recall(p passedMarks) {
	for _, k := range p.List {
		if len(k.DB) == len(bolt.Position{}.DB) {
			m.raise(bolt.Position{DB: [16]byte(k.DB), Tx: k.Tx}, bolt.BookmarkFormat(k.Format), time.Unix(0, k.At))
		}
	}
	raise(&m.wrote, p.Wrote)
	raise(&m.loose, p.Loose)
}

// strict decodes what the other process wrote, and refuses what is not to the letter of this format.
func strict(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("proxy: what was passed cannot be read: %w", err)
	}
	return nil
}
