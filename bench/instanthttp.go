package bench

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
)

// httpPages are the instant server's HTTP answers, encoded once. Paths that it does not know get the small answer.
type httpPages struct {
	byPath  map[string][]byte
	small   []byte // of a GET
	commit  []byte // of a POST
	refused []byte
}

func newHTTPPages(address, boltAddress, role string) *httpPages {
	p := &httpPages{
		byPath:  map[string][]byte{},
		small:   page(200, `["Person"]`),
		commit:  page(200, `{"results":[{"columns":["1"],"data":[{"row":[1],"meta":[null]}]}],"errors":[],"lastBookmarks":["`+bookmark+`"]}`),
		refused: []byte("HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	}
	if role != "master" && role != "slave" {
		edition := "community"
		if role != "" {
			edition = "enterprise"
		}
		p.byPath["/"] = page(200, fmt.Sprintf(`{"bolt_routing":"neo4j://%s","transaction":"http://%s/db/{databaseName}/tx","bolt_direct":"bolt://%s",`+
			`"query":"http://%s/db/{databaseName}/query/v2","neo4j_version":"5.26.0","neo4j_edition":"%s"}`, boltAddress, address, boltAddress, address, edition))
		return p
	}
	p.byPath["/"] = page(200, fmt.Sprintf(`{"management":"http://%s/db/manage/","data":"http://%s/db/data/","bolt":"bolt://%s"}`, address, address, boltAddress))
	yes, no := page(200, "true"), page(404, "false")
	p.byPath["/db/manage/server/ha/available"] = page(200, role)
	p.byPath["/db/manage/server/ha/master"], p.byPath["/db/manage/server/ha/slave"] = yes, no
	if role == "slave" {
		p.byPath["/db/manage/server/ha/master"], p.byPath["/db/manage/server/ha/slave"] = no, yes
	}
	return p
}

func page(status int, body string) []byte {
	phrase := "OK"
	if status == 404 {
		phrase = "Not Found"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, phrase, len(body), body)
}

// serve answers one connection until it ends.
func (p *httpPages) serve(conn net.Conn) {
	in, out := make([]byte, 0, 4096), make([]byte, 0, 1024)
	for {
		if len(in) == cap(in) {
			in = append(in, 0)[:len(in)] // a request larger than the buffer
		}
		n, err := conn.Read(in[len(in):cap(in)])
		if n == 0 && err != nil {
			return
		}
		in = in[:len(in)+n]
		used, last := 0, false
		for !last {
			size, answer, end := p.request(in[used:])
			if size == 0 {
				break
			}
			used, last, out = used+size, end, append(out, answer...)
		}
		in = in[:copy(in, in[used:])]
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		if last {
			return
		}
	}
}

// request finds the first whole request in b: its size (0: more bytes are needed), its answer, and whether it is the connection's last.
func (p *httpPages) request(b []byte) (size int, answer []byte, last bool) {
	head := bytes.Index(b, headEnd)
	if head < 0 {
		return 0, nil, false
	}
	size = head + len(headEnd)
	line, fields, _ := bytes.Cut(b[:head], []byte("\r\n"))
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, version, _ := bytes.Cut(rest, []byte(" "))
	if n := headerValue(fields, "content-length"); n != nil {
		length, err := strconv.Atoi(string(n))
		if err != nil || length < 0 {
			return size, p.refused, true
		}
		if size += length; size > len(b) {
			return 0, nil, false
		}
	} else if headerValue(fields, "transfer-encoding") != nil {
		return size, p.refused, true
	}
	answer = p.small
	if len(method) == 4 && method[0] == 'P' {
		answer = p.commit
	} else if known, ok := p.byPath[string(path)]; ok {
		answer = known
	}
	closing := headerValue(fields, "connection")
	last = len(closing) == 5 && asciiFold(closing, "close") || bytes.Equal(version, []byte("HTTP/1.0"))
	return size, answer, last
}
