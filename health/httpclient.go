package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	maxHead = 16 << 10 // of an answer to a check; Neo4j's are below 1 KiB
	maxBody = 4 << 20  // /dbms/cluster/status has some 600 bytes for each database
)

// httpClient asks one member over one keep-alive connection, one request at a time. It is not safe for concurrent use.
// The zero value is not ready: dial and host are needed.
type httpClient struct {
	dial  func(ctx context.Context) (net.Conn, error)
	host  string // for the Host header
	login string // value of Authorization; "" sends none

	dials int // connections opened so far

	conn net.Conn // nil between connections
	in   *bufio.Reader
	cap  io.LimitedReader // under in, so that no answer is read without end
}

// reply is an answer to GET. Its body is owned by the caller.
type reply struct {
	status int
	body   []byte
}

// get asks for path. A kept connection that turns out to be closed is replaced once. Errors are the connection's, or say
// that what came was not HTTP; after one the connection is closed.
func (h *httpClient) get(ctx context.Context, path string) (reply, error) {
	kept := h.conn != nil
	r, err := h.try(ctx, path)
	if err != nil && kept && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		r, err = h.try(ctx, path)
	}
	if err != nil {
		return reply{}, fmt.Errorf("GET http://%s%s: %w", h.host, path, err)
	}
	return r, nil
}

func (h *httpClient) try(ctx context.Context, path string) (r reply, err error) {
	if h.conn == nil {
		if err := h.connect(ctx); err != nil {
			return reply{}, err
		}
	}
	release := guard(ctx, h.conn)
	defer func() {
		if release(); err != nil {
			h.close()
		}
	}()
	if err := h.send(path); err != nil {
		return reply{}, err
	}
	return h.receive()
}

func (h *httpClient) connect(ctx context.Context) error {
	conn, err := h.dial(ctx)
	if err != nil {
		return err
	}
	h.conn = conn
	h.dials++
	h.cap.R = conn
	if h.in == nil {
		h.in = bufio.NewReaderSize(&h.cap, 1024)
	}
	h.in.Reset(&h.cap)
	return nil
}

func (h *httpClient) send(path string) error {
	b := fmt.Appendf(make([]byte, 0, 256), "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json, */*;q=0.1\r\n", path, h.host)
	if h.login != "" {
		b = fmt.Appendf(b, "Authorization: %s\r\n", h.login)
	}
	_, err := h.conn.Write(append(b, "\r\n"...))
	return err
}

func (h *httpClient) receive() (reply, error) {
	h.cap.N = maxHead
	res, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return reply{}, fmt.Errorf("reading the answer: %w", err)
	}
	defer res.Body.Close()
	h.cap.N = maxBody
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return reply{}, fmt.Errorf("reading the answer's body: %w", err)
	}
	if res.Close || len(body) == maxBody {
		h.close()
	}
	return reply{status: res.StatusCode, body: body}, nil
}

// close drops the connection; the next get opens another.
func (h *httpClient) close() {
	if h.conn != nil {
		h.conn.Close()
		h.conn = nil
	}
}

// guard makes I/O on conn end with ctx: by its deadline, or at once when it is cancelled. The returned function ends the
// guard and takes the deadline off again.
func guard(ctx context.Context, conn net.Conn) (release func()) {
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline) //nolint:errcheck // a connection without deadlines ends with the check by being closed
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			conn.SetDeadline(time.Time{})
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
