package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// This file owns a server that takes another process's place: what it has to know before it serves, and the clients and logins
// that are passed to it.

// Heritage is what a successor's server has to know before it serves its first client.
type Heritage struct {
	Salt   []byte // of the logins' hashes, so that both processes know them by the same; secret
	NextID uint64 // of connections
}

// Heritage is that of this server for its successor. The ids in between are for connections that this server still numbers.
func (s *Server) Heritage() Heritage {
	return Heritage{Salt: s.logins.salt[:], NextID: s.nextID.Load() + 1<<20}
}

// Inherit takes over from the process before; it comes before the first Apply.
func (s *Server) Inherit(h Heritage) error {
	if len(h.Salt) != len(s.logins.salt) {
		return fmt.Errorf("proxy: a salt of %d bytes", len(h.Salt))
	}
	copy(s.logins.salt[:], h.Salt)
	s.nextID.Store(h.NextID)
	return nil
}

// Adopt takes over a client that was passed, with a connection that is the server's on success. The connection must not be read
// before the process before knows: then serve, or forget when it cannot be told.
func (s *Server) Adopt(state []byte, conn net.Conn) (serve, forget func(), err error) {
	var p passedClient
	if err := strict(state, &p); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	f := s.fronts[p.Front]
	s.mu.Unlock()
	if f == nil {
		return nil, nil, fmt.Errorf("proxy: there is no frontend %s", p.Front)
	}
	c := &client{conn: conn, front: p.Front}
	adopt := s.adoptBolt
	if p.HTTP != nil {
		adopt = s.adoptHTTP
	}
	if (p.Bolt == nil) == (p.HTTP == nil) {
		return nil, nil, errors.New("proxy: a client of no protocol, or of two")
	}
	session, err := adopt(f, c, &p)
	if err != nil {
		return nil, nil, err
	}
	s.takePlace(f, c)
	setKeepalive(conn, f.settings.Load().Keepalive)
	forget = func() {
		session.passed()
		s.bury(c)
	}
	if !s.add(c) {
		forget()
		return nil, nil, errors.New("proxy: the server shuts down")
	}
	s.begin(c, session)
	s.join(f, c, p.Remote) //nolint:errcheck // it was served before, and is; the next ones are too many
	var by time.Time
	if p.By != 0 {
		by = time.Unix(0, p.By)
	}
	return func() { s.conns.Go(func() { s.lieDown(c, by) }) }, forget, nil
}

// takePlace counts the client under max_connections. One that finds no place is served all the same: it was, and the next ones wait
// until there are fewer.
func (s *Server) takePlace(f *frontend, c *client) {
	s.mu.Lock()
	open := f.open
	s.mu.Unlock()
	select {
	case open <- struct{}{}:
		c.place = open
	default:
	}
}

// Memory is what a successor has to know that is not of one client: what users have seen, above all, and at the first time which HTTP
// transactions are open, of which this server then hears no more.
func (s *Server) Memory(first bool) iter.Seq[[]byte] {
	all := s.logins.pass(time.Now())
	if first {
		all = append(all, s.open.pass()...)
	}
	return func(yield func([]byte) bool) {
		for _, p := range all {
			if text, err := json.Marshal(p); err == nil && !yield(text) {
				return
			}
		}
	}
}

// Recall adds what the process before has passed of its memory.
func (s *Server) Recall(text []byte) error {
	var p passedMemory
	if err := strict(text, &p); err != nil {
		return err
	}
	if p.Login != nil {
		s.logins.recall(*p.Login)
	}
	if tx := p.Transaction; tx != nil {
		s.open.keep(openTx{tx.Member, string(tx.ID)}, txState{until: time.Unix(0, tx.Until)})
	}
	return nil
}

// pass is those that are open.
func (o *openTxs) pass() (all []passedMemory) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tx, state := range o.known {
		all = append(all, passedMemory{Transaction: &passedTx{tx.member, []byte(tx.id), state.until.UnixNano()}})
	}
	return all
}

// Unknown says that another process served users until now, and what they wrote there will not be known: reads go to members that have
// all that was there.
func (s *Server) Unknown() { s.logins.loosen(time.Now()) }

// asks tells whether members may be asked in the name of a login.
func (l *logins) asks(u *login) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return u.as != nil
}

// adopt is enter for a session that was logged on in another process.
func (l *logins) adopt(auth bolt.Auth, as *pool.Identity, asks bool) *login {
	u, _ := l.enter(auth, as)
	if asks {
		l.mu.Lock()
		defer l.mu.Unlock()
		u.lend(as)
	}
	return u
}

// pass is what is worth passing: logins that wrote, or that were verified, of late.
func (l *logins) pass(now time.Time) (all []passedMemory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add := func(key []byte, u *login) {
		p := passedLogin{Key: key, Marks: u.marks.pass(), Home: u.homeDatabase(now), HomeAt: u.homeAt.Load()}
		if !u.checked.IsZero() && now.Sub(u.checked) < l.remember() {
			p.Checked = u.checked.UnixNano()
		}
		if u.marks.fresh(now) || p.Checked != 0 || len(p.Marks.List) > 0 {
			all = append(all, passedMemory{Login: &p})
		}
	}
	add(nil, l.crowd)
	for key, u := range l.known {
		add(key[:], u)
	}
	return all
}

// recall adds what another process knew of a login.
func (l *logins) recall(p passedLogin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.crowd
	if len(p.Key) == sha256.Size {
		key := [sha256.Size]byte(p.Key)
		if u = l.known[key]; u == nil {
			if u = l.crowd; len(l.known) < maxLogins {
				u = l.newLogin(key)
			}
		}
	}
	u.marks.recall(p.Marks)
	if u.shared {
		return
	}
	if at := time.Unix(0, p.Checked); p.Checked != 0 && at.After(u.checked) && !u.refused {
		u.checked = at
	}
	if p.Home != "" && p.HomeAt > u.homeAt.Load() {
		u.learnHome(p.Home, time.Unix(0, p.HomeAt))
	}
}

// newLogin makes a login known. The caller holds mu.
func (l *logins) newLogin(key [sha256.Size]byte) *login {
	u := &login{key: key}
	if time.Since(l.unknown) < keepMarks {
		u.marks.loosen(l.unknown)
	}
	l.known[key] = u
	return u
}

// loosen makes every login's reads see what was written until a time, also of those that are not known yet.
func (l *logins) loosen(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown = at
	l.crowd.marks.loosen(at)
	for _, u := range l.known {
		u.marks.loosen(at)
	}
}
