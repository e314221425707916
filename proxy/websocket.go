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

	mu       sync.Mutex // one who writes at a time
	out      []byte     // guarded by mu
	lead     []byte     // guarded by mu: of a data frame's head, what is not out yet
	promised int        // guarded by mu: payload that the frame being sent has still to get
	closed   bool       // guarded by mu: a close frame was sent

	owedMu sync.Mutex
	owed   []byte // guarded by owedMu: control frames that wait for the end of a data frame
	ending bool   // guarded by owedMu: the last of owed is a close frame
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
		return s.sendControl(ws.NewPongFrame(payload), false)
	case ws.OpClose:
		s.sendClose(ws.StatusNormalClosure)
		s.ended = io.EOF
		return io.EOF
	}
	return nil
}

const maxOwed = 4 << 10 // bytes of control frames; more pings than that get no pong

// sendControl sends a control frame: now, or when the data frame that is being sent has ended.
func (s *webSocket) sendControl(f ws.Frame, last bool) error {
	var frame bytes.Buffer
	if err := ws.WriteFrame(&frame, f); err != nil {
		return fmt.Errorf("websocket: %w", err)
	}
	s.owedMu.Lock()
	if !s.ending && len(s.owed) < maxOwed {
		s.owed = append(s.owed, frame.Bytes()...)
		s.ending = last
	}
	s.owedMu.Unlock()
	return s.settle()
}

// settle sends what is owed, unless somebody is writing, who will see to it.
func (s *webSocket) settle() error {
	for s.owes() && s.mu.TryLock() {
		err := s.sendOwed()
		waits := s.promised > 0 || len(s.lead) > 0
		s.mu.Unlock()
		if err != nil || waits {
			return err
		}
	}
	return nil
}

func (s *webSocket) owes() bool {
	s.owedMu.Lock()
	defer s.owedMu.Unlock()
	return len(s.owed) > 0
}

// sendOwed sends control frames between two data frames. The caller holds mu.
func (s *webSocket) sendOwed() error {
	if s.promised > 0 || len(s.lead) > 0 {
		return nil
	}
	s.owedMu.Lock()
	defer s.owedMu.Unlock()
	if len(s.owed) == 0 {
		return nil
	}
	n, err := s.Conn.Write(s.owed)
	if s.owed = s.owed[n:]; len(s.owed) == 0 {
		s.owed, s.closed = nil, s.ending
	}
	return err
}

func (s *webSocket) sendClose(code ws.StatusCode) {
	s.sendControl(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")), true) //nolint:errcheck // the connection ends either way
}

// Write sends p in binary frames of at most 64 KiB. After a deadline that passed in the middle of a frame, a Write of what is
// left of p goes on with that frame, as it would on a TCP connection.
func (s *webSocket) Write(p []byte) (n int, err error) {
	n, err = s.writeFrames(p)
	return n, errors.Join(err, s.settle())
}

func (s *webSocket) writeFrames(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if err := s.sendOwed(); err != nil {
			return n, err
		}
		if s.closed {
			return n, net.ErrClosed
		}
		if s.promised == 0 {
			s.promised = min(len(p)-n, sentFrame)
			s.lead = appendFrameHead(s.lead[:0], s.promised)
		}
		piece := p[n : n+min(s.promised, len(p)-n)]
		s.out = append(append(s.out[:0], s.lead...), piece...)
		sent, err := s.Conn.Write(s.out)
		head := min(sent, len(s.lead))
		s.lead = s.lead[head:]
		s.promised -= sent - head
		n += sent - head
		if err != nil {
			return n, err
		}
	}
	if cap(s.out) > bufferSize {
		s.out = nil
	}
	return n, nil
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
