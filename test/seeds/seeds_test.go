package seeds

import "testing"

func TestRange(t *testing.T) {
	for _, c := range []struct {
		seeds, long string
		from, to    int64
	}{
		{"", "", 0, 23},
		{"", "1", 0, 999},
		{"5", "1", 0, 4},
		{"17-17", "", 17, 17},
		{"100-400", "", 100, 400},
	} {
		t.Setenv("BOLTGATE_SEEDS", c.seeds)
		t.Setenv("BOLTGATE_LONG", c.long)
		if from, to := Range(t, 24); from != c.from || to != c.to {
			t.Errorf("BOLTGATE_SEEDS=%q BOLTGATE_LONG=%q: got %d to %d, want %d to %d", c.seeds, c.long, from, to, c.from, c.to)
		}
	}
}
