// Package durations writes durations as people write them in a configuration.
package durations

import (
	"strings"
	"time"
)

// Short is 5m where time.Duration says 5m0s.
func Short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
