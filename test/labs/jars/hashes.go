package jars

// This file owns the lists of SHA-256 sums: writing one for a folder, and holding a folder to one.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// HashList returns the sums of every jar in a folder in the format of sha256sum, sorted by name. `sha256sum -c` in that folder accepts it.
func HashList(lib string) (string, error) {
	sums, err := hashFolder(lib)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
	}
	return b.String(), nil
}

// verify returns every difference between a folder and a list, all of them joined.
func verify(lib, list string) error {
	want, err := parseHashes(list)
	if err != nil {
		return err
	}
	got, err := hashFolder(lib)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch got[name] {
		case want[name]:
		case "":
			faults = append(faults, fmt.Errorf("%s is missing", name))
		default:
			faults = append(faults, fmt.Errorf("%s has SHA-256 %s, but the committed list says %s", name, got[name], want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] == "" {
			faults = append(faults, fmt.Errorf("%s is not in the committed list", name))
		}
	}
	return errors.Join(faults...)
}

func parseHashes(list string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(list) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("bad line %q in the committed list of sums", strings.TrimSpace(line))
		}
		sums[name] = sum
	}
	if len(sums) == 0 {
		return nil, errors.New("the committed list of sums is empty")
	}
	return sums, nil
}

func hashFolder(lib string) (map[string]string, error) {
	entries, err := os.ReadDir(lib)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]string, len(entries))
	for _, e := range entries {
		if sums[e.Name()], err = hashFile(filepath.Join(lib, e.Name())); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
