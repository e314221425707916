package bench

import (
	"errors"
	"testing"
	"time"
)

// host is a machine whose host takes time away during the rounds given, in thousandths.
type host struct {
	takes  []uint64
	rounds int
	rests  time.Duration
	at     steal
}

func (h *host) now() steal { return h.at }

func (h *host) round() (Result, error) {
	taken := h.takes[min(h.rounds, len(h.takes)-1)]
	h.rounds++
	h.at.all += 1000
	h.at.stolen += taken
	return Result{P99: float64(h.rounds)}, nil
}

func (h *host) rest(d time.Duration) error {
	h.rests += d
	return nil
}

func TestRoundsThatTheHostDisturbedAreMadeAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		takes  []uint64
		rounds int
		taken  float64 // of the round that counts
		which  float64
	}{
		{"a quiet round counts", []uint64{10}, 1, 0.010, 1},
		{"a disturbed one does not", []uint64{300, 11, 0}, 3, 0, 3},
		{"on a machine that never rests the least disturbed counts", []uint64{300, 200, 20, 400, 500, 600}, stolenTries, 0.020, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{takes: c.takes}
			r, err := undisturbed(h.round, h.now, h.rest)
			if err != nil || h.rounds != c.rounds || r.Stolen != c.taken || r.P99 != c.which {
				t.Errorf("%d rounds, number %v counts with %v taken (error %v); want %d, %v, %v", h.rounds, r.P99, r.Stolen, err, c.rounds, c.which, c.taken)
			}
			if want := time.Duration(c.rounds-1) * stolenPause; h.rests != want {
				t.Errorf("rested %v, want %v", h.rests, want)
			}
		})
	}
}

func TestARoundThatFailsIsNotMadeAgain(t *testing.T) {
	failed := errors.New("no server")
	h := &host{takes: []uint64{500}}
	if _, err := undisturbed(func() (Result, error) { h.rounds++; return Result{}, failed }, h.now, h.rest); err != failed || h.rounds != 1 {
		t.Errorf("got %v after %d rounds, want %v after 1", err, h.rounds, failed)
	}
}

func TestStealGoesNeverBack(t *testing.T) {
	if got := (steal{stolen: 1, all: 5}).since(steal{stolen: 2, all: 5}); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
}
