package main

// This file owns when our own certificates end, for the metric and the alarm.

import (
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/doctor"
)

// ownCerts knows which files hold our certificates. Safe for concurrent use.
type ownCerts struct {
	files atomic.Pointer[map[string][]string] // by what the certificate is of
}

// follow takes over the files of cfg.
func (o *ownCerts) follow(cfg *configs.Config) {
	files := map[string][]string{}
	for _, f := range cfg.Frontends {
		if len(f.TLS.Cert) > 0 && f.TLS.Mode != "off" {
			files["frontend "+f.Name] = f.TLS.Cert
		}
	}
	if t := cfg.Admin.TLS; len(t.Cert) > 0 && t.Mode != "off" {
		files["admin"] = t.Cert
	}
	o.files.Store(&files)
}

// ends reads the files, as they are now. Of several the first end counts; the zero time says that none can be read.
func (o *ownCerts) ends() map[string]time.Time {
	all := map[string]time.Time{}
	files := o.files.Load()
	if files == nil {
		return all
	}
	for of, names := range *files {
		all[of] = time.Time{}
		for _, name := range names {
			leaf, first := doctor.ReadCert(name), all[of]
			if leaf != nil && (first.IsZero() || leaf.NotAfter.Before(first)) {
				all[of] = leaf.NotAfter
			}
		}
	}
	return all
}
