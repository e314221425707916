package health

import (
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
)

// talker is a member that keeps to both protocols' framing and fills every answer with the same bytes.
func talker(status int, body []byte, v bolt.Version) (serveHTTP, serveBolt func(net.Conn)) {
	serveHTTP = func(conn net.Conn) {
		go io.Copy(io.Discard, conn)
		for range 20 {
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body); err != nil {
				return
			}
		}
	}
	serveBolt = func(conn net.Conn) {
		if _, err := bolt.AcceptHandshake(conn, []bolt.Version{v}); err != nil {
			return
		}
		r := bolt.Reader{Source: conn}
		hello := bolt.AppendSuccess(nil, map[string]any{"server": fmt.Sprintf("Neo4j/%d.1.0", 3+status%3), "fields": []string{"name", "role", "attributes", "addresses"}})
		for range 20 {
			m, err := r.ReadMessage()
			if err != nil {
				return
			}
			out := bolt.AppendChunks(nil, body)
			if m.Tag == bolt.TagHello || m.Tag == bolt.TagLogon || m.Tag == bolt.TagRun {
				out = hello
			}
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	}
	return serveHTTP, serveBolt
}

func FuzzAnswers(f *testing.F) {
	record := packstream.AppendValue([]byte{0xB1, bolt.TagRecord}, []any{"neo4j", "leader", map[string]any{"Role": 1}, []any{"bolt://x"}})
	for _, seed := range [][]byte{record, []byte(`[{"databaseName":"neo4j","databaseStatus":{"leader":null}}]`), []byte("master"), []byte("UNKNOWN"),
		[]byte(`{"neo4j_version":"5.26.0"}`), {0xB1, bolt.TagSuccess, 0xA0}, {0xB1, bolt.TagFailure, 0xA0}, {0xB0, bolt.TagIgnored}} {
		for status := 200; status < 203; status++ {
			f.Add(status, seed)
		}
		f.Add(404, seed)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		synctest.Test(t, func(t *testing.T) { askTalker(t, 100+max(status, 0)%500, body) }) // so that timeouts take no time
	})
}

// askTalker checks a talker twice, with and without HTTP.
func askTalker(t *testing.T, status int, body []byte) {
	versions := []bolt.Version{bolt.V5_4, bolt.V4_4, bolt.V3, bolt.V1}
	network := newFakeNet()
	network.handlers["h"], network.handlers["b"] = talker(status, body, versions[len(body)%4])
	m := &cluster.Member{Name: "s1", Bolt: "b", HTTP: "h"}
	for _, m := range []*cluster.Member{m, {Name: "s1", Bolt: "b"}} {
		o := Options{Members: []*cluster.Member{m}, Dial: network.dial, Timeout: time.Second}.withDefaults()
		c := newChecker(m, &o, newBook(o.Members, nil), nil, nil)
		for range 2 {
			a := c.once(t.Context()) // a panic is not recovered here
			if a.err == nil && a.told && len(a.roles) == 0 && len(a.stopped) == 0 {
				t.Errorf("told its role, but none is there: %+v", a)
			}
		}
		c.bolt.close()
		c.http.client.close()
	}
	network.close()
}
