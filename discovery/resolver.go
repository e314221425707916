package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Resolver asks DNS servers. The zero Resolver asks those of /etc/resolv.conf, which it reads anew for each look-up. Safe for
// concurrent use.
type Resolver struct {
	Servers []string // host:port each; they are given whole names, without the search list of File
	File    string   // "" means /etc/resolv.conf
	port    string   // of the servers in File; "" means 53. Tests set it

	mu    sync.Mutex
	found map[Question]string // guarded by mu: the whole name that had records; it is asked first from then on
	best  string              // guarded by mu: the server that answered last
}

// Limits of one look-up: an answer that takes longer is none, for the question comes again soon.
const (
	lookupTimeout   = 10 * time.Second // all of it
	exchangeTimeout = 2 * time.Second  // one question to one server
	attempts        = 2                // rounds over the servers
	udpSize         = 1232             // what passes unfragmented anywhere
)

// ErrNone says that the name, or records of its kind, do not exist as far as the servers know.
var ErrNone = errors.New("the name has no such records")

// Lookup asks for the records of q. Errors: ErrNone, or what kept the servers from telling.
func (r *Resolver) Lookup(ctx context.Context, q Question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	config, err := r.config()
	if err != nil {
		return Answer{}, err
	}
	names := config.NameList(q.Name)
	r.mu.Lock()
	last := r.found[q]
	r.mu.Unlock()
	if i := slices.Index(names, last); i > 0 { // one answer must not come from there and the next from elsewhere
		names = slices.Insert(slices.Delete(names, i, i+1), 0, last)
	}
	err = ErrNone
	for _, name := range names {
		a, failure := r.records(ctx, config, name, q.Kind)
		switch {
		case failure == nil:
			r.remember(q, name)
			return a, nil
		case errors.Is(failure, ErrNone):
			continue
		case name == last:
			return Answer{}, failure
		}
		err = failure // what is here may be elsewhere only because this one did not tell
	}
	return Answer{}, err
}

// config is what resolv.conf says, or what the Servers are.
func (r *Resolver) config() (*dns.ClientConfig, error) {
	if len(r.Servers) > 0 {
		return &dns.ClientConfig{Servers: r.Servers}, nil
	}
	file := cmp.Or(r.File, "/etc/resolv.conf")
	config, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("no DNS servers are known (%w)", err)
	}
	if len(config.Servers) == 0 {
		return nil, fmt.Errorf("no DNS servers are known: %s names none", file)
	}
	for i, s := range config.Servers {
		config.Servers[i] = net.JoinHostPort(s, cmp.Or(r.port, config.Port))
	}
	return config, nil
}

func (r *Resolver) remember(q Question, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil {
		r.found = make(map[Question]string)
	}
	r.found[q] = name
}

// records asks for a whole name.
func (r *Resolver) records(ctx context.Context, config *dns.ClientConfig, name string, kind Kind) (Answer, error) {
	if kind == Services {
		reply, err := r.ask(ctx, config, name, dns.TypeSRV)
		if err != nil {
			return Answer{}, err
		}
		return services(reply)
	}
	return r.addresses(ctx, config, name)
}

// addresses asks for both families at once. A host with both is one member, so IPv6 counts only where there is no IPv4: both
// must have been told, lest a lost answer rename every member.
func (r *Resolver) addresses(ctx context.Context, config *dns.ClientConfig, name string) (Answer, error) {
	var old, new Answer
	var oldErr, newErr error
	get := func(qtype uint16, a *Answer, err *error) {
		var reply *dns.Msg
		if reply, *err = r.ask(ctx, config, name, qtype); *err == nil {
			*a, *err = addresses(reply)
		}
	}
	var both sync.WaitGroup
	both.Go(func() { get(dns.TypeA, &old, &oldErr) })
	get(dns.TypeAAAA, &new, &newErr)
	both.Wait()
	if !errors.Is(oldErr, ErrNone) {
		return old, oldErr
	}
	return new, newErr
}

// ask goes through the servers, the one that answered last first, until one answers.
func (r *Resolver) ask(ctx context.Context, config *dns.ClientConfig, name string, qtype uint16) (*dns.Msg, error) {
	r.mu.Lock()
	servers := slices.Clone(config.Servers)
	if i := slices.Index(servers, r.best); i > 0 {
		servers[0], servers[i] = servers[i], servers[0]
	}
	r.mu.Unlock()
	var failures []error
	for range attempts {
		failures = failures[:0]
		for _, server := range servers {
			reply, err := exchange(ctx, server, name, qtype)
			if err == nil {
				r.mu.Lock()
				r.best = server
				r.mu.Unlock()
				return reply, nil
			}
			failures = append(failures, fmt.Errorf("DNS server %s: %w", server, err))
			if ctx.Err() != nil {
				return nil, errors.Join(failures...)
			}
		}
	}
	return nil, errors.Join(failures...)
}

// exchange asks one server by UDP, and by TCP when its answer is too big for that. The reply answers the question: that
// there is no such name is an answer too.
func exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(udpSize, false)
	reply, err := exchangeBy(ctx, "udp", server, m)
	if err == nil && reply.Rcode == dns.RcodeFormatError { // an old server that knows no EDNS
		m.Extra = nil
		reply, err = exchangeBy(ctx, "udp", server, m)
	}
	if err == nil && reply.Truncated {
		reply, err = exchangeBy(ctx, "tcp", server, m)
	}
	switch {
	case err != nil:
		return nil, err
	case reply.Truncated:
		return nil, errors.New("its answer is cut off")
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("it answers %s", dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

func exchangeBy(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: network, Timeout: exchangeTimeout, UDPSize: udpSize}
	reply, _, err := c.ExchangeContext(ctx, m, server)
	switch {
	case err != nil:
		return nil, err
	case !reply.Response || len(reply.Question) != 1 || reply.Question[0].Qtype != m.Question[0].Qtype ||
		dns.CanonicalName(reply.Question[0].Name) != dns.CanonicalName(m.Question[0].Name):
		return nil, errors.New("it answers another question")
	}
	return reply, nil
}
