package configs

// This file owns the checks of TLS towards clients and operators.

import (
	"crypto/x509"
	"fmt"
)

// serverTLS checks a section tls of ours as a server.
func (c *checker) serverTLS(section string, t *FrontendTLS) {
	if len(t.Cert) != len(t.Key) && len(t.Cert) > 0 && len(t.Key) > 0 {
		c.fault(section+".key", "each certificate needs its key, in the same order (found %d of cert and %d of key)", len(t.Cert), len(t.Key))
	}
	for i := range max(len(t.Cert), len(t.Key)) {
		switch {
		case len(t.Cert) == 0:
			c.fault(section+".key", "a key needs a certificate; give %s.cert", section)
		case len(t.Key) == 0:
			c.fault(section+".cert", "a certificate needs a key; give %s.key", section)
		case i < len(t.Cert) && i < len(t.Key):
			c.pairOfFiles(fmt.Sprintf("%s.cert[%d]", section, i), t.Cert[i], fmt.Sprintf("%s.key[%d]", section, i), t.Key[i])
		}
	}
	switch {
	case t.Mode != "off" && len(t.Cert) == 0 && len(t.Key) == 0:
		c.fault(section+".mode", "%s needs %s.cert and %s.key", t.Mode, section, section)
	case t.Mode == "off" && len(t.Cert) > 0:
		c.warn(section+".mode", "off, so that the certificate has no effect")
	}
	c.clientCA(section, t)
}

// clientCA checks by whom clients' certificates are signed.
func (c *checker) clientCA(section string, t *FrontendTLS) {
	if t.ClientCA == "" {
		return
	}
	if pem := c.read(section+".client_ca", t.ClientCA); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		c.fault(section+".client_ca", "there is no PEM certificate in the file")
	}
	if t.Mode != "required" {
		c.fault(section+".client_ca", "needs %s.mode: required; in plain text clients would come in without a certificate", section)
	}
}
