// Package seeds says which seeds a seeded test goes through, for all of them alike:
//
//	BOLTGATE_SEEDS=1000     as many, from 0 on
//	BOLTGATE_SEEDS=17-17    from one to another: a failing one once more
//	BOLTGATE_LONG=1         1,000 of them
package seeds

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Range returns the first and the last seed: as many as usual when nobody says otherwise.
func Range(t testing.TB, usual int64) (from, to int64) {
	t.Helper()
	text := os.Getenv("BOLTGATE_SEEDS")
	if text == "" {
		if os.Getenv("BOLTGATE_LONG") != "" {
			usual = 1000
		}
		return 0, usual - 1
	}
	first, last, isRange := strings.Cut(text, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if err == nil && !isRange {
		return 0, from - 1
	}
	to, err2 := strconv.ParseInt(last, 10, 64)
	if err != nil || err2 != nil {
		t.Fatalf("BOLTGATE_SEEDS=%s: want a number of seeds, or FROM-TO", text)
	}
	return from, to
}
