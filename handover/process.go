package handover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// This file owns what both processes are to each other, whatever the system.

// Program is how this process was started: what a successor is started with.
type Program struct {
	Path string // absolute, and not resolved: it is looked up again when a successor is started, so that it finds a new binary
	Args []string
}

// Self is this process. It has to be asked for before the working directory changes.
func Self() (Program, error) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil || errors.Is(err, exec.ErrDot) {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Program{}, fmt.Errorf("handover: where this program lies: %w", err)
	}
	return Program{Path: path, Args: os.Args[1:]}, nil
}

// Successor is a process that was started to take over. It shares this one's output and ends as it likes: whoever started it
// learns that by Exited.
type Successor struct {
	*Link
	Process *os.Process
	exited  chan struct{}
	err     error // written before exited is closed
}

// Exited is closed when the process has ended; Err says how.
func (s *Successor) Exited() <-chan struct{} { return s.exited }

// Err is how the process ended, once it has.
func (s *Successor) Err() error { return s.err }

// inherited is the environment for a successor: what service managers say to one process alone is not for it.
func inherited(link int) []string {
	var all []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case Environment, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
		default:
			all = append(all, v)
		}
	}
	return append(all, fmt.Sprintf("%s=%d", Environment, link))
}
