package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// This file owns certificates: those that members show, and those that frontends and the admin address will.

// soon and late are how long before its end a certificate is a warning, and an error.
const soon, late = 30 * 24 * time.Hour, 7 * 24 * time.Hour

// seenCert is what a member shows at an address.
type seenCert struct {
	address string
	name    string // that it should bear
	leaf    *x509.Certificate
	err     error // why it does not verify; nil: it does, or need not
}

// lookAtTLS looks at the certificates of a member's addresses, or, where TLS is off, whether they speak nothing else.
func (i *interview) lookAtTLS(ctx context.Context, f *facts) {
	for _, address := range []string{i.member.Bolt, i.member.HTTP} {
		if address == "" {
			continue
		}
		if f.o.Health.TLS == nil && i.status.Up {
			continue
		}
		state, name, err := f.handshake(ctx, address)
		switch {
		case err != nil || len(state.PeerCertificates) == 0:
		case f.o.Health.TLS == nil:
			i.wantsTLS = append(i.wantsTLS, address)
		default:
			i.certs = append(i.certs, seenCert{address, name, state.PeerCertificates[0], f.verify(state.PeerCertificates, name)})
		}
	}
}

// handshake shakes hands without verifying, so that the certificate can be looked at.
func (f *facts) handshake(ctx context.Context, address string) (state tls.ConnectionState, name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	conn, err := f.plain(ctx, address)
	if err != nil {
		return state, "", err
	}
	defer conn.Close()
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // it is verified by verify
	if t := f.o.Health.TLS; t != nil {
		config.Certificates, config.ServerName = t.Certificates, t.ServerName
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	err = secure.HandshakeContext(ctx)
	return secure.ConnectionState(), config.ServerName, err
}

// verify is what checks would say of a certificate.
func (f *facts) verify(chain []*x509.Certificate, name string) error {
	if f.o.Health.TLS.InsecureSkipVerify {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: f.o.Health.TLS.RootCAs, Intermediates: between, CurrentTime: f.now})
	return err
}

// names are those for which a certificate is good.
func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}

// certificates finds fault with what members show.
func certificates(f *facts) (all []Finding) {
	for n, i := range f.members {
		key := memberKey(f, n)
		for _, c := range i.certs {
			all = append(all, judge(c, i.member.Name, key, f.now)...)
		}
		for _, address := range i.wantsTLS {
			all = append(all, Finding{Level: Error, Code: "tls-required", Member: i.member.Name, Key: "cluster.tls.mode",
				What: address + " speaks TLS, and cluster.tls.mode is off", Do: "set cluster.tls.mode: verify, and cluster.tls.ca where an authority of your own signed its certificate"})
		}
	}
	return all
}

// judge finds fault with one certificate.
func judge(c seenCert, member, key string, now time.Time) (all []Finding) {
	var wrongName x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(c.err, &wrongName):
		all = append(all, Finding{Level: Error, Code: "tls-name", Member: member, Key: key, What: fmt.Sprintf("the certificate at %s is for %s, not for %s", c.address, names(c.leaf), c.name),
			Do: "list the member under a name that stands in its certificate, or set cluster.tls.server_name, or have a certificate made that has the name"})
	case errors.As(c.err, &unknown):
		all = append(all, Finding{Level: Error, Code: "tls-authority", Member: member, Key: "cluster.tls.ca", What: fmt.Sprintf("the certificate at %s is signed by %q, who is not trusted", c.address, c.leaf.Issuer),
			Do: "set cluster.tls.ca to the PEM file of that authority"})
	case errors.As(c.err, &invalid) && invalid.Reason == x509.Expired: // below
	case c.err != nil:
		all = append(all, Finding{Level: Error, Code: "tls", Member: member, Key: key, What: fmt.Sprintf("the certificate at %s is not accepted: %v", c.address, c.err), Do: "replace it"})
	}
	return append(all, nearItsEnd(c.leaf, "the certificate at "+c.address, member, key, now)...)
}

func nearItsEnd(c *x509.Certificate, what, member, key string, now time.Time) []Finding {
	left := c.NotAfter.Sub(now)
	f := Finding{Level: Warning, Code: "certificate-ends", Member: member, Key: key, Do: "renew it"}
	switch {
	case now.Before(c.NotBefore):
		f.Level, f.Code, f.What = Error, "certificate-early", fmt.Sprintf("%s is good only from %s on", what, c.NotBefore.Format(time.RFC3339))
		f.Do = "look at the clocks, or at the certificate"
	case left <= 0:
		f.Level, f.Code, f.What = Error, "certificate-ended", fmt.Sprintf("%s ended at %s", what, c.NotAfter.Format(time.RFC3339))
	case left < soon:
		if left < late {
			f.Level = Error
		}
		f.What = fmt.Sprintf("%s ends at %s, in %d days", what, c.NotAfter.Format(time.RFC3339), int(left.Hours()/24))
	default:
		return nil
	}
	return []Finding{f}
}

// ownCertificates finds fault with what clients and operators are shown.
func ownCertificates(f *facts) (all []Finding) {
	for n, front := range f.o.Frontends {
		key := fmt.Sprintf("frontends[%d].tls.cert", n)
		leaves := f.readCerts(front.Certs, key, &all)
		for _, address := range front.Advertise {
			host, _, _ := net.SplitHostPort(address)
			fits := func(leaf *x509.Certificate) bool { return leaf.VerifyHostname(host) == nil }
			if len(leaves) > 0 && !slices.ContainsFunc(leaves, fits) {
				all = append(all, Finding{Level: Error, Code: "tls-name", Key: key,
					What: fmt.Sprintf("the certificate %s is for %s, and frontend %s sends drivers to %s", front.Certs[0], names(leaves[0]), front.Name, host),
					Do:   "advertise a name that stands in the certificate, or have one made that has the name"})
			}
		}
	}
	f.readCerts(f.o.Certs, "admin.tls.cert", &all)
	return all
}

// readCerts reads certificates of ours, and finds fault with those near their end.
func (f *facts) readCerts(files []string, key string, all *[]Finding) (leaves []*x509.Certificate) {
	for _, file := range files {
		if leaf := ReadCert(file); leaf != nil {
			leaves = append(leaves, leaf)
			*all = append(*all, nearItsEnd(leaf, "the certificate "+file, "", key, f.now)...)
		}
	}
	return leaves
}

// ReadCert is the first certificate of a PEM file; nil where there is none, which configs has said.
func ReadCert(file string) *x509.Certificate {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			leaf, _ := x509.ParseCertificate(block.Bytes)
			return leaf
		}
	}
	return nil
}
