package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns what a session may hold while it is idle, and what a query may allocate. What the whole process may hold
// while much passes through it is in memory_bar_test.go.

// long tells whether tests take the sizes of the real claims (1 GiB at 1 MB/s, for one); BOLTGATE_LONG=1 asks for it.
func long() bool { return os.Getenv("BOLTGATE_LONG") != "" }

func (g *gate) shutdown(t testing.TB) {
	cut, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	g.server.Shutdown(cut) //nolint:errcheck // tests may leave work behind
	_ = t
}

// drainMessages reads messages without keeping them until n summaries came, and returns how many bytes records had.
func drainMessages(r io.Reader, n int) (records int64, err error) {
	buf := make([]byte, 64<<10)
	end := 0
	var walk bolt.Walk
	record := false
	for n > 0 {
		got, err := r.Read(buf[end:])
		if err != nil {
			return records, err
		}
		end += got
		pos := 0
		for n > 0 {
			if !walk.Midway() {
				pos += bolt.SkipNoops(buf[pos:end])
				tag, _, ok, err := bolt.PeekTag(buf[pos:end])
				if err != nil {
					return records, err
				}
				if !ok {
					break
				}
				record = tag == bolt.TagRecord
			}
			k, done := walk.Next(buf[pos:end])
			pos += k
			if record {
				records += int64(k)
			} else if done {
				n--
			}
			if !done {
				break
			}
		}
		end = copy(buf, buf[pos:end])
	}
	return records, nil
}

// writeParams writes a RUN with a parameter of size bytes, a piece at a time.
func writeParams(w io.Writer, size int) error {
	head := []byte{0xB3, bolt.TagRun, 0x86, 'C', 'R', 'E', 'A', 'T', 'E', 0xA1, 0x81, 'p', 0xD2, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[len(head)-4:], uint32(size))
	if _, err := w.Write(append([]byte{0, byte(len(head))}, head...)); err != nil {
		return err
	}
	chunk := make([]byte, 2+len(manyBytes))
	for left := size; left > 0; {
		n := min(left, len(manyBytes))
		binary.BigEndian.PutUint16(chunk, uint16(n))
		if _, err := w.Write(chunk[:2+n]); err != nil {
			return err
		}
		left -= n
	}
	_, err := w.Write([]byte{0, 1, 0xA0, 0, 0})
	return err
}

// TestTwoFullBuffersDoNotWaitForEachOther: a client that writes 64 MiB of parameters before it reads the result that it
// asked for, whatever the result's length: the last of it may be stuck at any place.
func TestTwoFullBuffersDoNotWaitForEachOther(t *testing.T) {
	lengths := []int{1 << 20, 3 << 20, 5 << 20, 64 << 20}
	for n := 5 << 20; n < 9<<20 && !testing.Short(); n += 300 << 10 {
		lengths = append(lengths, n)
	}
	for _, secure := range []bool{false, true} {
		for _, n := range lengths {
			t.Run(fmt.Sprintf("%d KiB tls=%v", n>>10, secure), func(t *testing.T) {
				g, _ := startQuick(t, func(f *Frontend) { f.TLS = testTLS(t) })
				conn := dialTCP(t, g.address)
				if secure {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's own certificate
				}
				w := wireOn(t, conn, bolt.V5_8)
				conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // shows in use
				w.logOn("a", "b")
				w.ask(beginTx(w.v, nil)...)
				w.send(run(w.v, fmt.Sprintf("RESULT %d %d", n/1000, 1000), nil, nil), pull(w.v))
				time.Sleep(5 * time.Millisecond)
				if err := writeParams(conn, 64<<20); err != nil {
					t.Fatalf("writing: %v", err)
				}
				w.send(pull(w.v), commitTx(w.v)[0])
				if _, err := drainMessages(conn, 5); err != nil {
					t.Fatalf("reading: %v", err)
				}
			})
		}
	}
}

// TestAnIdleSessionHoldsNoBuffer looks at a session after each kind of work.
func TestAnIdleSessionHoldsNoBuffer(t *testing.T) {
	g, _ := startQuick(t, nil)
	w := openWire(t, g.address, bolt.V5_8)
	w.logOn("a", "b")
	session := g.onlySession(t)
	for name, work := range map[string][][][]byte{
		"auto-commit":                     {auto(w.v, oneRow)},
		"RUN and PULL apart":              {{run(w.v, oneRow, nil, nil)}, {pull(w.v)}},
		"transaction":                     {beginTx(w.v, nil), auto(w.v, oneRow), commitTx(w.v)},
		"pipelined transaction":           {join(beginTx(w.v, nil), auto(w.v, oneRow), commitTx(w.v))},
		"transaction with a large record": {beginTx(w.v, nil), auto(w.v, "RESULT 1 1000000"), rollbackTx(w.v)},
		"RESET":                           {{bolt.Reset}},
	} {
		for _, step := range work {
			w.send(step...)
			if _, err := drainMessages(w.conn, len(step)); err != nil {
				t.Fatal(err)
			}
		}
		for deadline := time.Now().Add(5 * time.Second); !session.idle(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the session is not idle", name)
			}
		}
		session.mu.Lock() // pairs with what the session did before it waited
		if session.in.buf != nil || session.answers.buf != nil || session.in.pinned {
			t.Errorf("%s: the idle session holds %d bytes of its client and %d of a member (pinned %v)", name, len(session.in.buf), len(session.answers.buf), session.in.pinned)
		}
		session.mu.Unlock()
	}
}

// allocsPerUnit is what the whole process allocates for a unit of work: the client and the member of this package allocate
// nothing. Each step is sent when the answers to the one before are there.
func allocsPerUnit(t *testing.T, address string, n int, steps ...[][]byte) float64 {
	t.Helper()
	w := openWire(t, address, bolt.V5_8)
	w.logOn("a", "b")
	var requests [][]byte
	for _, step := range steps {
		requests = append(requests, bytes.Join(step, nil))
	}
	buf := make([]byte, 4096)
	unit := func() {
		for i, request := range requests {
			if _, err := w.conn.Write(request); err != nil {
				t.Fatal(err)
			}
			want := 0
			for _, message := range steps[i] {
				want += len(answerTo(message[3], 0, 0).after)
			}
			if _, err := io.ReadFull(w.conn, buf[:want]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 1000 {
		unit()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		unit()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

func TestAUnitOfWorkAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	g, _ := startQuick(t, nil)
	v := bolt.V5_8
	for name, steps := range map[string][][][]byte{
		"declared read":             {{run(v, "MATCH (n) RETURN n", nil, m{"mode": "r"}), pull(v)}},
		"read that we judged":       {{run(v, "MATCH (n) RETURN n", nil, m{"mode": "w"}), pull(v)}},
		"write":                     {{run(v, "CREATE (n)", nil, nil), pull(v)}},
		"write that names database": {{run(v, "CREATE (n)", nil, m{"db": "neo4j"}), pull(v)}},
		"transaction":               {beginTx(v, nil), {run(v, "CREATE (n)", nil, nil), pull(v)}, commitTx(v)},
	} {
		if got := allocsPerUnit(t, g.address, 5000, steps...); got > 0.1 {
			t.Errorf("%s: %.3f allocations a unit of work; want less than 0.1", name, got)
		}
	}
}

func BenchmarkAutoCommit(b *testing.B) {
	g, member := startQuick(b, nil)
	for name, address := range map[string]string{"direct": member.listener.Addr().String(), "gate": g.address} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := openWire(b, address, bolt.V5_8)
			w.logOn("a", "b")
			request := append(run(w.v, "MATCH (n) RETURN n", nil, m{"mode": "r"}), pull(w.v)...)
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
