package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAReloadWatchesOtherBackups: from the configuration to the event, at the start and after a reload.
func TestAReloadWatchesOtherBackups(t *testing.T) {
	d := newTestDaemon(t)
	put := func(backup string) {
		d.more = "backup: {" + backup + "}\n"
		d.write(d.address)
	}
	put("nightly: {watch: gone/*.backup, every: 26h}")
	d.start()
	if line := d.log.await(t, "backup folder cannot be read"); !strings.Contains(line, "nightly") || !strings.Contains(line, filepath.Join(filepath.Dir(d.file), "gone")) {
		t.Errorf("got %s", line)
	}
	put("weekly: {watch: away/*.backup, every: 200h}")
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	if line := d.log.await(t, "backup folder cannot be read"); !strings.Contains(line, "weekly") {
		t.Errorf("got %s", line)
	}
	d.stop()
	d.end()
}
