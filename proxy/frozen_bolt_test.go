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
	if want := "FAILURE(" + bolt.CodeCommitFailed + ") IGNORED"; got != want {
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
