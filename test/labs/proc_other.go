//go:build !linux

package labs

import (
	"os/exec"
	"syscall"
)

// spawn starts cmd in a process group of its own. Here a server outlives tests that are killed.
func spawn(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

// shareNothing is for Linux.
func shareNothing(uintptr) error { return nil }
