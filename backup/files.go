package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// This file owns the look into folders.

// settled is how long ago a backup was changed last. What is younger may be half written; so may what says that it is from after now, which would also put
// off the alarm for as long.
const settled = time.Minute

// found is what a look into folders found.
type found struct {
	last    time.Time // when the newest backup was changed last; zero: there is none
	written bool      // there is something that may be being written
}

// newest looks at the files and folders that match pattern. Empty files are no backups, for they are begun and no more. The error is the first
// folder that could not be read; what others hold counts all the same.
func newest(pattern string, now time.Time) (found, error) {
	names, err := match(filepath.Clean(pattern))
	var f found
	for _, name := range names {
		info, gone := os.Stat(name)
		if gone != nil {
			continue
		}
		switch at := info.ModTime(); {
		case at.After(now.Add(-settled)):
			f.written = true
		case info.Mode().IsRegular() && info.Size() == 0:
		case at.After(f.last):
			f.last = at
		}
	}
	return f, err
}

// match is filepath.Glob that says which folder it could not read: taken for an empty one, it would look as if no backup had ever been made.
func match(pattern string) (names []string, err error) {
	dir, last := filepath.Split(pattern)
	dir = filepath.Clean(dir)
	folders, matched := []string{dir}, strings.ContainsAny(dir, `*?[\`)
	if matched {
		folders, err = match(dir)
	}
	for _, folder := range folders {
		entries, failed := os.ReadDir(folder)
		if matched && (errors.Is(failed, fs.ErrNotExist) || errors.Is(failed, syscall.ENOTDIR)) {
			continue // gone since, or a file among the folders
		}
		if err == nil {
			err = failed
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(last, e.Name()); ok { // configs checked the pattern
				names = append(names, filepath.Join(folder, e.Name()))
			}
		}
	}
	return names, err
}
