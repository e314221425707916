package standin

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

const (
	much   = 256 << 20
	little = 8 << 20 // that may be allocated on the way
)

// allocated runs f and returns how many bytes were allocated meanwhile, freed or not: a bound on the memory that f took.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// loopback is a cluster on real sockets, with a logged-on connection.
func loopback(t *testing.T) (*Cluster, *bolt.Client) {
	t.Helper()
	c, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	client, err := dialClient(c.Members()[0].Bolt, bolt.V5_4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return c, client
}

// dialClient is a logged-on client on a real socket.
func dialClient(address string, v bolt.Version) (*bolt.Client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := bolt.Handshake(conn, v); err != nil {
		return nil, err
	}
	client := bolt.NewClient(conn, v)
	return client, client.Logon(bolt.HelloOptions{}, bolt.Basic(DefaultUser, DefaultPassword))
}

func TestResultsOfAnySizeTakeLittleMemory(t *testing.T) {
	for name, params := range map[string]map[string]any{
		"one row":   {"rows": 1, "bytes": much},
		"many rows": {"rows": much >> 10, "bytes": 1 << 10},
	} {
		_, client := loopback(t)
		text, extra := "MATCH (n) RETURN n", map[string]any{}
		request := bolt.AppendMessage(bolt.AppendMessage(nil, bolt.TagRun, text, params, extra), bolt.TagPull, map[string]any{"n": -1})
		var got int64
		took := allocated(func() {
			if _, err := client.Conn.Write(append(request, bolt.Goodbye...)); err != nil {
				t.Fatal(err)
			}
			got, _ = io.Copy(io.Discard, client.Conn)
		})
		if got < much || took > little {
			t.Errorf("%s: got %d bytes with %d allocated; want %d with at most %d", name, got, took, much, little)
		}
	}
}

func TestParametersOfAnySizeTakeLittleMemory(t *testing.T) {
	_, client := loopback(t)
	p := packstream.AppendString(packstream.AppendStruct(nil, bolt.TagRun, 3), "CREATE (n) RETURN n")
	p = packstream.AppendString(packstream.AppendMap(p, 2), "big")
	p = binary.BigEndian.AppendUint32(append(p, 0xCE), much)
	out := bufio.NewWriter(client.Conn)
	piece := make([]byte, 32<<10)
	took := allocated(func() {
		chunk(out, p)
		for range much / len(piece) {
			chunk(out, piece)
		}
		p = packstream.AppendString(packstream.AppendString(p[:0], "mark"), "behind it")
		chunk(out, packstream.AppendMap(p, 0))
		out.Write([]byte{0, 0})
		out.Write(bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": -1}))
		out.Flush()
		if _, err := client.Success(); err != nil {
			t.Fatal(err)
		}
	})
	m, err := client.Answer()
	d := packstream.NewDecoder(m.Fields)
	row, _ := d.Value().([]any)
	if err != nil || len(row) != 7 || row[6] != "behind it" || took > little {
		t.Errorf("got %v, %v with %d allocated; want at most %d", row, err, took, little)
	}
}

func chunk(w io.Writer, b []byte) {
	w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(b))))
	w.Write(b)
}

func TestManyStatementsTakeLittleMemoryOverHTTP(t *testing.T) {
	c, _ := loopback(t)
	one := `{"statement":"CREATE (n)","parameters":{"text":"` + strings.Repeat("x", 64<<10) + `"}}`
	const count = 200
	body, feed := io.Pipe()
	go func() {
		io.WriteString(feed, `{"statements":[`+one)
		for range count - 1 {
			io.WriteString(feed, ","+one)
		}
		io.WriteString(feed, "]}")
		feed.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+c.Members()[0].HTTP+"/db/neo4j/tx/commit", body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(DefaultUser, DefaultPassword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(text), `"columns"`) != count || !strings.Contains(string(text), `"errors":[]`) {
		t.Errorf("got %v, %d results", err, strings.Count(string(text), `"columns"`))
	}
	if log := c.Log("neo4j"); len(log) != 1 || len(log[0].Marks) != count {
		t.Errorf("got %d transactions", len(log))
	}
}
