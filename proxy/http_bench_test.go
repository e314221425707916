package proxy

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// instant is a member that answers every request of a known length with the same bytes, without reading them.
func instant(request int, answer string) script {
	return func(_ *scripted, conn net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 64<<10)
		have := 0
		a := []byte(answer)
		for {
			n, err := conn.Read(buf[have:])
			if err != nil {
				return
			}
			for have += n; ; {
				end := bytes.Index(buf[:have], endOfHead)
				if end < 0 || have < end+4+request {
					break
				}
				have = copy(buf, buf[end+4+request:have])
				if _, err := conn.Write(a); err != nil {
					return
				}
			}
		}
	}
}

const smallAnswer = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: 80\r\n\r\n" +
	`{"results":[{"columns":["1"],"data":[{"row":[1],"meta":[null]}]}],"errors":[]  }`

var (
	smallGet  = "GET /db/data/node/1 HTTP/1.1\r\nHost: 127.0.0.1:7474\r\nUser-Agent: test/1\r\nAccept: application/json\r\nAuthorization: Basic bmVvNGo6dGVzdA==\r\n\r\n"
	readBody  = `{"statements":[{"statement":"MATCH (n:Person {name: $name}) RETURN n.age","parameters":{"name":"Alice"}}]}`
	writeBody = `{"statements":[{"statement":"CREATE (n:Person {name: $name})","parameters":{"name":"Alice"}}]}`
	postHead  = "POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: 127.0.0.1:7474\r\nContent-Type: application/json\r\nAuthorization: Basic bmVvNGo6dGVzdA==\r\nContent-Length: "
)

func postOf(body string) string {
	return postHead + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// hotRequests are what the relay path must serve without allocating. body is how long it is at the member.
var hotRequests = []struct {
	name, request string
	body          int
}{
	{"GET", smallGet, 0},
	{"POST of a judged read", postOf(readBody), len(readBody)},
	{"POST of a write", postOf(writeBody), len(writeBody)},
	{"POST of a declared read", strings.Replace(postOf(readBody), "\r\n", "\r\nX-Write: 0\r\n", 1), len(readBody)},
}

// exchanger returns a function that sends a request and reads its answer, without allocating.
func exchanger(t testing.TB, g *gate, request string) func() {
	c := g.raw()
	c.SetDeadline(time.Time{}) //nolint:errcheck // never fails
	out, in := []byte(request), make([]byte, 4096)
	size := 0
	return func() {
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		n, err := c.Conn.Read(in)
		for err == nil && n < size {
			var m int
			m, err = c.Conn.Read(in[n:])
			n += m
		}
		if err != nil || !bytes.HasPrefix(in, []byte("HTTP/1.1 200")) {
			t.Fatalf("got %q, %v", in[:n], err)
		}
		size = n
	}
}

// chunkedAnswer is smallAnswer as servers send it that do not know its length when they begin.
var chunkedAnswer = func() string {
	head, body, _ := strings.Cut(smallAnswer, "\r\n\r\n")
	return strings.Replace(head, "Content-Length: 80", "Transfer-Encoding: chunked", 1) + "\r\n\r\n20\r\n" + body[:32] + "\r\n30\r\n" + body[32:] + "\r\n0\r\n\r\n"
}()

func TestHTTPRelayAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for how, answer := range map[string]string{"at once": smallAnswer, "in chunks": chunkedAnswer} {
		for _, c := range hotRequests {
			t.Run(c.name+", answered "+how, func(t *testing.T) {
				a, b := startScripted(t, "s1", instant(c.body, answer)), startScripted(t, "s2", instant(c.body, answer))
				exchange := exchanger(t, startRelay(t, nil, a, b), c.request)
				for range 100 {
					exchange()
				}
				if n := testing.AllocsPerRun(2000, exchange); n > 0 {
					t.Errorf("%v allocations a request", n)
				}
			})
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	for _, c := range hotRequests {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			m, n := startScripted(b, "s1", instant(c.body, smallAnswer)), startScripted(b, "s2", instant(c.body, smallAnswer))
			exchange := exchanger(b, startRelay(b, nil, m, n), c.request)
			exchange()
			b.ReportAllocs()
			for b.Loop() {
				exchange()
			}
		})
	}
}

// BenchmarkHTTPDirect is what the client and the member of BenchmarkHTTP cost without a gate.
func BenchmarkHTTPDirect(b *testing.B) {
	m := startScripted(b, "s1", instant(0, smallAnswer))
	exchange := exchanger(b, &gate{t: b, address: m.HTTP}, smallGet)
	for b.Loop() {
		exchange()
	}
}

func BenchmarkHTTPParseHead(b *testing.B) {
	head := []byte(smallGet)
	var h httpHead
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if err := h.parseRequest(head); err != nil {
			b.Fatal(err)
		}
	}
}
