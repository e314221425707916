package proxy

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// This file owns Bolt over WebSocket (facts of Neo4j, "What arrives on the Bolt port"): the upgrade, and a net.Conn whose
// bytes travel in binary frames.

// wantsWebSocket tells whether the request asks to become a WebSocket.
func (c *httpConn) wantsWebSocket() bool {
	return c.w.req.upgrade && equalFold(c.w.req.value(c.head(), fUpgrade), "websocket") && string(c.w.req.method.of(c.head())) == "GET"
}

// serveWebSocket upgrades the connection and serves Bolt on it to its end.
func (c *httpConn) serveWebSocket(ctx context.Context) error {
	if c.front.settings.Load().Protocols.NoWebSocket {
		return c.answerFailure(httpFailure{404, codeInvalid, "this address does not serve Bolt over WebSocket"})
	}
	conn, err := upgradeWebSocket(c)
	if err != nil {
		return err
	}
	c.closing = true
	p := &peer{conn: conn, local: c.local, remote: c.remote, tls: c.tls}
	err = c.srv.serveBolt(ctx, c.front, c.client, p)
	conn.Close()
	return err
}

const (
	webSocketGUID    = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 1.3
	webSocketVersion = "13"
)

// upgradeWebSocket answers the upgrade request. The connection returned begins with what the client sent behind it.
func upgradeWebSocket(c *httpConn) (net.Conn, error) {
	w := c.w
	head := c.head()
	key, version := headerOf(&w.req, head, "sec-websocket-key"), headerOf(&w.req, head, "sec-websocket-version")
	if w.req.minor == 0 || w.req.body != noBody || string(version) != webSocketVersion || !validKey(key) {
		return nil, &headError{400, "malformed WebSocket upgrade"}
	}
	sum := sha1.Sum(append(bytes.Clone(key), webSocketGUID...))
	out := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	out = base64.StdEncoding.AppendEncode(out, sum[:])
	out = append(out, "\r\n\r\n"...)
	if err := c.write(out); err != nil {
		return nil, err
	}
	w.unit.answered = true
	rest := bytes.Clone(c.in[c.next:c.end])
	c.next = c.end
	return newWebSocket(c.link.Conn, rest), nil
}

func validKey(key []byte) bool {
	raw, err := base64.StdEncoding.DecodeString(string(key))
	return err == nil && len(raw) == 16
}

// headerOf finds a header that the parser does not know by itself; nil when there is none, or more than one.
func headerOf(h *httpHead, b []byte, lower string) (value []byte) {
	n := 0
	for i := range h.fields {
		if equalFold(h.fields[i].name.of(b), lower) {
			value = h.fields[i].value.of(b)
			n++
		}
	}
	if n != 1 {
		return nil
	}
	return value
}

const (
	maxFrame        = 16 << 20 // of one frame that is received; its payload is never held
	maxControlFrame = 125      // RFC 6455 5.5
	sentFrame       = 64 << 10 // what one frame that is sent holds at most
)

var (
	errFrame     = errors.New("websocket: malformed frame")
	errTextFrame = errors.New("websocket: Bolt travels in binary frames")
	errFrameSize = errors.New("websocket: frame too large")
)

// webSocket is a net.Conn of the payloads of binary frames. One goroutine may read and one may write. A deadline that passes
// in the middle of a frame loses nothing: the next Read goes on where it was.
type webSocket struct {
	net.Conn
	rest []byte // read before there was a webSocket

	// The frame that is being received; owned by Read.
	head    [ws.MaxHeaderSize]byte
	headLen int
	frame   ws.Header
	inFrame bool
	left    int64 // of its payload
	passed  int   // of its payload; where the mask stands
	inParts bool  // a fragmented message is being received
	control [maxControlFrame]byte
	ended   error // after a close frame

	mu     sync.Mutex // one frame after the other
	closed bool       // guarded by mu: a close frame was sent
	torn   bool       // guarded by mu: a frame was cut, nothing can follow it
	out    []byte     // guarded by mu
	owed   []byte     // guarded by mu: the rest of a control frame that did not get out
}

func newWebSocket(conn net.Conn, rest []byte) *webSocket { return &webSocket{Conn: conn, rest: rest} }

// Read reads payload. It answers pings and the close frame on its way. io.EOF after a close frame.
func (s *webSocket) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if s.ended != nil {
			return 0, s.ended
		}
		if !s.inFrame {
			if err := s.readHead(); err != nil {
				return 0, err
			}
			continue
		}
		if s.frame.OpCode.IsControl() {
			if err := s.readControl(); err != nil {
				return 0, err
			}
			continue
		}
		if s.left == 0 {
			s.inFrame = false
			continue
		}
		n, err := s.fetch(p[:min(int64(len(p)), s.left)])
		ws.Cipher(p[:n], s.frame.Mask, s.passed)
		s.advance(n)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, unexpected(err)
		}
	}
	return 0, nil
}

func (s *webSocket) advance(n int) {
	s.left -= int64(n)
	s.passed = (s.passed + n) & 3
}

// fetch reads bytes of the connection, those that were read before it first.
func (s *webSocket) fetch(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		if s.rest = s.rest[n:]; len(s.rest) == 0 {
			s.rest = nil
		}
		return n, nil
	}
	return s.Conn.Read(p)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readHead reads a frame's head, as much as is missing of it.
func (s *webSocket) readHead() error {
	for {
		need := headLength(s.head[:s.headLen])
		if s.headLen == need {
			break
		}
		n, err := s.fetch(s.head[s.headLen:need])
		s.headLen += n
		if n == 0 && err != nil {
			if s.headLen > 0 {
				return unexpected(err)
			}
			return err
		}
	}
	h, err := ws.ReadHeader(bytes.NewReader(s.head[:s.headLen]))
	s.headLen = 0
	if err == nil {
		err = s.check(h)
	}
	if err != nil {
		return s.refuse(err)
	}
	s.frame, s.inFrame, s.left, s.passed = h, true, h.Length, 0
	return nil
}

// headLength is how long the head is that begins with b, as far as b tells.
func headLength(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	n := 2
	switch b[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (s *webSocket) check(h ws.Header) error {
	switch {
	case !h.Masked, h.Rsv != 0, h.OpCode.IsReserved():
		return errFrame
	case h.OpCode.IsControl():
		if h.Length > maxControlFrame || !h.Fin {
			return errFrame
		}
		return nil
	case h.OpCode == ws.OpText:
		return errTextFrame
	case h.Length > maxFrame || h.Length < 0:
		return errFrameSize
	case (h.OpCode == ws.OpContinuation) != s.inParts:
		return errFrame
	}
	s.inParts = !h.Fin
	return nil
}

// refuse ends the connection with the close code for err.
func (s *webSocket) refuse(err error) error {
	code := ws.StatusProtocolError
	switch err {
	case errTextFrame:
		code = ws.StatusUnsupportedData
	case errFrameSize:
		code = ws.StatusMessageTooBig
	}
	s.sendClose(code)
	s.ended = err
	return err
}

// readControl collects a control frame's payload and acts on it.
func (s *webSocket) readControl() error {
	at := int(s.frame.Length - s.left)
	for s.left > 0 {
		n, err := s.fetch(s.control[at : at+int(s.left)])
		ws.Cipher(s.control[at:at+n], s.frame.Mask, s.passed)
		s.advance(n)
		at += n
		if n == 0 && err != nil {
			return unexpected(err)
		}
	}
	s.inFrame = false
	switch payload := s.control[:s.frame.Length]; s.frame.OpCode {
	case ws.OpPing:
		return s.sendControl(ws.NewPongFrame(payload))
	case ws.OpClose:
		s.sendClose(ws.StatusNormalClosure)
		s.ended = io.EOF
		return io.EOF
	}
	return nil
}

// sendControl sends a control frame between two data frames.
func (s *webSocket) sendControl(f ws.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.torn {
		return nil
	}
	var out bytes.Buffer
	if err := ws.WriteFrame(&out, f); err != nil {
		return fmt.Errorf("websocket: %w", err)
	}
	n, err := s.Conn.Write(out.Bytes())
	s.torn = n > 0 && n < out.Len()
	return err
}

func (s *webSocket) sendClose(code ws.StatusCode) {
	s.sendControl(ws.NewCloseFrame(ws.NewCloseFrameBody(code, ""))) //nolint:errcheck // the connection ends either way
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Write sends p in binary frames of at most 64 KiB. It returns how much of p is out for certain; an error in the middle of a
// frame ends what can be written.
func (s *webSocket) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && err == nil {
		if s.closed || s.torn {
			return n, net.ErrClosed
		}
		piece := p[:min(len(p), sentFrame)]
		s.out = appendFrameHead(s.out[:0], len(piece))
		head := len(s.out)
		s.out = append(s.out, piece...)
		var sent int
		sent, err = s.Conn.Write(s.out)
		s.torn = sent < len(s.out) && sent > 0
		n += max(sent-head, 0)
		p = p[len(piece):]
	}
	if cap(s.out) > bufferSize {
		s.out = nil
	}
	return n, err
}

// appendFrameHead appends the head of an unmasked, final binary frame.
func appendFrameHead(dst []byte, n int) []byte {
	dst = append(dst, 0x82)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	}
	return append(dst, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

const closeTime = time.Second // for the close frame to get out

// Close says goodbye and closes the connection.
func (s *webSocket) Close() error {
	s.Conn.SetWriteDeadline(time.Now().Add(closeTime)) //nolint:errcheck // the connection ends either way
	s.sendClose(ws.StatusNormalClosure)
	return s.Conn.Close()
}
