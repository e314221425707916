//go:build !unix

package handover

import "os"

// Signals ask a running process to start its successor; this system has none.
var Signals []os.Signal
