package pool

import "time"

// latency is how long a member took to begin its answers, of late: the mean, in which an answer counts less the older it
// is. When no answer comes it decays, so that a member that was slow once is tried again. The clock is that of the sweeps.
type latency struct {
	mean time.Duration
	at   time.Time // of the last answer
}

const (
	latencyShare = 16               // a new answer's share of the mean is one in so many
	latencyHalf  = 10 * time.Second // in which what is known halves when nothing is heard
)

func (l *latency) note(d time.Duration, now time.Time) {
	if l.mean = l.of(now); l.mean == 0 {
		l.mean = d
	}
	l.mean += (d - l.mean) / latencyShare
	l.at = now
}

// of is the mean as it counts now; 0 while nothing is known.
func (l *latency) of(now time.Time) time.Duration {
	halves := min(now.Sub(l.at)/latencyHalf, 62)
	if halves <= 0 {
		return l.mean
	}
	return l.mean >> halves
}
