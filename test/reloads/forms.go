package reloads

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// This file owns the forms between which the configuration alternates: each differs from the one before in frontends, members' weights, a
// member that comes and goes, limits, certificates, log level and pool.

// Put writes form i to the file, and its certificate.
func (w *World) Put(t testing.TB, i int) {
	t.Helper()
	if err := WriteCert(w.certOf(i), w.keyOf(i)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.File, []byte(w.form(i)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certOf is the certificate file of form i: three of them, each with new content whenever it is its turn.
func (w *World) certOf(i int) string { return filepath.Join(w.Dir, fmt.Sprintf("cert%d.pem", i%3)) }

func (w *World) keyOf(i int) string { return filepath.Join(w.Dir, fmt.Sprintf("key%d.pem", i%3)) }

func (w *World) form(i int) string {
	pick := func(of ...string) string { return of[i%len(of)] }
	var b strings.Builder
	fmt.Fprintf(&b, "frontends:\n  - name: main\n    bind: %q\n    max_connections: %s\n    max_per_address: %s\n", w.Main, pick("1000", "2000", "300"), pick("0", "500"))
	fmt.Fprintf(&b, "    tls: {cert: %q, key: %q}\n    routing: {balance: %s}\n", w.certOf(i), w.keyOf(i), pick("round-robin", "least-busy", "random-two"))
	if i%2 == 1 {
		fmt.Fprintf(&b, "  - {name: extra, bind: %q, priority: %d}\n", w.Extra, i%7)
	}
	b.WriteString("cluster:\n  members:\n")
	for n, m := range w.Members {
		if m.Name == w.Optional && i%4 >= 2 {
			continue
		}
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q, weight: %d, max_in_flight: %s}\n", m.Name, m.Bolt, m.HTTP, 1+(i+n)%3, pick("0", "60", "80"))
	}
	fmt.Fprintf(&b, "  check: {user: %s, password: %q, interval: %s}\n", w.User, w.Password, pick("500ms", "1s"))
	fmt.Fprintf(&b, "pool: {max_per_member: %s, idle_timeout: %s}\n", pick("100", "70"), pick("5m", "1m", "2m"))
	fmt.Fprintf(&b, "limits:\n  rate: {user: %s, address: %s, burst: 100000}\n  per_user: {max_in_flight: %s}\n  per_database: {max_in_flight: %s}\n",
		pick("0", "100000/s"), pick("100000/s", "0", "0"), pick("0", "100", "200"), pick("150", "0"))
	fmt.Fprintf(&b, "log: {level: %s, access: %s}\n", pick("info", "debug", "warn"), pick("off", "off", "off", "on"))
	fmt.Fprintf(&b, "admin: {bind: %q}\n", w.Admin)
	return b.String()
}

// WriteCert writes a new certificate of this machine's address that signs itself.
func WriteCert(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "gate"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	// The pair is written in two steps, and a gate may look at it in between: the one in force is another form's.
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}); err != nil {
		return err
	}
	if err := os.WriteFile(key, text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(cert, pemOf(raw), 0o600)
}

func pemOf(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
