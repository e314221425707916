package proxy

import (
	"errors"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns how many connections each client address has at a frontend (frontends[].max_per_address). One that is over the limit is
// served so far that its client is told so, in its own protocol, and then ends. It counts meanwhile: when too many are being
// told, the next ones are closed without a word, so that an address does not get another limit's worth of places by asking.

var (
	errPerAddress = errors.New("proxy: more connections from one address than this frontend allows (max_per_address); please try again when some have ended")
	errFlood      = errors.New("proxy: closed without an answer: more connections from one address over max_per_address than can be told so")
)

const toldAtOnce = 16 // connections over the limit that are told so at once, or as many as the limit

// join counts c as one of the client address that it comes from, for as long as it is one of the server's. over: its client is to be told
// that these are too many. An error: not even that.
func (s *Server) join(f *frontend, c *client, remote string) (over bool, err error) {
	key := addressKey(remote)
	if key == 0 {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.from = key
	now := s.fronts[c.front]
	if now == nil || now.perAddress == nil {
		return false, nil
	}
	now.perAddress[key]++
	n, most := now.perAddress[key], now.settings.Load().MaxPerAddress
	if n <= most {
		return false, nil
	}
	f.stats.refused.Add(1)
	s.counts.turn(errPerAddress)
	if n > most+max(most, toldAtOnce) {
		return false, errFlood
	}
	return true, nil
}

// part takes c, which is one of the server's, from those of its address. The caller holds mu.
func (s *Server) part(c *client) {
	f := s.fronts[c.front]
	if f == nil || f.perAddress == nil || c.from == 0 {
		return
	}
	if f.perAddress[c.from]--; f.perAddress[c.from] <= 0 {
		delete(f.perAddress, c.from)
	}
}

// countAddresses starts to count the connections of a frontend by address, or ends it, as it is set. The caller holds mu.
func (s *Server) countAddresses(f *frontend, set *Frontend) {
	if set.MaxPerAddress == 0 {
		f.perAddress = nil
		return
	}
	if f.perAddress != nil {
		return
	}
	f.perAddress = map[uint64]int{}
	for c := range s.clients {
		if c.front == set.Name && c.from != 0 {
			f.perAddress[c.from]++
		}
	}
}

// refuseConnection ends the log-on of a session that its address has too many of.
func (s *boltSession) refuseConnection() error {
	s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeNoThreads, "boltgate: "+plain(errPerAddress))
	return errPerAddress
}

// refuseConnection answers the first request of such a connection, which ends with it.
func (c *httpConn) refuseConnection() error {
	c.closing = true
	return c.answerFailure(httpFailure{429, codeNoThreads, plain(errPerAddress)})
}
