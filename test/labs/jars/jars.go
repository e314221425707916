// Package jars brings Java programs onto the machine for tests: it copies a set of Maven artifacts with all their dependencies into a
// cache folder, once, and holds every jar to a committed list of SHA-256 sums each time the set is used. It also finds a JDK that fits.
//
// This file owns the cache folder and the download; hashes.go owns the sums, jdk.go the search for a JDK.
package jars

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// dependencyPlugin is pinned so that the same artifacts are chosen on every machine.
const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// downloadTimeout bounds one run of Maven. A set of 120 MB took about a minute from an empty cache.
const downloadTimeout = 10 * time.Minute

// Set is a program made of Maven artifacts.
type Set struct {
	Name        string   // folder below Cache, and what errors call it
	Coordinates []string // each group:artifact:version, copied with all its runtime dependencies
	Hashes      string   // the committed sums in the format of sha256sum, see HashList
}

// Cache returns the folder that holds every download: $BOLTGATE_LABS, or boltgate-labs in the user's cache folder. It is created when missing.
func Cache() (string, error) {
	dir := os.Getenv("BOLTGATE_LABS")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("jars: no cache folder, set BOLTGATE_LABS to one: %w", err)
		}
		dir = filepath.Join(base, "boltgate-labs")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("jars: cannot create the cache folder: %w", err)
	}
	return filepath.Abs(dir)
}

// Present reports whether the set lies in the cache, so that Maven is not needed for it.
func (s Set) Present() bool {
	cache, err := Cache()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(cache, s.Name, "lib"))
	return err == nil
}

// Fetch returns the folder that holds the set's jars, downloading them when they are not in the cache. Every jar is checked against
// Hashes; a jar that differs, is missing or is not in the list is an error that names it. Processes that fetch at the same time wait for each other.
func (s Set) Fetch(ctx context.Context) (lib string, err error) {
	lib, err = s.FetchUnchecked(ctx)
	if err != nil {
		return "", err
	}
	if err := verify(lib, s.Hashes); err != nil {
		return "", fmt.Errorf("jars: %s: %w\n(in %s; remove that folder to download it again)", s.Name, err, lib)
	}
	return lib, nil
}

// FetchUnchecked is Fetch without the check: it serves to write the list of sums in the first place.
func (s Set) FetchUnchecked(ctx context.Context) (lib string, err error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	unlock, err := Lock(filepath.Join(cache, s.Name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	lib = filepath.Join(cache, s.Name, "lib")
	if _, err := os.Stat(lib); err == nil {
		return lib, nil
	}
	return lib, s.download(ctx, cache, lib)
}

// download runs Maven into a folder beside lib and renames it, so that a half copied set is never taken for a whole one.
func (s Set) download(ctx context.Context, cache, lib string) error {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	dir := filepath.Dir(lib)
	partial := lib + ".partial"
	if err := errors.Join(os.RemoveAll(partial), os.MkdirAll(dir, 0o755)); err != nil {
		return fmt.Errorf("jars: %s: %w", s.Name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(s.pom()), 0o644); err != nil {
		return fmt.Errorf("jars: %s: %w", s.Name, err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-Dmaven.repo.local="+filepath.Join(cache, "m2"),
		dependencyPlugin, "-DincludeScope=runtime", "-DoutputDirectory="+partial)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("jars: Maven could not copy %s: %w\n%s", s.Name, err, bytes.TrimSpace(out))
	}
	if err := os.Rename(partial, lib); err != nil {
		return fmt.Errorf("jars: %s: %w", s.Name, err)
	}
	return nil
}

func (s Set) pom() string {
	var b strings.Builder
	b.WriteString("<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n" +
		"  <groupId>boltgate.test</groupId>\n  <artifactId>lab</artifactId>\n  <version>1</version>\n  <packaging>pom</packaging>\n  <dependencies>\n")
	for _, c := range s.Coordinates {
		part := strings.SplitN(c, ":", 3)
		fmt.Fprintf(&b, "    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", part[0], part[1], part[2])
	}
	b.WriteString("  </dependencies>\n</project>\n")
	return b.String()
}

// Lock takes an exclusive lock on a file, waiting for whoever holds it, and returns what gives it back. It ends with the process too.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("jars: lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("jars: cannot lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
