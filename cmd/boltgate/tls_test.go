package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// authority signs certificates of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	template := a.template("authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der) //nolint:errcheck // it was just made
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) template(name string) *x509.Certificate {
	a.n++
	var addresses []net.IP
	if ip := net.ParseIP(name); ip != nil {
		addresses = append(addresses, ip)
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: addresses, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.pem and name.key for a host, and returns them.
func (a *authority) issue(name, host string) tls.Certificate {
	a.t.Helper()
	key := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, a.template(host), a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", secret)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client is how somebody who trusts the authority comes in for a host.
func (a *authority) client(host string, own ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: host, Certificates: own}
}

// shake does a handshake between the two; name is whom the server showed, err what the client met.
func shake(server, client *tls.Config) (name string, err error) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		s := tls.Server(far, server)
		if s.Handshake() == nil {
			s.Write([]byte("x")) //nolint:errcheck // the client reads it, or is gone
		}
	}()
	c := tls.Client(near, client)
	if err := c.Handshake(); err != nil {
		return "", err
	}
	_, err = io.ReadFull(c, make([]byte, 1)) // a certificate that was refused shows here
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, err
}

func TestCertificatesByNameAndOfClients(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	a.issue("one", "one.example")
	a.issue("two", "two.example")
	mine, stranger := a.issue("client", "client"), other.issue("client", "client")
	both := configs.FrontendTLS{Mode: "required", Cert: []string{a.file("one.pem"), a.file("two.pem")}, Key: []string{a.file("one.key"), a.file("two.key")}}
	withCA := both
	withCA.ClientCA = a.file("ca.pem")
	unchecked := a.client("unknown.example")
	unchecked.InsecureSkipVerify = true //nolint:gosec // to see which one is shown
	for _, tt := range []struct {
		name   string
		server configs.FrontendTLS
		client *tls.Config
		want   string // "" an error
	}{
		{"the first name", both, a.client("one.example"), "one.example"},
		{"the second name", both, a.client("two.example"), "two.example"},
		{"a name that none has gets the first", both, unchecked, "one.example"},
		{"a client's certificate", withCA, a.client("two.example", mine), "two.example"},
		{"none", withCA, a.client("two.example"), ""},
		{"one of another authority", withCA, a.client("two.example", stranger), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, err := serverTLS(&tt.server)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := shake(server, tt.client); err == nil != (tt.want != "") || err == nil && got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	old := a.client("one.example")
	old.MaxVersion = tls.VersionTLS11
	server, _ := serverTLS(&both)
	if _, err := shake(server, old); err == nil {
		t.Error("TLS 1.1 came in")
	}
}

func TestOfSeveralCertificatesTheFirstEndCountsAndOfNoneThereIsNoEnd(t *testing.T) {
	a := newAuthority(t)
	late := a.cert.NotAfter
	for name, ends := range map[string]time.Time{"late": late, "early": late.Add(-time.Hour)} {
		template := a.template(name)
		template.NotAfter = ends
		der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
		if err != nil {
			t.Fatal(err)
		}
		a.write(name+".pem", "CERTIFICATE", der)
	}
	front := func(name string, certs ...string) configs.Frontend {
		return configs.Frontend{Name: name, TLS: configs.FrontendTLS{Cert: certs}}
	}
	none := a.file("none.pem")
	var certs ownCerts
	if got := certs.ends(); len(got) != 0 {
		t.Errorf("before a configuration is known: got %v", got)
	}
	certs.follow(&configs.Config{Frontends: []configs.Frontend{front("two", a.file("late.pem"), a.file("early.pem")), front("one", none, a.file("late.pem")), front("none", none), front("plain")}})
	want := map[string]time.Time{"frontend two": late.Add(-time.Hour), "frontend one": late, "frontend none": {}}
	if got := certs.ends(); !maps.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("got %v; want %v", got, want)
	}
}

// TestCertificatesAreReadAgain replaces the certificate of a running daemon: by one that does not fit its key, which changes nothing, and
// by a good one. Connections stay.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	a.issue("gate", "gate.example")
	d := newTestDaemon(t)
	secure := loopback.Reserve(t)
	d.frontend = fmt.Sprintf("  - {name: secure, bind: %q, tls: {cert: %q, key: %q, client_ca: %q}}\n", secure, a.file("gate.pem"), a.file("gate.key"), a.file("ca.pem"))
	d.write(d.address)
	d.start()
	d.log.await(t, "role changed")
	mine := a.issue("client", "client")
	serial := func() (*tls.Conn, int64) {
		t.Helper()
		conn, err := tls.Dial("tcp", secure, a.client("gate.example", mine))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	conn, first := serial()
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		t.Fatal(err)
	}
	client := bolt.NewClient(conn, bolt.V5_4)
	if err := client.Logon(bolt.HelloOptions{}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file("gate.pem"), []byte("half of a"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.log.await(t, "cannot be used")
	if _, now := serial(); now != first {
		t.Errorf("a bad file put certificate %d in the place of %d", now, first)
	}
	a.issue("gate", "gate.example")
	d.log.await(t, "have changed, and are in force")
	if _, now := serial(); now == first {
		t.Error("the old certificate is shown")
	}
	if _, err := client.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Errorf("a session from before: %v", err)
	}
	conn2, err := tls.Dial("tcp", secure, a.client("gate.example"))
	if err == nil {
		conn2.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in the read
		_, err = conn2.Read(make([]byte, 1))
		conn2.Close()
	}
	if err == nil {
		t.Error("who has no certificate came in")
	}
	d.stop()
	d.end()
}
