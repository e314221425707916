package discovery

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/boltgate/boltgate/test/loopback"
	"github.com/boltgate/boltgate/test/nameserver"
)

// hostsOf are the hosts, with ports where there are any, of an answer, sorted.
func hostsOf(a Answer) string {
	var all []string
	for _, r := range a.Records {
		if r.Port != 0 {
			r.Host += fmt.Sprintf(":%d/%d/%d", r.Port, r.Priority, r.Weight)
		}
		all = append(all, r.Host)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestLookup(t *testing.T) {
	type world struct {
		*testing.T
		*nameserver.Server
	}
	spoil := func(qtype uint16, f func(*dns.Msg)) func(world) {
		return func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 10.0.0.1")
			w.Spoil("db.test.", qtype, f)
		}
	}
	many := func(n int) (records []string) {
		for i := range n {
			records = append(records, fmt.Sprintf("db.test. 5 IN A 10.0.%d.%d", i/250, i%250+1))
		}
		return records
	}
	tests := map[string]struct {
		arrange func(world)
		kind    Kind
		want    string        // hosts
		ttl     time.Duration // of the answer
		err     string        // part of the error; "none": ErrNone
	}{
		"IPv4": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 10.0.0.2", "db.test. 5 IN A 10.0.0.1", "db.test. 5 IN A 10.0.0.1")
		}, Addresses, "10.0.0.1 10.0.0.2", 5 * time.Second, ""},
		"IPv6 where there is no IPv4": {func(w world) { w.Set("db.test.", dns.TypeAAAA, "db.test. 5 IN AAAA fd00::1") }, Addresses, "fd00::1", 5 * time.Second, ""},
		"a host with both is one member": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 10.0.0.1")
			w.Set("db.test.", dns.TypeAAAA, "db.test. 5 IN AAAA fd00::1")
		}, Addresses, "10.0.0.1", 5 * time.Second, ""},
		"IPv6 does not stand in for IPv4 that could not be asked for": {func(w world) {
			w.Set("db.test.", dns.TypeAAAA, "db.test. 5 IN AAAA fd00::1")
			w.Spoil("db.test.", dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
		}, Addresses, "", 0, "SERVFAIL"},
		"the shortest TTL counts, those of aliases too": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 9 IN CNAME x.test.", "x.test. 3 IN CNAME y.test.", "y.test. 30 IN A 10.0.0.1", "y.test. 20 IN A 10.0.0.2")
		}, Addresses, "10.0.0.1 10.0.0.2", 3 * time.Second, ""},
		"records of other names are not ours": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 10.0.0.1", "evil.test. 5 IN A 10.6.6.6", "db.test. 5 IN TXT x")
		}, Addresses, "10.0.0.1", 5 * time.Second, ""},
		"only records of other names": {spoil(dns.TypeA, func(m *dns.Msg) { m.Answer[0].Header().Name = "evil.test." }), Addresses, "", 0, "none"},
		"aliases in a circle": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 9 IN CNAME x.test.", "x.test. 3 IN CNAME db.test.")
		}, Addresses, "", 0, "none"},
		"no such name":      {func(world) {}, Addresses, "", 0, "none"},
		"an empty answer":   {func(w world) { w.Set("db.test.", dns.TypeTXT, "db.test. 5 IN TXT x") }, Addresses, "", 0, "none"},
		"the server fails":  {spoil(dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }), Addresses, "", 0, "SERVFAIL"},
		"the server denies": {spoil(dns.TypeA, func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeRefused, nil }), Addresses, "", 0, "REFUSED"},
		"another question is answered": {spoil(dns.TypeA, func(m *dns.Msg) {
			m.Question[0].Name = "evil.test."
		}), Addresses, "", 0, "another question"},
		"a question comes back": {spoil(dns.TypeA, func(m *dns.Msg) { m.Response = false }), Addresses, "", 0, "another question"},
		"addresses that are none": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 0.0.0.0", "db.test. 5 IN A 224.0.0.1")
		}, Addresses, "", 0, "no usable address"},
		"one address among some that are none": {func(w world) {
			w.Set("db.test.", dns.TypeA, "db.test. 5 IN A 0.0.0.0", "db.test. 5 IN A 10.0.0.1")
		}, Addresses, "10.0.0.1", 5 * time.Second, ""},
		"services": {func(w world) {
			w.Set("db.test.", dns.TypeSRV, "db.test. 7 IN SRV 10 60 7687 A.x.test.", "db.test. 7 IN SRV 20 0 7688 b.x.test.")
		}, Services, "a.x.test:7687/10/60 b.x.test:7688/20/0", 7 * time.Second, ""},
		"a service that is not here": {func(w world) { w.Set("db.test.", dns.TypeSRV, "db.test. 7 IN SRV 0 0 1 .") }, Services, "", 0, "no usable address"},
		"a service without a port":   {func(w world) { w.Set("db.test.", dns.TypeSRV, "db.test. 7 IN SRV 0 0 0 a.test.") }, Services, "", 0, "no usable address"},
		"more than UDP carries": {func(w world) { w.Set("db.test.", dns.TypeA, many(200)...) }, Addresses,
			"200 hosts", 5 * time.Second, ""},
		"more than any cluster has": {func(w world) { w.Set("db.test.", dns.TypeA, many(300)...) }, Addresses, "", 0, "300 records"},
		"cut off even by TCP":       {spoil(dns.TypeA, func(m *dns.Msg) { m.Truncated = true }), Addresses, "", 0, "cut off"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := nameserver.Start(t)
			tt.arrange(world{t, s})
			r := &Resolver{Servers: []string{s.Address}}
			a, err := r.Lookup(t.Context(), Question{"db.test", tt.kind})
			got := hostsOf(a)
			if n := len(a.Records); n > 10 {
				got = fmt.Sprint(n, " hosts")
				if s.ByTCP() == 0 {
					t.Error("it did not come by TCP")
				}
			}
			if got != tt.want || a.TTL != tt.ttl {
				t.Errorf("got %q for %v; want %q for %v", got, a.TTL, tt.want, tt.ttl)
			}
			switch {
			case tt.err == "" && err != nil, tt.err == "none" && !errors.Is(err, ErrNone),
				tt.err != "none" && tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || errors.Is(err, ErrNone)):
				t.Errorf("got error %v; want %q", err, tt.err)
			}
		})
	}
}

func TestAnotherServerIsAskedAndRemembered(t *testing.T) {
	dead, alive := loopback.Reserve(t), nameserver.Start(t)
	alive.Set("db.test.", dns.TypeA, "db.test. 5 IN A 10.0.0.1")
	failing := nameserver.Start(t)
	failing.Spoil("db.test.", dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	failing.Spoil("db.test.", dns.TypeAAAA, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	r := &Resolver{Servers: []string{dead, failing.Address, alive.Address}}
	for range 3 {
		a, err := r.Lookup(t.Context(), Question{"db.test", Addresses})
		if err != nil || hostsOf(a) != "10.0.0.1" {
			t.Fatalf("got %v, %v", a, err)
		}
	}
	if n := failing.Asked("db.test.", dns.TypeA); n != 1 {
		t.Errorf("the server that fails was asked %d times; want 1: the one that answered comes first", n)
	}
}

// TestTheSearchList: a short name is completed as resolv.conf says, and stays the whole name that was found first.
func TestTheSearchList(t *testing.T) {
	s := nameserver.Start(t)
	file := filepath.Join(t.TempDir(), "resolv.conf")
	text := "search a.test b.test\nnameserver 127.0.0.1\noptions ndots:2\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(s.Address, ":")
	r := &Resolver{File: file, port: port}
	look := func() (string, error) {
		a, err := r.Lookup(t.Context(), Question{"db", Addresses})
		return hostsOf(a), err
	}
	s.Set("db.b.test.", dns.TypeA, "db.b.test. 5 IN A 10.0.0.2")
	if got, err := look(); got != "10.0.0.2" || err != nil {
		t.Fatalf("got %q, %v; want what the second domain has", got, err)
	}
	s.Set("db.a.test.", dns.TypeA, "db.a.test. 5 IN A 10.0.0.1")
	if got, err := look(); got != "10.0.0.2" || err != nil {
		t.Errorf("got %q, %v; want the name that was found first", got, err)
	}
	s.Spoil("db.b.test.", dns.TypeA, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	if got, err := look(); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("got %q, %v; want the failure, not another name", got, err)
	}
	s.Remove("db.b.test.")
	s.Set("db.b.test.", dns.TypeA)
	if got, err := look(); got != "10.0.0.1" || err != nil {
		t.Errorf("got %q, %v; want the other name, for the first is gone", got, err)
	}
}

func TestWithoutServersItSaysSo(t *testing.T) {
	r := &Resolver{File: filepath.Join(t.TempDir(), "none")}
	if _, err := r.Lookup(t.Context(), Question{"db", Addresses}); err == nil || !strings.Contains(err.Error(), "no DNS servers are known") {
		t.Errorf("got %v", err)
	}
}

// FuzzAnswers has no answer, however wrong, break anything or make a member without an address.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{"db.test. 5 IN A 10.0.0.1", "db.test. 5 IN SRV 1 2 3 a.test.", "db.test. 5 IN CNAME db.test."} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg).SetQuestion("db.test.", rr.Header().Rrtype)
		m.Answer = append(m.Answer, rr)
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		m := new(dns.Msg)
		if m.Unpack(packed) != nil || len(m.Question) != 1 {
			return
		}
		for _, read := range []func(*dns.Msg) (Answer, error){addresses, services} {
			a, err := read(m)
			if (err == nil) != (len(a.Records) > 0) || a.TTL < 0 {
				t.Fatalf("got %v, %v", a, err)
			}
			for _, r := range a.Records {
				if r.Host == "" || r.Host == "invalid IP" {
					t.Fatalf("got %v", a)
				}
			}
		}
	})
}
