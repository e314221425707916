package pool

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// certificate is a server's own, for 127.0.0.1 and "member", and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "member"}, DNSNames: []string{"member"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// onSockets is a member on a loopback port, and pools that reach it.
func onSockets(t testing.TB, server *tls.Config, o Options) (*fakeMember, *cluster.Member, *Set) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if server != nil {
		l = tls.NewListener(l, server)
	}
	f := startMember(t, l, bolt.V5_4)
	s := NewSet(o, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // never fails
	return f, &cluster.Member{Name: "s1", Bolt: l.Addr().String(), HTTP: l.Addr().String()}, s
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestTLSToAMember(t *testing.T) {
	cert, roots := certificate(t)
	ann := user("ann", bolt.V5_4)
	for name, client := range map[string]*tls.Config{
		"the address's host is the name": {RootCAs: roots},
		"a name of its own":              {RootCAs: roots, ServerName: "member"},
	} {
		f, m, s := onSockets(t, &tls.Config{Certificates: []tls.Certificate{cert}}, Options{TLS: client})
		l, err := s.Acquire(t.Context(), m, ann)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l.Release(true)
		if l.Link.Raw() {
			t.Errorf("%s: the connection is not TLS", name)
		}
		eventually(t, name+": the connection is lent again", func() bool { return s.TryAcquire(m, ann) == l }) // but while a sweep looks at it
		l.Release(true)
		f.cut()
		eventually(t, name+": nothing is lent when the member has closed, and nothing is left", func() bool {
			l := s.TryAcquire(m, ann)
			if l != nil {
				l.Release(true)
			}
			return l == nil && s.Stats("s1") == Stats{}
		})
	}
}

func TestTLSThatIsNotToBeTrusted(t *testing.T) {
	cert, roots := certificate(t)
	for name, client := range map[string]*tls.Config{
		"an authority that nobody knows": {},
		"a wrong name":                   {RootCAs: roots, ServerName: "other"},
	} {
		f, m, s := onSockets(t, &tls.Config{Certificates: []tls.Certificate{cert}}, Options{TLS: client})
		_, err := s.Acquire(t.Context(), m, user("ann", bolt.V5_4))
		var v *tls.CertificateVerificationError
		if !errors.Is(err, ErrDial) || !errors.As(err, &v) {
			t.Errorf("%s: got %v; want ErrDial for its certificate", name, err)
		}
		eventually(t, "the connection is closed", func() bool { return f.open() == 0 })
	}
}

func TestTheSweeperSeesClosedSockets(t *testing.T) {
	cert, roots := certificate(t)
	for name, configs := range map[string][2]*tls.Config{
		"plain": {}, "tls": {{Certificates: []tls.Certificate{cert}}, {RootCAs: roots}},
	} {
		f, m, s := onSockets(t, configs[0], Options{TLS: configs[1]})
		for range 2 {
			l, err := s.Acquire(t.Context(), m, user("ann", bolt.V5_4))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Release(true)
		}
		l, err := s.Acquire(t.Context(), m, user("ann", bolt.V5_4))
		if err != nil {
			t.Fatal(err)
		}
		l.Release(true)
		f.cut()
		eventually(t, name+": the idle one is dropped, the two that are lent stay", func() bool { // a look may hold it for a moment
			return s.Stats("s1") == Stats{Open: 2, InFlight: 2}
		})
	}
}

// A relay leaves its last read deadline on the connection; it has long passed when the connection is used again.
func TestADeadlineThatWasLeftDoesNotCount(t *testing.T) {
	_, m, s := onSockets(t, nil, Options{MaxPerMember: 1})
	ann, ben := user("ann", bolt.V5_4), user("ben", bolt.V5_4)
	first, err := s.Acquire(t.Context(), m, ann)
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []struct {
		why  string
		idle time.Duration
		id   *Identity
	}{
		{"it was asked for a RESET", staleAfter + time.Second, ann},
		{"its user was changed", 0, ben},
	} {
		first.Link.Conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // shows in use
		first.Release(true)
		first.pool.mu.Lock()
		first.idleSince = first.idleSince.Add(-next.idle)
		first.pool.mu.Unlock()
		l, err := s.Acquire(t.Context(), m, next.id)
		if err != nil {
			t.Fatal(err)
		}
		if l != first {
			t.Fatalf("a new connection was made where %s", next.why)
		}
	}
	first.Release(true)
}

func TestAGoodbyeIsSaid(t *testing.T) {
	f, m, s := onSockets(t, nil, Options{})
	l, err := s.Acquire(t.Context(), m, user("ann", bolt.V5_4))
	if err != nil {
		t.Fatal(err)
	}
	l.Release(false)
	eventually(t, "the member sees the end", func() bool { return f.open() == 0 })
}

func TestLendingAllocatesNothing(t *testing.T) {
	_, m, s := onSockets(t, nil, Options{})
	ann := user("ann", bolt.V5_4)
	l, err := s.Acquire(context.Background(), m, ann)
	if err != nil {
		t.Fatal(err)
	}
	l.Release(true)
	if n := testing.AllocsPerRun(1000, func() { s.TryAcquire(m, ann).Release(true) }); n != 0 {
		t.Errorf("TryAcquire and Release allocate %v times; want 0", n)
	}
}

func BenchmarkLend(b *testing.B) {
	_, m, s := onSockets(b, nil, Options{})
	ann := user("ann", bolt.V5_4)
	l, err := s.Acquire(context.Background(), m, ann)
	if err != nil {
		b.Fatal(err)
	}
	l.Release(true)
	b.ReportAllocs()
	for b.Loop() {
		s.TryAcquire(m, ann).Release(true)
	}
}
