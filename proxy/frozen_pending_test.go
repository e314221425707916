//go:build linux

package proxy

import (
	"io"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file has what frozen members still do to Bolt clients that send much: not for main until it passes.

func TestServerTimeoutBoundsSendingAnOpening(t *testing.T) {
	g, w, f := frozenGate(t, serverLimit)
	f.frozen.Store(true)
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
		t.Run(name, func(t *testing.T) {
			g, w, f := frozenGate(t, 0)
			w.ask(beginTx(w.v, nil)...)
			f.frozen.Store(true)
			writeUntilStuck(t, w.conn, func(out io.Writer) error { return writeParams(out, 64<<20) })
			began := time.Now()
			leave(w.conn)
			leaseEnds(t, g, "quick", began)
		})
	}
}
