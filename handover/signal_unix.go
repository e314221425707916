//go:build unix

package handover

import (
	"os"
	"syscall"
)

// Signals ask a running process to start its successor. Where that cannot be had the request is answered with an error.
var Signals = []os.Signal{syscall.SIGUSR2}
