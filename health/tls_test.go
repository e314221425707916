package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// certificate is one that names host, valid at the fake times of tests, and the pool that trusts it.
func certificate(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestChecksOverTLSVerifyEachMembersName(t *testing.T) {
	own, trusted := certificate(t, "s1")
	foreign, _ := certificate(t, "s2")
	for name, c := range map[string]struct {
		shown tls.Certificate
		roles string
	}{
		"its own certificate":    {own, "s1=leader"},
		"somebody's certificate": {foreign, "s1=down"},
	} {
		t.Run(name, func(t *testing.T) {
			f := haMember("s1", "master")
			f.wrap = func(conn net.Conn) net.Conn {
				return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{c.shown}})
			}
			run(t, Options{TLS: &tls.Config{RootCAs: trusted}, Generation: cluster.HA}, []*fakeMember{f}, func(r *rig) {
				r.want(r.after(5*time.Second), "", c.roles)
			})
		})
	}
}
