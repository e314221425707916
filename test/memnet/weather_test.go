package memnet

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals writes n times and returns how long each byte was on its way.
func arrivals(t *testing.T, seed int64, n int) (at []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		network := New(seed)
		network.Link("c", "s:1").Weather(Weather{Least: time.Millisecond, Most: 20 * time.Millisecond, Split: 50})
		near, far := connect(t, network)
		one := make([]byte, 1)
		for range n {
			start := time.Now()
			near.Write([]byte("ab"))
			for range 2 {
				if _, err := io.ReadFull(far, one); err != nil {
					t.Fatal(err)
				}
				at = append(at, time.Since(start))
			}
		}
	})
	return at
}

func TestWeatherIsTheSameForASeed(t *testing.T) {
	a, b, other := arrivals(t, 1, 50), arrivals(t, 1, 50), arrivals(t, 2, 50)
	split, differs := 0, 0
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("byte %d arrived after %v and %v with one seed", i, a[i], b[i])
		}
		if a[i] < time.Millisecond || a[i] >= 20*time.Millisecond {
			t.Errorf("byte %d arrived after %v; want 1 to 20 ms", i, a[i])
		}
		if i%2 == 1 && a[i] != a[i-1] {
			split++
		}
		if a[i] != other[i] {
			differs++
		}
	}
	if split == 0 || differs == 0 {
		t.Errorf("%d writes came in two pieces, %d bytes at other times with another seed; want some", split, differs)
	}
}

func TestSilenceInOneDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, one := New(1), make([]byte, 1)
		near, far := connect(t, n)
		n.Link("c", "s:1").Silence(false, true)
		near.Write([]byte("a"))
		if _, err := far.Read(one); err != nil || one[0] != 'a' {
			t.Errorf("up: got %q, %v; want it to arrive", one, err)
		}
		far.Write([]byte("b"))
		near.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := near.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("down: got %v; want nothing to arrive", err)
		}
		n.Link("c", "s:1").Silence(false, false)
		near.SetReadDeadline(time.Time{})
		if _, err := near.Read(one); err != nil || one[0] != 'b' {
			t.Errorf("after the silence: got %q, %v", one, err)
		}
	})
}

func TestVanishedConnectionsTellNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, one := New(1), make([]byte, 1)
		near, far := connect(t, n)
		n.Link("c", "s:1").Vanish(time.Minute)
		if _, err := near.Write([]byte("a")); err != nil {
			t.Errorf("writing: %v; want no word of it", err)
		}
		start := time.Now()
		if _, err := far.Read(one); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v; want a reset after a minute", err, time.Since(start))
		}
	})
}

func TestLostBytesAreTakenAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t, New(1))
		near.LoseAfter(3)
		if n, err := near.Write([]byte("12345")); n != 5 || err != nil {
			t.Errorf("wrote %d, %v; want 5, nil", n, err)
		}
		got, err := io.ReadAll(far)
		if string(got) != "123" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v; want 123 and a reset", got, err)
		}
		if _, err := near.Write([]byte("6")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the next write: %v; want a reset", err)
		}
		near, far = connect(t, New(2))
		near.CutPeerAfter(2)
		far.Write([]byte("abc"))
		if got, err = io.ReadAll(near); string(got) != "ab" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v of an answer that is cut; want ab and a reset", got, err)
		}
	})
}
