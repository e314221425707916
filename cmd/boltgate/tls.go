package main

// This file owns TLS: certificates towards clients and operators, the verification of theirs and of the members', and that all of it is
// read again when the files change.

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/proxy"
)

// clientTLS is TLS towards clients; nil when the frontend has none.
func clientTLS(c *configs.Frontend) (*tls.Config, error) {
	t, err := serverTLS(&c.TLS)
	if err != nil {
		return nil, fmt.Errorf("frontend %s: tls: %w", c.Name, err)
	}
	return t, nil
}

// serverTLS is TLS as a server; nil when it is off. Of several certificates a client gets the first that fits the name it asks for (SNI)
// and what it can read, else the first.
func serverTLS(c *configs.FrontendTLS) (*tls.Config, error) {
	if len(c.Cert) == 0 || c.Mode == "off" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	for i := range c.Cert {
		cert, err := tls.LoadX509KeyPair(c.Cert[i], c.Key[i])
		if err != nil {
			return nil, err
		}
		t.Certificates = append(t.Certificates, cert)
	}
	if c.ClientCA != "" {
		pool, err := certPool(c.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
		t.ClientCAs, t.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return t, nil
}

func certPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// memberTLS is TLS to members; nil when it is off.
func memberTLS(c configs.ClusterTLS) (*tls.Config, error) {
	if c.Mode == "off" || c.Mode == "" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.Mode == "insecure"}
	if c.CA != "" {
		pool, err := certPool(c.CA)
		if err != nil {
			return nil, fmt.Errorf("cluster.tls.ca: %w", err)
		}
		t.RootCAs = pool
	}
	if c.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("cluster.tls.cert: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// tlsLook is how often the files are looked at.
const tlsLook = 5 * time.Second

// tlsFiles watches the files of a configuration's TLS. Its zero value takes every configuration for a changed one: call inForce first.
type tlsFiles struct {
	seen   [sha256.Size]byte // what was in them when they were put in force
	failed [sha256.Size]byte // what could not be put in force, so that it is said once
}

// filesOf are the files of cfg's TLS.
func filesOf(cfg *configs.Config) (all []string) {
	add := func(t *configs.FrontendTLS) { all = append(append(append(all, t.Cert...), t.Key...), t.ClientCA) }
	for i := range cfg.Frontends {
		add(&cfg.Frontends[i].TLS)
	}
	add(&cfg.Admin.TLS)
	c := &cfg.Cluster.TLS
	return append(all, c.CA, c.Cert, c.Key)
}

// sumOf is a sum over what is in cfg's TLS files. They are small; a look at their times would miss some changes.
func sumOf(cfg *configs.Config) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range filesOf(cfg) {
		if name == "" {
			continue
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(h, "%s %d %v\n", name, len(text), err)
		h.Write(text) //nolint:errcheck // never fails
	}
	h.Sum(sum[:0])
	return sum
}

// inForce notes that what is in the files now was put in force.
func (f *tlsFiles) inForce(cfg *configs.Config) { *f = tlsFiles{seen: sumOf(cfg)} }

// changed tells whether the files hold something else than what is in force, and what was found unusable.
func (f *tlsFiles) changed(cfg *configs.Config) (sum [sha256.Size]byte, changed bool) {
	sum = sumOf(cfg)
	return sum, sum != f.seen && sum != f.failed
}

// renewTLS puts certificates in force whose files have changed. No connection is dropped. A file that cannot be used leaves all as it
// was, and is looked at again when it changes once more.
func (d *daemon) renewTLS() {
	if d.line.heir != nil {
		return // its successor has read them
	}
	sum, changed := d.tlsFiles.changed(d.cfg)
	if !changed {
		return
	}
	members, fronts, err := d.newTLS()
	if err == nil {
		err = d.applyControl(d.cfg)
	}
	if err == nil {
		err = d.server.Apply(d.serverOptions(d.cfg), fronts)
	}
	if err != nil {
		d.tlsFiles.failed = sum
		d.log.Error("the files of TLS have changed and cannot be used; the old ones stay in force", "error", err)
		return
	}
	d.tls, d.tlsFiles = members, tlsFiles{seen: sum}
	d.pools.Apply(poolOptions(d.cfg, members))
	d.setMembers()
	d.log.Info("the files of TLS have changed, and are in force")
}

// newTLS reads the files of the configuration in force.
func (d *daemon) newTLS() (members *tls.Config, fronts []*proxy.Frontend, err error) {
	if members, err = memberTLS(d.cfg.Cluster.TLS); err == nil {
		fronts, err = frontends(d.cfg)
	}
	return members, fronts, err
}
