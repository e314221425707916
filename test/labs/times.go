package labs

// This file owns the record of how long each lab took, for the line that a test run prints at its end.

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

var times struct {
	mu   sync.Mutex
	text []string
}

func recordTime(lab string, took time.Duration) {
	times.mu.Lock()
	defer times.mu.Unlock()
	times.text = append(times.text, fmt.Sprintf("%s %.0fs", lab, took.Seconds()))
}

// Times returns how long each lab of this process took, in the order in which they ended, such as "ha 41s, causal 97s"; "" when none ran. A
// TestMain prints it.
func Times() string {
	times.mu.Lock()
	defer times.mu.Unlock()
	return strings.Join(times.text, ", ")
}
