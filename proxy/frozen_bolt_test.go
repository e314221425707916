//go:build linux

package proxy

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file has frozen members and Bolt clients that send much to them.

func TestServerTimeoutBoundsSendingAnOpening(t *testing.T) {
	g, w, f := frozenGate(t, serverLimit)
	f.freeze()
	began := time.Now()
	w.send(run(w.v, "CREATE (n {p: $p})", m{"p": make([]byte, largeParam)}, nil), pull(w.v))
	got := show(w.answers(2))
	if want := "FAILURE(" + bolt.CodeLeaderSwitch + ") IGNORED"; got != want { // its end never left: it cannot have been carried out
		t.Errorf("got %s; want %s", got, want)
	}
	if took := time.Since(began); took > noticed {
		t.Errorf("the client was told after %v", took)
	}
	leaseEnds(t, g, "quick", began)
}

func TestAClientLeavesAnUploadToAFrozenMember(t *testing.T) {
	for name, leave := range ways {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, behind another request: %v", name, behind), func(t *testing.T) {
				t.Parallel()
				g, w, f := frozenGate(t, 0)
				w.ask(beginTx(w.v, nil)...)
				f.freeze()
				if behind { // the session is in a long wait when the upload begins
					w.send(auto(w.v, oneRow)...)
					waitFor(t, "the gate has read the request", func() bool { return unread(t, w.conn) == 0 })
					time.Sleep(10 * slow)
				}
				writeUntilStuck(t, w.conn, func(out io.Writer) error { return writeParams(out, 64<<20) })
				began := time.Now()
				leave(w.conn)
				leaseEnds(t, g, "quick", began)
			})
		}
	}
}

func TestHowManyRequestsLeftToTheirEnd(t *testing.T) {
	messages := [][]byte{
		run(bolt.V5_8, "CREATE (n {p: $p})", m{"p": make([]byte, 200<<10)}, nil), // several chunks
		pull(bolt.V5_8),
		bolt.Reset,
	}
	var all []byte
	want := 0
	for _, message := range messages {
		for _, cut := range []int{0, 1, 2, 3, len(message) / 2, len(message) - 2, len(message) - 1} {
			if got := wholeMessages(append(all[:len(all):len(all)], message[:cut]...)); got != want {
				t.Errorf("%d messages and %d of %d bytes: got %d whole ones", want, cut, len(message), got)
			}
		}
		all = append(all, message...)
		want++
		if got := wholeMessages(all); got != want {
			t.Errorf("got %d whole messages; want %d", got, want)
		}
	}
}

// What is told of a unit of work whose requests left to the end of the first ones only.
func TestDoubtEndsWhereNothingLeftToItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name     string
		requests []owed
		explicit bool
		whole    int
		doubt    bool
	}{
		{"a RUN that did not leave to its end", []owed{{tag: bolt.TagRun}, {tag: bolt.TagPull}}, false, 0, false},
		{"a RUN that did, a PULL that did not", []owed{{tag: bolt.TagRun}, {tag: bolt.TagPull}}, false, 1, true},
		{"a COMMIT that did not", []owed{{tag: bolt.TagBegin}, {tag: bolt.TagRun}, {tag: bolt.TagPull}, {tag: bolt.TagCommit, ends: bolt.TagCommit}}, true, 3, false},
		{"a COMMIT that did", []owed{{tag: bolt.TagRun}, {tag: bolt.TagPull}, {tag: bolt.TagCommit, ends: bolt.TagCommit}}, true, 3, true},
		{"a RUN of COMMIT that did not", []owed{{tag: bolt.TagRun, ends: bolt.TagCommit}, {tag: bolt.TagPull, ends: bolt.TagCommit}}, true, 0, false},
		{"a RUN of COMMIT that did, its PULL_ALL did not", []owed{{tag: bolt.TagRun, ends: bolt.TagCommit}, {tag: bolt.TagPull, ends: bolt.TagCommit}}, true, 1, true},
	} {
		s := &boltSession{busy: new(busy), version: bolt.V5_8}
		s.unit.explicit = tt.explicit
		for _, o := range tt.requests {
			s.owed.push(o)
		}
		s.owed.keepFrom(tt.whole)
		if got := s.inDoubt(false); got != tt.doubt {
			t.Errorf("%s: in doubt %v; want %v", tt.name, got, tt.doubt)
		}
		s.owed.rewind()
		if !tt.explicit && !s.inDoubt(false) {
			t.Errorf("%s, sent again as a whole: not in doubt", tt.name)
		}
	}
}
