package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/netio"
)

// protocol is what a connection's first bytes say.
type protocol uint8

const (
	protoUnknown protocol = iota
	protoBolt
	protoHTTP
	protoTLS
)

const tlsHandshake = 0x16 // the content type of a TLS record that opens a connection

// sniff tells the protocol from the first bytes; more is true when it takes more of them.
func sniff(first []byte) (p protocol, more bool) {
	switch {
	case len(first) == 0:
		return protoUnknown, true
	case first[0] == tlsHandshake:
		return protoTLS, false
	case first[0] == byte(bolt.Magic>>24):
		if len(first) < 4 {
			return protoUnknown, true
		}
		if binary.BigEndian.Uint32(first) == bolt.Magic {
			return protoBolt, false
		}
		return protoUnknown, false
	case first[0] >= 'A' && first[0] <= 'Z', first[0] == '\r', first[0] == '\n':
		return protoHTTP, false
	}
	return protoUnknown, false
}

// serveProtocol finds out what a client connection speaks, and serves it.
func (s *Server) serveProtocol(f *frontend, c *client) error {
	set := f.settings.Load()
	setKeepalive(c.conn, set.Keepalive)
	from := c.conn.RemoteAddr()
	p := &peer{conn: c.conn, remote: from.String(), local: c.conn.LocalAddr().String()}
	c.conn.SetReadDeadline(time.Now().Add(handshakeTime(set))) //nolint:errcheck // a closed connection shows in the read
	if fromProxy(set, from) {                                  // it is trusted to say whose connection this is, and that is who is let in or not
		source, err := p.readProxyHeader()
		if err != nil {
			return err
		}
		if source != nil {
			from = source
		}
	}
	if !allowed(set, from) {
		f.stats.refused.Add(1)
		return errors.New("proxy: the address is not allowed by this frontend")
	}
	over, err := s.join(f, c, p.remote)
	if err != nil {
		return err
	}
	p.over = over
	proto, err := p.sniff()
	if err == nil && proto == protoTLS {
		proto, err = p.startTLS(s.work, set)
	} else if err == nil && set.TLSRequired {
		err = errors.New("proxy: plain text, but this frontend requires TLS")
	}
	if err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	switch {
	case proto == protoBolt && !set.Protocols.NoBolt:
		return s.serveBolt(s.work, f, c, p)
	case proto == protoHTTP && !(set.Protocols.NoHTTP && set.Protocols.NoWebSocket):
		return s.serveHTTP(f, c, p)
	}
	return fmt.Errorf("proxy: the first bytes (% x) are of no protocol that this frontend serves", p.first[:min(len(p.first), 8)])
}

func handshakeTime(f *Frontend) time.Duration {
	if f.Timeouts.Handshake > 0 {
		return f.Timeouts.Handshake
	}
	return 5 * time.Second
}

// peer is a client connection while its protocol is found out: the connection to go on with, and what was read of it.
type peer struct {
	conn   net.Conn
	first  []byte // read and not yet dealt with
	tls    bool
	over   bool   // its address has too many connections, see addresses.go
	local  string // the address that the client used
	remote string
}

// sniff reads until the protocol is clear. Every byte stays in first.
func (p *peer) sniff() (protocol, error) {
	for {
		proto, more := sniff(p.first)
		if !more {
			return proto, nil
		}
		buf := getBuffer()
		n, err := p.conn.Read(buf)
		p.first = append(p.first, buf[:n]...)
		putBuffer(buf)
		if n == 0 && err != nil {
			if len(p.first) == 0 && err == io.EOF {
				return 0, errClosed // a probe that only connects
			}
			return 0, fmt.Errorf("proxy: reading the first bytes: %w", err)
		}
	}
}

// replay is a connection whose first bytes were read already.
type replay struct {
	net.Conn
	first *bytes.Reader
}

func (r *replay) Read(b []byte) (int, error) {
	if r.first.Len() > 0 {
		return r.first.Read(b)
	}
	return r.Conn.Read(b)
}

// NetConn is what lies beneath, as of *tls.Conn: the socket that shows whether the client is there.
func (r *replay) NetConn() net.Conn { return r.Conn }

// startTLS unwraps TLS and sniffs again.
func (p *peer) startTLS(ctx context.Context, f *Frontend) (protocol, error) {
	if f.TLS == nil || p.tls {
		return 0, errors.New("proxy: TLS, but this frontend has no certificate")
	}
	secure := tls.Server(&replay{Conn: p.conn, first: bytes.NewReader(p.first)}, f.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		return 0, fmt.Errorf("proxy: TLS handshake: %w", err)
	}
	p.conn, p.first, p.tls = secure, nil, true
	if name := secure.ConnectionState().ServerName; name != "" {
		_, port, _ := net.SplitHostPort(p.local)
		p.local = net.JoinHostPort(name, port)
	}
	proto, err := p.sniff()
	if proto == protoTLS {
		proto = protoUnknown
	}
	return proto, err
}

const maxV1 = 107 // bytes of a PROXY header of version 1, its line's end included

// awaitV1 reads a header of version 1 to the end of its line: the library takes it only in one piece. What is none is left
// as it is.
func awaitV1(br *bufio.Reader) {
	for n := 1; n <= maxV1; n++ {
		b, err := br.Peek(n)
		if err != nil || b[n-1] == '\n' || n <= len("PROXY ") && b[n-1] != "PROXY "[n-1] {
			return
		}
	}
}

// readProxyHeader takes the addresses from a PROXY header. source is nil where there is none, or it names nobody.
func (p *peer) readProxyHeader() (source net.Addr, err error) {
	br := bufio.NewReaderSize(p.conn, 4096)
	awaitV1(br)
	header, err := proxyproto.Read(br)
	if err != nil && !errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return nil, fmt.Errorf("proxy: PROXY header: %w", err)
	}
	if header != nil && header.SourceAddr != nil && header.Command == proxyproto.PROXY {
		source = header.SourceAddr
		p.remote, p.local = source.String(), header.DestinationAddr.String()
	}
	p.first, err = br.Peek(br.Buffered())
	p.first = bytes.Clone(p.first)
	return source, err
}

// serveBolt runs a Bolt session on what was sniffed.
func (s *Server) serveBolt(ctx context.Context, f *frontend, c *client, p *peer) error {
	link := netio.New(p.conn)
	session := &boltSession{
		srv: s, front: f, client: link, id: "boltgate-" + strconv.FormatUint(s.nextID.Add(1), 10),
		local: p.local, remote: p.remote, over: p.over, in: inbox{link: link}, napping: napping{link: link}, busy: new(busy),
	}
	s.begin(c, session)
	if len(p.first) > 0 {
		link.Came(len(p.first))
		buf := getBuffer()
		if len(p.first) > len(buf) {
			buf = make([]byte, len(p.first))
		}
		session.in.seed(buf, copy(buf, p.first))
		p.first = nil
	}
	return session.run(ctx)
}

func setKeepalive(conn net.Conn, every time.Duration) {
	if tcp, ok := conn.(*net.TCPConn); ok && every > 0 {
		tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every / 4, Count: 3}) //nolint:errcheck // best effort
	}
}

func contains(list []netip.Prefix, a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	for _, p := range list {
		if p.Contains(ap.Addr().Unmap()) {
			return true
		}
	}
	return false
}

func allowed(f *Frontend, a net.Addr) bool {
	return !contains(f.Deny, a) && (len(f.Allow) == 0 || contains(f.Allow, a))
}

func fromProxy(f *Frontend, a net.Addr) bool { return contains(f.ProxyFrom, a) }
