package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// cutChunks appends payload as a message whose chunks have the lengths that size gives.
func cutChunks(dst, payload []byte, size func(left int) int) []byte {
	for len(payload) > 0 {
		n := min(max(size(len(payload)), 1), len(payload), MaxChunk)
		dst = append(append(dst, byte(n>>8), byte(n)), payload[:n]...)
		payload = payload[n:]
	}
	return append(dst, 0, 0)
}

// everyCut calls f with payload in each of the ways that it can be cut into chunks.
func everyCut(payload []byte, f func(message []byte)) {
	for cuts := range 1 << (len(payload) - 1) {
		at := -1
		f(cutChunks(nil, payload, func(left int) int {
			n := 1
			for at++; at < len(payload)-1 && cuts>>at&1 == 0; at++ {
				n++
			}
			return n
		}))
	}
}

// walkAll goes through wire as a relay does, in pieces of the given lengths, and returns the messages it saw.
func walkAll(t *testing.T, wire []byte, piece func() int) (messages [][]byte) {
	t.Helper()
	var walk Walk
	start, seen, have := 0, 0, 0
	for {
		if !walk.Midway() && seen == start {
			skipped := SkipNoops(wire[start:have])
			start, seen = start+skipped, seen+skipped
		}
		n, done := walk.Next(wire[seen:have])
		seen += n
		switch {
		case done:
			payload, _ := Payload(wire[start:seen], nil)
			messages = append(messages, payload)
			start = seen
		case have == len(wire):
			if walk.Midway() || seen != len(wire) {
				t.Fatalf("the walk ends midway at %d of %d bytes", seen, len(wire))
			}
			return messages
		default:
			if have-seen > 1 {
				t.Fatalf("the walk left %d bytes; want at most half a chunk header", have-seen)
			}
			have = min(have+max(piece(), 1), len(wire))
		}
	}
}

func sameMessages(t *testing.T, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d messages; want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("message %d: got %.100x; want %.100x", i, got[i], want[i])
		}
	}
}

func TestAnyCutIntoChunksReadsTheSame(t *testing.T) {
	payload := []byte{0xB1, TagRun, 3, 4, 5, 6}
	everyCut(payload, func(message []byte) {
		for piece := 1; piece <= len(message); piece++ {
			sameMessages(t, walkAll(t, message, func() int { return piece }), payload)
		}
		for seen := range len(message) + 1 {
			tag, fields, ok, err := PeekTag(message[:seen])
			if err != nil || ok && (tag != TagRun || fields != 1) {
				t.Fatalf("PeekTag(%x) = %02x, %d, %v, %v", message[:seen], tag, fields, ok, err)
			}
			if first, second := headBytes(message); ok != (seen >= first && seen >= second) && seen >= 4 {
				t.Fatalf("PeekTag(%x): ok = %v; the tag stands at byte %d", message[:seen], ok, second)
			}
		}
	})
}

// headBytes are how many bytes of a message have to be there for its marker and for its tag.
func headBytes(message []byte) (marker, tag int) {
	if message[1] == 1 {
		return 3, 6
	}
	return 3, 4
}

func TestRandomStreamsReadTheSame(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		payloads, wire := randomWire(r)
		sameMessages(t, walkAll(t, wire, func() int { return r.IntN(1 + r.IntN(2000)) }), payloads...)
		checkReader(t, &Reader{Source: bytes.NewReader(wire)}, payloads)
		checkReader(t, &Reader{Source: &dribble{wire, r}}, payloads)
	}
}

// randomWire is some messages in chunks of any length, with NOOPs before, between and after.
func randomWire(r *rand.Rand) (payloads [][]byte, wire []byte) {
	noops := func() {
		for range r.IntN(4) {
			wire = append(wire, Noop...)
		}
	}
	for range 1 + r.IntN(6) {
		noops()
		p := make([]byte, 2+r.IntN(1<<r.IntN(18)))
		for i := range p {
			p[i] = byte(r.Uint32() >> 8)
		}
		p[0], p[1] = 0xB0|p[0]&3, TagRecord
		payloads = append(payloads, p)
		most := 1 + r.IntN(1<<(1+r.IntN(16)))
		wire = cutChunks(wire, p, func(int) int { return 1 + r.IntN(most) })
	}
	noops()
	return payloads, wire
}

// dribble gives its bytes in pieces of any length.
type dribble struct {
	rest []byte
	r    *rand.Rand
}

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.rest[:min(len(d.rest), 1+d.r.IntN(3000))])
	d.rest = d.rest[n:]
	return n, nil
}

func checkReader(t *testing.T, r *Reader, want [][]byte) {
	t.Helper()
	for i, p := range want {
		m, err := r.ReadMessage()
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if m.Tag != p[1] || m.Count != int(p[0]&15) || !bytes.Equal(m.Fields, p[2:]) {
			t.Fatalf("message %d: got tag %02x, %d fields, %.50x; want %.50x", i, m.Tag, m.Count, m.Fields, p)
		}
	}
	if _, err := r.ReadMessage(); err != io.EOF {
		t.Fatalf("after the last message: %v; want io.EOF", err)
	}
}

func TestReaderByteByByte(t *testing.T) {
	everyCut([]byte{0xB2, TagFailure, 7, 8, 9}, func(message []byte) {
		wire := append(append(append([]byte{}, Noop...), message...), Noop...)
		wire = append(wire, message...)
		want := [][]byte{{0xB2, TagFailure, 7, 8, 9}, {0xB2, TagFailure, 7, 8, 9}}
		checkReader(t, &Reader{Source: iotest.OneByteReader(bytes.NewReader(wire))}, want)
		checkReader(t, &Reader{Source: iotest.DataErrReader(bytes.NewReader(wire))}, want)
	})
}

func TestReaderAtTheEnd(t *testing.T) {
	whole := AppendMessage(nil, TagSuccess, map[string]any{"a": 1})
	for cut := 1; cut < len(whole); cut++ {
		_, err := (&Reader{Source: bytes.NewReader(whole[:cut])}).ReadMessage()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d of %d bytes: %v; want io.ErrUnexpectedEOF", cut, len(whole), err)
		}
	}
	broken := errors.New("broken")
	if _, err := (&Reader{Source: io.MultiReader(bytes.NewReader(whole[:3]), iotest.ErrReader(broken))}).ReadMessage(); !errors.Is(err, broken) {
		t.Errorf("got %v; want the source's error", err)
	}
	if _, err := (&Reader{Source: iotest.ErrReader(nil)}).ReadMessage(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: %v; want io.ErrNoProgress", err)
	}
}

func TestReaderKeepsItsLimit(t *testing.T) {
	for _, limit := range []int{10, 100, 4096, 5000, 70000} {
		fits := AppendChunks(nil, append([]byte{0xB0, TagSuccess}, make([]byte, limit-6-4*(limit/MaxChunk))...))
		fits = fits[:len(fits):len(fits)]
		r := &Reader{Source: bytes.NewReader(append(fits, fits...)), Limit: len(fits)}
		for range 2 {
			if _, err := r.ReadMessage(); err != nil {
				t.Errorf("a message of %d bytes with limit %d: %v", len(fits), r.Limit, err)
			}
		}
		r = &Reader{Source: bytes.NewReader(fits), Limit: len(fits) - 1}
		if _, err := r.ReadMessage(); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a message of %d bytes with limit %d: %v; want ErrMessageTooLarge", len(fits), r.Limit, err)
		}
	}
	endless := &Reader{Source: endless{}, Limit: 1 << 20}
	if _, err := endless.ReadMessage(); !errors.Is(err, ErrMessageTooLarge) {
		t.Errorf("a message without end: %v; want ErrMessageTooLarge", err)
	}
	if len(endless.buf) > 2<<20 {
		t.Errorf("the buffer grew to %d for a limit of %d", len(endless.buf), endless.Limit)
	}
}

// endless is one message of chunks of 0x0101 bytes that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func TestPeekTagRefusesWhatIsNoMessage(t *testing.T) {
	for _, b := range [][]byte{
		{0, 3, 0xA1, 0x70, 0xA0, 0, 0}, // a map
		{0, 1, 0xA1, 0, 1, 0x70, 0, 0}, // the same in two chunks
		{0, 1, 0xB1, 0, 0},             // ends before its tag
		{0, 0},                         // a NOOP
	} {
		if _, _, ok, err := PeekTag(b); ok || err == nil {
			t.Errorf("PeekTag(%x): ok %v, error %v; want an error", b, ok, err)
		}
		if _, err := (&Reader{Source: bytes.NewReader(append(b, Reset...))}).ReadMessage(); err == nil && len(b) > 2 {
			t.Errorf("ReadMessage of %x: no error", b)
		}
	}
}

func TestPayloadOfOneChunkIsBorrowed(t *testing.T) {
	message := AppendMessage(nil, TagRecord, []any{1, 2, 3})
	if n := testing.AllocsPerRun(100, func() { Payload(message, nil) }); n != 0 {
		t.Errorf("Payload of one chunk allocates %v times", n)
	}
	cut := cutChunks(nil, message[2:len(message)-2], func(int) int { return 2 })
	_, scratch := Payload(cut, nil)
	if n := testing.AllocsPerRun(100, func() { _, scratch = Payload(cut, scratch) }); n != 0 {
		t.Errorf("Payload of several chunks allocates %v times though it has room", n)
	}
}

func TestAppendChunksAtTheLimit(t *testing.T) {
	for _, n := range []int{2, MaxChunk - 1, MaxChunk, MaxChunk + 1, 3 * MaxChunk} {
		payload := bytes.Repeat([]byte{0xB0}, n)
		wire := AppendChunks([]byte{1, 2, 3}, payload)
		chunks := (n + MaxChunk - 1) / MaxChunk
		if want := 3 + n + 2*chunks + 2; len(wire) != want {
			t.Errorf("%d bytes: got %d on the wire; want %d", n, len(wire), want)
		}
		sameMessages(t, walkAll(t, wire[3:], func() int { return 1 << 20 }), payload)
	}
}

// FuzzWalk holds that the pieces in which bytes arrive do not change what a Walk sees in them.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{0, 2, 0xB0, 0x70, 0, 0, 0, 0, 0, 1, 0xB0, 0, 1, 0x0F, 0, 0}, uint64(1))
	f.Add([]byte{0, 0, 0, 0}, uint64(2))
	f.Add([]byte{0xFF, 0xFF, 1, 2, 3}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 6))
		if got, want := boundaries(b, func() int { return 1 + r.IntN(5) }), boundaries(b, func() int { return len(b) }); got != want {
			t.Fatalf("%x: in pieces %s; whole %s", b, got, want)
		}
	})
}

// boundaries lists where messages begin and end in b, and what their tags are.
func boundaries(b []byte, piece func() int) string {
	var walk Walk
	var out []byte
	for start, seen, have := 0, 0, 0; ; {
		if !walk.Midway() && seen == start {
			skipped := SkipNoops(b[start:have])
			start, seen = start+skipped, seen+skipped
		}
		n, done := walk.Next(b[seen:have])
		seen += n
		switch {
		case done:
			tag, count, ok, err := PeekTag(b[start:seen])
			payload, _ := Payload(b[start:seen], nil)
			out = fmt.Appendf(out, "[%d,%d) %02x/%d %v %v %x;", start, seen, tag, count, ok, err != nil, payload)
			start = seen
		case have == len(b):
			return string(fmt.Appendf(out, "rest %d midway %v", len(b)-start, walk.Midway()))
		default:
			have = min(have+max(piece(), 1), len(b))
		}
	}
}

// FuzzReader holds that a Reader gives the same for bytes at once and one by one, and never more than it was given.
func FuzzReader(f *testing.F) {
	_, wire := randomWire(rand.New(rand.NewPCG(1, 7)))
	f.Add(wire[:min(len(wire), 300)])
	f.Add([]byte{0, 1, 0xB0, 0, 0})
	f.Add([]byte{0, 0, 0, 3, 0xB1, 0x7F, 0xA0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := &Reader{Source: bytes.NewReader(b), Limit: 1000}
		bytewise := &Reader{Source: iotest.OneByteReader(bytes.NewReader(b)), Limit: 1000}
		for total := 0; ; {
			m, err := whole.ReadMessage()
			n, err2 := bytewise.ReadMessage()
			if m.Tag != n.Tag || m.Count != n.Count || !bytes.Equal(m.Fields, n.Fields) || fmt.Sprint(err) != fmt.Sprint(err2) {
				t.Fatalf("at once: %v %v; byte by byte: %v %v", m, err, n, err2)
			}
			if total += len(m.Fields); err != nil || total > len(b) {
				if total > len(b) {
					t.Fatalf("%d bytes of messages from %d", total, len(b))
				}
				return
			}
		}
	})
}
