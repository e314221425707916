package proxy

import (
	"io"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file holds what it costs that a read carries what its user has seen.

// startMarked starts a gate before a member that answers at once, for a user who has seen a transaction there.
func startMarked(t testing.TB) *gate {
	g, _ := startQuick(t, func(f *Frontend) { f.Causality = CausalityUser })
	v := *g.current.View()
	v.Generation = cluster.Autonomous // of a server alone nothing has to be remembered
	g.current.Publish(&v)
	w := openWire(t, g.address, bolt.V5_8)
	w.logOn("a", "b")
	g.onlyLogin().marks.raise(bolt.Position{DB: [16]byte{1, 2, 3}, Tx: 1234}, bolt.BookmarkFabric, time.Now())
	return g
}

func TestAReadThatCarriesWhatItsUserHasSeenAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	g := startMarked(t)
	v := bolt.V5_8
	for name, extra := range map[string]m{"named": {"db": "neo4j"}, "with bookmarks of its own": {"db": "neo4j", "bookmarks": []any{"FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ"}}} {
		if got := allocsPerUnit(t, g.address, 5000, [][]byte{run(v, "MATCH (n) RETURN n", nil, extra), pull(v)}); got > 0.1 {
			t.Errorf("%s: %.3f allocations a unit of work; want less than 0.1", name, got)
		}
	}
}

// BenchmarkReads has declared reads beside those that were judged, and those that carry a bookmark of ours as well.
func BenchmarkReads(b *testing.B) {
	g := startMarked(b)
	none := func(f *Frontend) { f.Causality = CausalityNone }
	for _, c := range []struct {
		name   string
		extra  m
		change func(*Frontend)
	}{
		{"declared", m{"mode": "r", "db": "neo4j"}, none},
		{"judged", m{"mode": "w", "db": "neo4j"}, none},
		{"carrying", m{"mode": "w", "db": "neo4j"}, func(f *Frontend) { f.Causality = CausalityUser }},
	} {
		b.Run(c.name, func(b *testing.B) {
			g.change(c.change)
			b.ReportAllocs()
			w := openWire(b, g.address, bolt.V5_8)
			w.logOn("a", "b")
			request := append(run(w.v, "MATCH (n) RETURN n", nil, c.extra), pull(w.v)...)
			buf := make([]byte, len(instantRun)+len(instantOne))
			for b.Loop() {
				if _, err := w.conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(w.conn, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCarry is the work itself: what a read has to see is found, added to its request, weighed against what members have,
// and the bookmark of its answer is noted.
func BenchmarkCarry(b *testing.B) {
	g := startMarked(b)
	s := &boltSession{srv: g.server, front: g.server.fronts["main"], version: bolt.V5_8, busy: new(busy), login: g.onlyLogin(), now: time.Now()}
	member := g.current.View().Members[0]
	s.lease = &pool.Lease{Member: member.Member}
	payload := run(s.version, "MATCH (n) RETURN n", nil, m{"db": "neo4j"})
	payload = payload[2 : len(payload)-2]
	o, err := s.parseOpening(bolt.TagRun, payload)
	if err != nil {
		b.Fatal(err)
	}
	bookmark := []byte("FB:kcwQuXcEoWtoTv6cFLFTNkvMIhGQ")
	for _, carries := range []bool{false, true} {
		b.Run(map[bool]string{false: "mode alone", true: "mode and bookmark"}[carries], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u := &s.unit
				u.reset()
				u.intent = routing.Intent{Mode: routing.Read, DB: "neo4j"}
				u.judged, u.moved = true, carries
				if carries {
					if err := s.carry(b.Context(), o); err != nil {
						b.Fatal(err)
					}
					g.server.progress.has(member, u.intent.Marks)
				}
				u.rebuilt = s.appendRebuilt(u.rebuilt[:0], payload, o)
				if carries {
					s.noteEnd(summaryKeys{bookmark: bookmark})
				}
			}
		})
	}
}
