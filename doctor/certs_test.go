package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boltgate/boltgate/standin"
)

func secured(life time.Duration, names ...string) func(member, protocol string) (net.Listener, error) {
	return with(certificate(life, names...))
}

func with(cert tls.Certificate) func(member, protocol string) (net.Listener, error) {
	return func(string, string) (net.Listener, error) {
		return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	}
}

// certificate makes one that is its own authority.
func certificate(life time.Duration, names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	plan := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			plan.IPAddresses = append(plan.IPAddresses, ip)
		} else {
			plan.DNSNames = append(plan.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, plan, plan, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func trust(cert tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return &tls.Config{RootCAs: pool}
}

func TestCertificatesOfMembers(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		life   time.Duration
		names  []string
		trusts bool
		level  Level
		code   string
	}{
		{"good", 365 * day, []string{"127.0.0.1"}, true, "", ""},
		{"for another name", 365 * day, []string{"neo.example.org"}, true, Error, "tls-name"},
		{"of an authority that nobody knows", 365 * day, []string{"127.0.0.1"}, false, Error, "tls-authority"},
		{"ends in twenty days", 20 * day, []string{"127.0.0.1"}, true, Warning, "certificate-ends"},
		{"ends in three days", 3 * day, []string{"127.0.0.1"}, true, Error, "certificate-ends"},
		{"has ended", -day, []string{"127.0.0.1"}, true, Error, "certificate-ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cert := certificate(c.life, c.names...)
			o := options(start(t, standin.Options{Listen: with(cert)}))
			if o.Health.TLS = trust(cert); !c.trusts {
				o.Health.TLS = trust(certificate(time.Hour, "x"))
			}
			o.Within = 3 * time.Second
			r := Examine(t.Context(), o)
			if c.code != "" {
				wants(t, r, c.level, c.code, "s1")
			} else if len(r.Findings) > 0 {
				t.Errorf("got %+v", r.Findings)
			}
		})
	}
}

func TestCertificatesOfOurOwn(t *testing.T) {
	cert := certificate(20*24*time.Hour, "gate.example.org")
	file := filepath.Join(t.TempDir(), "gate.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(start(t, standin.Options{}))
	o.Certs = []string{file}
	o.Frontends = []Frontend{{Name: "main", Certs: []string{file}, Advertise: []string{"127.0.0.1:7687"}}}
	r := Examine(t.Context(), o)
	if f := wants(t, r, Error, "tls-name", ""); f.Key != "frontends[0].tls.cert" {
		t.Errorf("got %+v", f)
	}
	n := 0
	for _, f := range r.Findings {
		if f.Code == "certificate-ends" && f.Level == Warning {
			n++
		}
	}
	if n != 2 {
		t.Errorf("got %d certificates near their end; want the frontend's and the admin address's", n)
	}
}
