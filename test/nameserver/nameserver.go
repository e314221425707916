// Package nameserver is a DNS server on a loopback address, over UDP and TCP, whose zone a test changes as it goes.
package nameserver

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server answers for the records that it was given; every other name does not exist.
type Server struct {
	Address string // host:port

	mu    sync.Mutex
	zone  map[key][]dns.RR
	wrong map[key]func(reply *dns.Msg) // changes an answer; it may make nil of it, for none at all
	asked map[key]int
	byTCP int
}

type key struct {
	name  string
	qtype uint16
}

// Start starts a Server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{zone: map[key][]dns.RR{}, wrong: map[key]func(*dns.Msg){}, asked: map[key]int{}}
	stream, packets := listen(t)
	s.Address = stream.Addr().String()
	for _, server := range []*dns.Server{{Listener: stream, Handler: s.handler(true)}, {PacketConn: packets, Handler: s.handler(false)}} {
		started := make(chan struct{})
		ended := make(chan error, 1)
		server.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			server.Shutdown() //nolint:errcheck // it is over
			<-ended
		})
	}
	return s
}

// listen finds a port that is free for TCP and UDP.
func listen(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	var last error
	for range 20 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", stream.Addr().String())
		if err == nil {
			return stream, packets
		}
		last = err
		stream.Close()
	}
	t.Fatal("no port is free for both TCP and UDP: ", last)
	return nil, nil
}

// Set replaces all records of a name and type by those that are written in a zone file's form, such as
// "db.test. 5 IN A 10.0.0.1".
func (s *Server) Set(name string, qtype uint16, records ...string) {
	var rrs []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(fmt.Sprintf("nameserver: %s: %v", text, err)) // a mistake in the test
		}
		rrs = append(rrs, rr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone[key{dns.CanonicalName(name), qtype}] = rrs
	delete(s.wrong, key{dns.CanonicalName(name), qtype})
}

// Remove takes a name away: it does not exist any more.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.zone {
		if k.name == dns.CanonicalName(name) {
			delete(s.zone, k)
		}
	}
}

// Spoil has spoil change each answer to a question, until Set is called for it. An answer whose Rcode becomes NoAnswer is
// not sent.
func (s *Server) Spoil(name string, qtype uint16, spoil func(reply *dns.Msg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[key{dns.CanonicalName(name), qtype}] = spoil
}

// NoAnswer is the Rcode by which Spoil keeps an answer back.
const NoAnswer = 0xFFF

// Asked tells how often a question came, by both protocols.
func (s *Server) Asked(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key{dns.CanonicalName(name), qtype}]
}

// ByTCP tells how many questions came by TCP.
func (s *Server) ByTCP() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byTCP
}

func (s *Server) handler(tcp bool) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		reply := s.answer(m, tcp)
		if reply.Rcode == NoAnswer {
			return
		}
		if !tcp {
			size := dns.MinMsgSize
			if opt := m.IsEdns0(); opt != nil {
				size = int(opt.UDPSize())
			}
			reply.Truncate(size)
		}
		w.WriteMsg(reply) //nolint:errcheck // the test sees that no answer came
	}
}

func (s *Server) answer(m *dns.Msg, tcp bool) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := new(dns.Msg)
	reply.SetReply(m)
	reply.RecursionAvailable = true
	k := key{dns.CanonicalName(m.Question[0].Name), m.Question[0].Qtype}
	s.asked[k]++
	if tcp {
		s.byTCP++
	}
	reply.Answer = append(reply.Answer, s.zone[k]...)
	if len(reply.Answer) == 0 && !s.exists(k.name) {
		reply.Rcode = dns.RcodeNameError
	}
	if spoil := s.wrong[k]; spoil != nil {
		spoil(reply)
	}
	return reply
}

func (s *Server) exists(name string) bool {
	for k, records := range s.zone {
		if k.name == name && len(records) > 0 {
			return true
		}
	}
	return false
}
