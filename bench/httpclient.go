package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// httpRequest encodes the one request that a run repeats.
func (l Load) httpRequest(m Mode, host string) []byte {
	var b bytes.Buffer
	if m == Get {
		fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", l.Path)
	} else {
		db := l.Database
		if db == "" {
			db = "neo4j"
		}
		fmt.Fprintf(&b, "POST /db/%s/tx/commit HTTP/1.1\r\n", db)
	}
	fmt.Fprintf(&b, "Host: %s\r\nUser-Agent: boltgate-bench/1\r\nAccept: application/json\r\n", host)
	if l.User != "" {
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(l.User+":"+l.Password)))
	}
	switch l.Access {
	case "read":
		b.WriteString("X-Write: 0\r\n")
	case "write":
		b.WriteString("X-Write: 1\r\n")
	}
	if m == Get {
		b.WriteString("\r\n")
		return b.Bytes()
	}
	text, _ := json.Marshal(l.Query) //nolint:errcheck // a string can be encoded
	body := fmt.Sprintf(`{"statements":[{"statement":%s}]}`, text)
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

// httpClient repeats one request on one connection.
type httpClient struct {
	conn    net.Conn
	request []byte
	in      []byte // read and not yet consumed
}

func (c *httpClient) close() { c.conn.Close() }

var (
	headEnd     = []byte("\r\n\r\n")
	errorsEmpty = []byte(`"errors":[]`)
	errorsKey   = []byte(`"errors":[`)
)

// do sends the request and reads its answer. A status outside 200 to 299, and a transaction endpoint's `errors` that are not empty, are errors.
func (c *httpClient) do() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	head, err := c.until(headEnd, 0)
	if err != nil {
		return err
	}
	if head < 12 || c.in[9] != '2' {
		return fmt.Errorf("bench: answer %q", c.in[:min(head, 60)])
	}
	end := head
	if n := headerValue(c.in[:head], "content-length"); n != nil {
		size, err := strconv.Atoi(string(n))
		if err != nil || size < 0 || size > 1<<30 {
			return fmt.Errorf("bench: Content-Length %q", n)
		}
		if err := c.have(head + size); err != nil {
			return err
		}
		end += size
	} else if end, err = c.chunks(head); err != nil {
		return err
	}
	body := c.in[head:end]
	if bytes.Contains(body, errorsKey) && !bytes.Contains(body, errorsEmpty) {
		return fmt.Errorf("bench: answer %.200q", body)
	}
	c.in = c.in[:copy(c.in, c.in[end:])]
	return nil
}

// chunks reads past a chunked body that begins at, and returns where it ends.
func (c *httpClient) chunks(at int) (int, error) {
	if headerValue(c.in[:at], "transfer-encoding") == nil {
		return 0, errors.New("bench: answer without a length")
	}
	for {
		line, err := c.until([]byte("\r\n"), at)
		if err != nil {
			return 0, err
		}
		digits, _, _ := bytes.Cut(c.in[at:line-2], []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 30)
		if err != nil {
			return 0, fmt.Errorf("bench: chunk size %q", digits)
		}
		at = line + int(size) + 2
		if err := c.have(at); err != nil {
			return 0, err
		}
		if size == 0 {
			return at, nil
		}
	}
}

// until reads until sep stands in c.in at or after from, and returns the position behind it.
func (c *httpClient) until(sep []byte, from int) (int, error) {
	for {
		if i := bytes.Index(c.in[from:], sep); i >= 0 {
			return from + i + len(sep), nil
		}
		if err := c.have(len(c.in) + 1); err != nil {
			return 0, err
		}
	}
}

// have reads until c.in has n bytes.
func (c *httpClient) have(n int) error {
	for len(c.in) < n {
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, make([]byte, 4096)...)[:len(c.in)]
		}
		got, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+got]
		if got == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// headerValue finds a header by its lower-case name; nil when it is not there.
func headerValue(head []byte, name string) []byte {
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		head = rest
		if len(line) > len(name) && line[len(name)] == ':' && asciiFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

func asciiFold(b []byte, lower string) bool {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
