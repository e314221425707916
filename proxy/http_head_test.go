package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// parse reads a whole request head as the connection does.
func parse(b []byte) (h *httpHead, n int, err error) {
	h = new(httpHead)
	if err = h.parseRequest(b); err == errShort {
		_, err = headEnd(b)
	}
	return h, h.len, err
}

// ambiguous are requests that two readers could take for different ones, and others that are simply wrong.
var ambiguous = []struct {
	name, head string
	status     int
}{
	{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"both lengths, the other way round", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400},
	{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n", 400},
	{"the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", 400},
	{"a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n", 400},
	{"a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
	{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n", 400},
	{"an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
	{"a length past 2^63", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
	{"gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"chunked, identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	{"xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400},
	{"quoted chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400},
	{"vertical tab before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400},
	{"tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 4\r\n\r\n", 400},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"the same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"a list of hosts", "GET / HTTP/1.1\r\nHost: a, b c\r\n\r\n", 400},
	{"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
	{"a host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
	{"a target and a Host that disagree", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
	{"a target with a user", "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
	{"another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400},
	{"a header folded by a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400},
	{"a first header that is folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"LF alone", "GET / HTTP/1.1\nHost: a\n\n", 400},
	{"LF alone in one header", "GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: w\r\n\r\n", 400},
	{"CR alone", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n", 400},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
	{"a name of nothing", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400},
	{"a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"a name in brackets", "GET / HTTP/1.1\r\nHost: a\r\n[X]: y\r\n\r\n", 400},
	{"a method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a tab instead of a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 505},
	{"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a cut escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"bytes past ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"a star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"HTTP/0.9", "GET /\r\nHost: a\r\n\r\n", 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", 505},
	{"http in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405},
	{"an unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n", 417},
	{"a Trailer that names a length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X, Content-Length\r\n\r\n", 400},
	{"Connection that names Host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", 400},
	{"Connection that names a length", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\n", 400},
	{"a line of nothing first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	g := startRelay(t, nil, m)
	for _, c := range ambiguous {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := parse([]byte(c.head))
			bad, ok := errors.AsType[*headError](err)
			if !ok || bad.status != c.status {
				t.Fatalf("the parser: got %v; want %d", err, c.status)
			}
			if c.head[0] < 'A' || c.head[0] > 'Z' {
				return // the sniffer takes it for something else
			}
			conn := g.raw()
			conn.send(c.head, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, body := conn.answer("POST")
			if resp.StatusCode != c.status || !resp.Close || !strings.Contains(body, codeInvalid) {
				t.Errorf("the connection: got %d %s; want %d and close", resp.StatusCode, body, c.status)
			}
			conn.closed()
		})
	}
	if n := m.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the member", n)
	}
}

func TestAmbiguousChunksAreRefused(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"no size", "\r\nabc\r\n0\r\n\r\n"},
		{"a signed size", "+3\r\nabc\r\n0\r\n\r\n"},
		{"0x", "0x3\r\nabc\r\n0\r\n\r\n"},
		{"a size past 2^60", "fffffffffffffffff\r\nabc"},
		{"leading zeros without end", strings.Repeat("0", 20) + "3\r\nabc\r\n0\r\n\r\n"},
		{"a space before the size", " 3\r\nabc\r\n0\r\n\r\n"},
		{"a space behind the size", "3 \r\nabc\r\n0\r\n\r\n"},
		{"an underscore", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n"},
		{"LF behind the size", "3\nabc\r\n0\r\n\r\n"},
		{"CR behind the size", "3\rabc\r\n0\r\n\r\n"},
		{"LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"},
		{"NUL in an extension", "3;\x00\r\nabc\r\n0\r\n\r\n"},
		{"extensions without end", "3;" + strings.Repeat("a", maxExtensions+1) + "\r\nabc\r\n0\r\n\r\n"},
		{"a chunk longer than it says", "3\r\nabcd\r\n0\r\n\r\n"},
		{"a chunk that ends in LF", "3\r\nabc\n0\r\n\r\n"},
		{"a chunk that ends in CR X", "3\r\nabc\rX0\r\n\r\n"},
		{"a trailer without a colon", "0\r\nabc\r\n\r\n"},
		{"a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"},
		{"a trailer with LF alone", "0\r\nX: y\n\r\n"},
		{"a trailer with a length", "0\r\nContent-Length: 3\r\n\r\n"},
		{"a trailer that changes the route", "0\r\nX-Write: 1\r\n\r\n"},
		{"trailers without end", "0\r\n" + strings.Repeat("X: y\r\n", maxTrailers/6+1) + "\r\n"},
		{"an end that is none", "0\r\n\rX"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bodyEnd{kind: chunkedBody}
			if _, err := b.take([]byte(c.body)); err == nil {
				t.Fatal("got no error")
			}
			for _, path := range []string{"/stream", "/db/data/transaction/commit"} {
				whole := false
				m := startScripted(t, "s1", answering(func(*http.Request, string) string { whole = true; return ok("x") }))
				conn := startRelay(t, nil, m).raw()
				go io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+c.body+"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n") //nolint:errcheck // refused
				if resp, body := conn.answer("POST"); resp.StatusCode != 400 || !resp.Close {
					t.Errorf("%s: got %d %s; want 400", path, resp.StatusCode, body)
				}
				if whole {
					t.Errorf("%s: the member took the request for whole", path)
				}
			}
		})
	}
}

func TestChunksReadTheSameAtEveryCut(t *testing.T) {
	body := "5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0;last\r\nX-T: v\r\nY: \r\n\r\n"
	const want = "hello0123456789"
	for i := range len(body) {
		for j := i; j < len(body); j++ {
			b := bodyEnd{kind: chunkedBody}
			var got []byte
			for _, piece := range []string{body[:i], body[i:j], body[j:] + "behind"} {
				var n int
				var err error
				if got, n, err = b.decode(got, []byte(piece)); err != nil {
					t.Fatalf("cut at %d, %d: %v", i, j, err)
				}
				if b.over() && n != len(piece)-len("behind") {
					t.Fatalf("cut at %d, %d: %d bytes of %q were taken", i, j, n, piece)
				}
			}
			if string(got) != want || !b.over() {
				t.Fatalf("cut at %d, %d: got %q, over %v", i, j, got, b.over())
			}
		}
	}
}

func TestHeadsThatAreAccepted(t *testing.T) {
	for _, c := range []struct {
		name, head, target, host string
		body                     framing
		length                   int64
		close                    bool
	}{
		{"plain", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "/a", "h", noBody, 0, false},
		{"an empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "/a", "", noBody, 0, false},
		{"absolute", "GET http://h:1/a?b HTTP/1.1\r\nHost: h:1\r\n\r\n", "/a?b", "h:1", noBody, 0, false},
		{"IPv6", "GET / HTTP/1.1\r\nHost: [::1]:7474\r\n\r\n", "/", "[::1]:7474", noBody, 0, false},
		{"a length", "PUT / HTTP/1.1\r\nhost: h\r\ncontent-LENGTH:  12 \r\n\r\n", "/", "h", fixedBody, 12, false},
		{"a length of zero", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "/", "h", noBody, 0, false},
		{"chunks", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n", "/", "h", chunkedBody, 0, false},
		{"1.0", "GET / HTTP/1.0\r\n\r\n", "/", "", noBody, 0, true},
		{"1.0 that stays", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", noBody, 0, false},
		{"close wins", "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: x, CLOSE\r\n\r\n", "/", "h", noBody, 0, true},
		{"options of all", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", "h", noBody, 0, false},
		{"UTF-8 in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: \xc3\xa9\r\n\r\n", "/", "h", noBody, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := []byte(c.head + "next")
			h, n, err := parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if n != len(c.head) || string(h.target.of(b)) != c.target || string(h.host.of(b)) != c.host || h.body != c.body || h.length != c.length || h.close != c.close {
				t.Errorf("got %d bytes, target %q, host %q, body %d %d, close %v", n, h.target.of(b), h.host.of(b), h.body, h.length, h.close)
			}
			for i := range len(c.head) {
				if n, err := headEnd(b[:i]); n != 0 || err != nil {
					t.Fatalf("%d bytes of the head: got %d, %v; want to wait", i, n, err)
				}
				if err := new(httpHead).parseRequest(b[:i]); err != errShort {
					t.Fatalf("%d bytes of the head: got %v; want to wait", i, err)
				}
			}
		})
	}
}

// FuzzHTTPHead holds the parser to net/http: what net/http refuses is refused, and what is accepted reads the same there.
func FuzzHTTPHead(f *testing.F) {
	for _, c := range ambiguous {
		f.Add([]byte(c.head))
	}
	f.Add([]byte("GET /db/data/ HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\nConnection: close, x\r\nX: y\r\n\r\n"))
	f.Add([]byte("POST http://[::1]:80/a%20b?c%zz HTTP/1.1\r\nhost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTrailer: a,b\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 007\r\n\r\n1234567"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, n, err := parse(in)
		if n == 0 && err == nil {
			return
		}
		theirs, theirErr := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(in), 2*maxHead))
		if err != nil {
			return
		}
		if theirErr != nil {
			t.Fatalf("net/http refuses %q: %v", in[:n], theirErr)
		}
		compareHeads(t, in, h, theirs)
		for i := range n {
			if err := new(httpHead).parseRequest(in[:i]); err != errShort {
				t.Fatalf("%d bytes of %q: got %v; want to wait", i, in[:n], err)
			}
		}
	})
}

func compareHeads(t *testing.T, in []byte, h *httpHead, theirs *http.Request) {
	if got := string(h.method.of(in)); got != theirs.Method {
		t.Errorf("method: got %q; net/http %q", got, theirs.Method)
	}
	if got := string(h.host.of(in)); got != theirs.Host {
		t.Errorf("host of %q: got %q; net/http %q", in[:h.len], got, theirs.Host)
	}
	target := theirs.URL.EscapedPath()
	if theirs.URL.RawQuery != "" || theirs.URL.ForceQuery {
		target += "?" + theirs.URL.RawQuery
	}
	if got := string(h.target.of(in)); got != target && got != theirs.RequestURI {
		t.Errorf("target: got %q; net/http %q", got, target)
	}
	length := map[framing]int64{noBody: 0, fixedBody: h.length, chunkedBody: -1}[h.body]
	if length != theirs.ContentLength {
		t.Errorf("body of %q: got %d; net/http %d", in[:h.len], length, theirs.ContentLength)
	}
	if !h.close && theirs.Close {
		t.Errorf("net/http closes after %q", in[:h.len])
	}
	count := 0
	for _, f := range h.fields {
		name := http.CanonicalHeaderKey(string(f.name.of(in)))
		switch name {
		case "Host", "Transfer-Encoding", "Trailer", "Content-Length", "Pragma", "Cache-Control": // net/http moves or changes these
			continue
		}
		count++
		found := false
		for _, v := range theirs.Header[name] {
			found = found || v == string(f.value.of(in))
		}
		if !found {
			t.Errorf("header %q: %q is not among net/http's %q", name, f.value.of(in), theirs.Header[name])
		}
	}
	for name, vs := range theirs.Header {
		switch name {
		case "Content-Length", "Pragma", "Cache-Control", "Trailer":
			continue
		}
		count -= len(vs)
	}
	if count != 0 {
		t.Errorf("%q: got %d more headers than net/http", in[:h.len], count)
	}
}

// FuzzHTTPAnswer holds the parser of answers to net/http.
func FuzzHTTPAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), false)
	f.Add([]byte("HTTP/1.0 404\r\n\r\n"), true)
	f.Add([]byte("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, in []byte, toHead bool) {
		var h httpHead
		if h.parseAnswer(in, toHead) != nil {
			return
		}
		n := h.len
		method := "GET"
		if toHead {
			method = "HEAD"
		}
		theirs, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(in), 2*maxHead), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", in[:n], err)
		}
		if theirs.StatusCode != h.status {
			t.Errorf("status: got %d; net/http %d", h.status, theirs.StatusCode)
		}
		if toHead || h.status < 200 {
			return
		}
		length := map[framing]int64{noBody: 0, fixedBody: h.length, chunkedBody: -1, untilClose: -1}[h.body]
		if length != theirs.ContentLength && h.status != 304 {
			t.Errorf("body of %q: got %d; net/http %d", in[:n], length, theirs.ContentLength)
		}
	})
}

// FuzzHTTPChunks holds the chunk walk to net/http's reader, for bodies that come in two pieces.
func FuzzHTTPChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), 2)
	f.Add([]byte("a;b=c\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET"), 9)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = min(max(cut, 0), len(in))
		b := bodyEnd{kind: chunkedBody}
		got, n, err := b.decode(nil, in[:cut])
		if err == nil && n == cut {
			var m int
			got, m, err = b.decode(got, in[cut:])
			n += m
		}
		if err != nil || !b.over() {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(in[:n]))))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(theirs, got) {
			t.Errorf("%q: got %q; net/http %q, %v", in, got, theirs, err)
		}
	})
}
