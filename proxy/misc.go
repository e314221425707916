package proxy

import (
	"net"
	"runtime/debug"
	"time"
)

func stack() string { return string(debug.Stack()) }

// setDeadline sets a deadline d from now, or none for 0.
func setDeadline(conn net.Conn, d time.Duration) {
	t := time.Time{}
	if d > 0 {
		t = time.Now().Add(d)
	}
	conn.SetDeadline(t) //nolint:errcheck // a closed connection shows in its next use
}
