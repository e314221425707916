package durations

import (
	"testing"
	"time"
)

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", 90 * time.Second: "1m30s", time.Hour: "1h", time.Hour + time.Second: "1h0m1s", 36 * time.Hour: "36h", 1500 * time.Millisecond: "1.5s",
		10 * time.Second: "10s", 100 * time.Minute: "1h40m", 10 * time.Minute: "10m",
	} {
		got := Short(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%v: got %s; want %s", d, got, want)
		}
	}
}
