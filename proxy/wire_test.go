package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/standin"
)

// This file owns a Bolt client that shows everything: it sends bytes as a test wants them and keeps answers as they came.

type m = map[string]any

// wire is one such connection, after its handshake.
type wire struct {
	t    testing.TB
	conn net.Conn
	v    bolt.Version
	in   bolt.Reader
}

// answer is one message of a server.
type answer struct {
	tag   byte
	value any // metadata, or a record's list
}

func (a answer) meta() m { v, _ := a.value.(map[string]any); return v }

func (a answer) code() string {
	for _, key := range []string{"code", "neo4j_code"} {
		if c, ok := a.meta()[key].(string); ok {
			return c
		}
	}
	return ""
}

// String shows what clients decide on: tags, the keys of metadata, the codes of failures.
func (a answer) String() string {
	switch a.tag {
	case bolt.TagSuccess:
		keys := []string{}
		for k := range a.meta() {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return "SUCCESS(" + strings.Join(keys, " ") + ")"
	case bolt.TagRecord:
		return "RECORD"
	case bolt.TagIgnored:
		return "IGNORED"
	case bolt.TagFailure:
		return "FAILURE(" + a.code() + ")"
	case 0:
		return "CLOSED"
	}
	return fmt.Sprintf("%02x", a.tag)
}

// show joins answers, records in a row as one.
func show(list []answer) string {
	var words []string
	for _, a := range list {
		w := a.String()
		if w == "RECORD" && len(words) > 0 && words[len(words)-1] == w {
			continue
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// wireOn does the handshake on a connection.
func wireOn(t testing.TB, conn net.Conn, v bolt.Version) *wire {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(60 * time.Second)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, v); err != nil {
		t.Fatalf("handshake of %v: %v", v, err)
	}
	return &wire{t: t, conn: conn, v: v, in: bolt.Reader{Source: conn, Limit: 1 << 30}}
}

// wire opens a connection of version v to address; it is not logged on.
func openWire(t testing.TB, address string, v bolt.Version) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return wireOn(t, conn, v)
}

// logged opens one and logs on as the default user.
func loggedWire(t testing.TB, address string, v bolt.Version) *wire {
	t.Helper()
	w := openWire(t, address, v)
	w.logOn(standin.DefaultUser, standin.DefaultPassword)
	return w
}

func (w *wire) logOn(user, password string) {
	w.t.Helper()
	w.send(logonMessages(w.v, user, password)...)
	for range logonMessages(w.v, user, password) {
		if a := w.read(); a.tag != bolt.TagSuccess {
			w.t.Fatalf("log-on as %s: %v %v", user, a, a.value)
		}
	}
}

// send writes the messages in one write.
func (w *wire) send(messages ...[]byte) {
	w.t.Helper()
	if _, err := w.conn.Write(slices.Concat(messages...)); err != nil {
		w.t.Fatalf("sending: %v", err)
	}
}

// read returns the next message; tag 0 when the connection ended.
func (w *wire) read() answer {
	w.t.Helper()
	a, err := w.tryRead()
	if err != nil {
		w.t.Fatalf("reading: %v", err)
	}
	return a
}

func (w *wire) tryRead() (answer, error) {
	msg, err := w.in.ReadMessage()
	var op *net.OpError
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF, errors.As(err, &op) && !op.Timeout():
		return answer{}, nil
	case err != nil:
		return answer{}, err
	}
	if msg.Count == 0 {
		return answer{tag: msg.Tag}, nil
	}
	d := packstream.NewDecoder(msg.Fields)
	return answer{msg.Tag, d.Value()}, d.Err()
}

// answers reads until n summaries came, or the end.
func (w *wire) answers(n int) []answer {
	w.t.Helper()
	var list []answer
	for n > 0 {
		a := w.read()
		list = append(list, a)
		if a.tag == 0 {
			break
		}
		if a.tag != bolt.TagRecord {
			n--
		}
	}
	return list
}

// ask sends the messages, one answer due to each, and returns the answers.
func (w *wire) ask(messages ...[]byte) []answer {
	w.t.Helper()
	w.send(messages...)
	return w.answers(len(messages))
}

// expect is ask with what it should show.
func (w *wire) expect(want string, messages ...[]byte) []answer {
	w.t.Helper()
	list := w.ask(messages...)
	if got := show(list); got != want {
		w.t.Fatalf("got  %s\nwant %s", got, want)
	}
	return list
}

// row runs an auto-commit text and returns its first row by column.
func (w *wire) row(text string, params, extra m) m {
	w.t.Helper()
	list := w.ask(run(w.v, text, params, extra), pull(w.v))
	row, err := firstRow(list)
	if err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return row
}

func firstRow(list []answer) (m, error) {
	row := m{}
	var fields []any
	for _, a := range list {
		switch a.tag {
		case bolt.TagSuccess:
			if f, ok := a.meta()["fields"].([]any); ok {
				fields = f
			}
		case bolt.TagRecord:
			for i, v := range a.value.([]any) {
				if len(row) < len(fields) {
					row[fields[i].(string)] = v
				}
			}
		default:
			return row, fmt.Errorf("%v: %v", a, a.value)
		}
	}
	return row, nil
}

// closed checks that the other side ends the connection.
func (w *wire) closed() {
	w.t.Helper()
	if a := w.read(); a.tag != 0 {
		w.t.Fatalf("got %v, want the connection closed", a)
	}
}

// The messages, as version v has them.

func logonMessages(v bolt.Version, user, password string) [][]byte {
	auth := m{"scheme": "basic", "principal": user, "credentials": password}
	if v < bolt.V3 {
		return [][]byte{bolt.AppendMessage(nil, bolt.TagHello, "test/1", auth)}
	}
	extra := m{"user_agent": "test/1", "bolt_agent": m{"product": "test/1"}}
	if v >= bolt.V5_1 {
		return [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra), bolt.AppendMessage(nil, bolt.TagLogon, auth)}
	}
	for k, val := range auth {
		extra[k] = val
	}
	return [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra)}
}

func run(v bolt.Version, text string, params, extra m) []byte {
	if v < bolt.V3 {
		return bolt.AppendMessage(nil, bolt.TagRun, text, params)
	}
	return bolt.AppendMessage(nil, bolt.TagRun, text, params, extra)
}

func pull(v bolt.Version) []byte { return stream(v, bolt.TagPull, m{"n": -1}) }

func discard(v bolt.Version) []byte { return stream(v, bolt.TagDiscard, m{"n": -1}) }

func stream(v bolt.Version, tag byte, extra m) []byte {
	if v < bolt.V4_0 {
		return bolt.AppendMessage(nil, tag)
	}
	return bolt.AppendMessage(nil, tag, extra)
}

// beginTx, commitTx and rollbackTx are one message from 3 on, and a RUN with its PULL_ALL before.
func beginTx(v bolt.Version, extra m) [][]byte {
	if v < bolt.V3 {
		return [][]byte{run(v, "BEGIN", nil, nil), pull(v)}
	}
	return [][]byte{bolt.AppendMessage(nil, bolt.TagBegin, extra)}
}

func commitTx(v bolt.Version) [][]byte { return endTx(v, "COMMIT", bolt.TagCommit) }

func rollbackTx(v bolt.Version) [][]byte { return endTx(v, "ROLLBACK", bolt.TagRollback) }

func endTx(v bolt.Version, text string, tag byte) [][]byte {
	if v < bolt.V3 {
		return [][]byte{run(v, text, nil, nil), pull(v)}
	}
	return [][]byte{bolt.AppendMessage(nil, tag)}
}

// rechunk encodes the same messages with chunks of at most size bytes.
func rechunk(messages []byte, size int) []byte {
	var out []byte
	for len(messages) > 0 {
		if n := bolt.SkipNoops(messages); n > 0 {
			out, messages = append(out, messages[:n]...), messages[n:]
			continue
		}
		var walk bolt.Walk
		n, done := walk.Next(messages)
		if !done {
			panic("rechunk: not whole messages")
		}
		payload, _ := bolt.Payload(messages[:n], nil)
		for piece := range slices.Chunk(payload, size) {
			out = append(out, byte(len(piece)>>8), byte(len(piece)))
			out = append(out, piece...)
		}
		out = append(out, 0, 0)
		messages = messages[n:]
	}
	return out
}
