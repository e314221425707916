package proxy

import (
	"strconv"
	"time"
	"unique"

	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/querystats"
)

// This file owns what an operator sees of clients, and may do to one of them.

// whom says who logged on to a session; sessions of the same user and driver share one.
type whom struct{ user, agent string }

// loggedOn keeps for operators who it is.
func (s *boltSession) loggedOn(user string) {
	if s.gateUser != nil {
		user = s.gateUser.name
	}
	who := unique.Make(whom{user, s.agent})
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
}

func (s *boltSession) loggedOff() {
	s.mu.Lock()
	s.who = unique.Handle[whom]{}
	s.mu.Unlock()
}

// Client is one client connection at one moment.
type Client struct {
	ID       string // of its session, as Bolt drivers are told it
	Frontend string
	Address  string
	Protocol string // such as "bolt 5.4" or "http"; "" while it is not known
	User     string // Bolt, once it is logged on
	Agent    string // the driver, as it says
	State    string // see the constants
	Member   string // that has its unit of work; "" none
	Work     pool.Work
	Query    string // with Member: the normal form of the last text that was sent for it; "" none
}

// The states of a Client.
const (
	ClientIdle        = "idle"
	ClientWorking     = "working"        // a member has its unit of work
	ClientTransaction = "in transaction" // the same, and it is an explicit one
	ClientWaiting     = "waiting"        // for a member, or it is just being served
)

// Clients are all client connections, in no order. It is for operators: it looks at each of them.
func (s *Server) Clients() []Client {
	s.mu.Lock()
	sessions := make(map[*client]session, len(s.clients))
	for c := range s.clients {
		sessions[c] = c.session
	}
	s.mu.Unlock()
	all := make([]Client, 0, len(sessions))
	for c, session := range sessions {
		all = append(all, describe(c, session))
	}
	return all
}

func describe(c *client, on session) Client {
	one := Client{Frontend: c.front, Address: c.address(), State: ClientWaiting}
	switch on := on.(type) {
	case nil:
		return one
	case *boltSession:
		on.show(&one)
	case *httpConn:
		on.show(&one)
	}
	switch {
	case one.Member != "" && one.Work.Explicit:
		one.State = ClientTransaction
	case one.Member != "":
		one.State = ClientWorking
	case on.waits().idle():
		one.State = ClientIdle
	}
	return one
}

func (s *boltSession) show(c *Client) {
	c.ID, c.Address, c.Protocol = s.id, s.remote, "bolt"
	if d := dialect(s.dialect.Load()); d != 0 {
		c.Protocol = "bolt " + d.version().String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.who != (unique.Handle[whom]{}) {
		who := s.who.Value()
		c.User, c.Agent = who.user, who.agent
	}
	if s.lease != nil {
		c.Member, c.Work = s.lease.Member.Name, s.lease.Work()
		c.Query = s.srv.queries.Text(querystats.ID(s.texted.Load()))
	}
}

func (c *httpConn) show(one *Client) {
	one.ID, one.Address, one.Protocol = c.id(), c.remote, "http"
	c.wait.mu.Lock()
	defer c.wait.mu.Unlock()
	if l := c.wait.lease; l != nil {
		one.Member, one.Work = l.Member.Name, l.Work()
		one.Query = c.srv.queries.Text(querystats.ID(c.texted.Load()))
	}
}

func (c *httpConn) id() string { return "boltgate-" + strconv.FormatUint(c.number, 10) }

// Kill closes the connection of the client with this ID, and ends its work; false when there is none. The work of a client that
// is killed ends as that of one that left: what was not committed is rolled back.
func (s *Server) Kill(id string) bool {
	c, on := s.clientOf(id)
	if c == nil {
		return false
	}
	s.log.Debug("client killed by an operator", "frontend", c.front, "client", c.address(), "session", id)
	on.abort() // first: Close waits for what is served from within the wait for the client
	c.conn.Close()
	return true
}

// clientOf finds a client by its session's ID; nil when there is none.
func (s *Server) clientOf(id string) (*client, session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if sessionID(c.session) == id {
			return c, c.session
		}
	}
	return nil, nil
}

func sessionID(on session) string {
	switch on := on.(type) {
	case *boltSession:
		return on.id
	case *httpConn:
		return on.id()
	}
	return ""
}

// Since is how long ago the client's unit of work was given to its member; 0 when it has none.
func (c *Client) Since(now time.Time) time.Duration {
	if c.Member == "" || c.Work.Began.IsZero() {
		return 0
	}
	return now.Sub(c.Work.Began)
}
