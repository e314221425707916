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

// newest is the latest modification time of the files and folders that match pattern, the zero time when there are none. Empty files do not count,
// for they are begun and no more, nor does what says that it is from after now: it would put off the alarm for as long. The error
// is the first folder that could not be read; what others hold counts all the same.
func newest(pattern string, now time.Time) (time.Time, error) {
	names, err := match(filepath.Clean(pattern))
	var last time.Time
	for _, name := range names {
		info, gone := os.Stat(name)
		if gone != nil || info.Mode().IsRegular() && info.Size() == 0 {
			continue
		}
		if at := info.ModTime(); at.After(last) && !at.After(now) {
			last = at
		}
	}
	return last, err
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
