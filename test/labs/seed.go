package labs

// This file owns the store that the members of a cluster begin with.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// seed returns the folder data/databases of a server that ran alone, kept in the cache. Members that begin with the same store need not copy
// one from each other, which takes a slave and a read replica half a minute.
func (in *install) seed(ctx context.Context) (string, error) {
	kept := filepath.Join(in.cache, "seed")
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	auth, err := in.authFile(ctx)
	if err != nil {
		return "", err
	}
	secret, err := os.ReadFile(auth)
	if err != nil {
		return "", fmt.Errorf("labs: seed: %w", err)
	}
	all, err := layOut(1)
	if err != nil {
		return "", err
	}
	home := filepath.Join(in.cache, "seed-home")
	if err := os.RemoveAll(home); err != nil {
		return "", fmt.Errorf("labs: seed: %w", err)
	}
	m := &Member{Name: "seed", Bolt: loopback(all[0].bolt), HTTP: loopback(all[0].http), Home: home, install: in, kind: Alone,
		password: in.password, console: filepath.Join(in.cache, "seed.log")}
	m.conf = Lab{Kind: Alone, dist: in.distribution}.conf(all, 0, filepath.Join(home, "logs"))
	if err := m.prepare(secret); err != nil {
		return "", err
	}
	if err := m.start(); err != nil {
		return "", err
	}
	defer m.Kill() // nothing is left to end when all went well
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if _, err := m.Await(ctx); err != nil {
		return "", err
	}
	if err := m.Stop(); err != nil {
		return "", err
	}
	databases := filepath.Join(home, "data", "databases")
	if err := errors.Join(os.RemoveAll(filepath.Join(databases, "store_lock")), os.Rename(databases, kept), os.RemoveAll(home)); err != nil {
		return "", fmt.Errorf("labs: seed: %w", err)
	}
	return kept, nil
}
