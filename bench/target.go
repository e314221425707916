package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/bolt"
)

// target is where operations go and what they are, worked out once: encoded requests, addresses.
type target struct {
	mode      Mode
	addresses []string // one per server that clients are spread over; one entry unless the scheme is neo4j
	tls       *tls.Config
	http      bool
	bolt      boltPlan
	request   []byte // of an HTTP operation
}

func (t *target) names() string { return strings.Join(t.addresses, ", ") }

// target reads the URI and encodes the requests. For neo4j:// it asks the server for its routing table.
func (l Load) target(ctx context.Context) (*target, error) {
	u, err := url.Parse(l.URI)
	if err != nil {
		return nil, fmt.Errorf("%w: target: %w", errUsage, err)
	}
	scheme, secure, _ := strings.Cut(u.Scheme, "+")
	t := &target{mode: l.Mode}
	port := map[string]string{"bolt": "7687", "neo4j": "7687", "http": "7474", "https": "7473"}[scheme]
	if port == "" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: target %q: want bolt://HOST:PORT, neo4j://, http:// or https://", errUsage, u.Redacted())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t.addresses = []string{net.JoinHostPort(u.Hostname(), port)}
	if secure != "" || scheme == "https" {
		t.tls = l.tlsConfig(u.Hostname(), secure == "ssc")
	}
	if u.User != nil {
		l.User = u.User.Username()
		if p, ok := u.User.Password(); ok {
			l.Password = p
		}
	}
	t.http = scheme == "http" || scheme == "https"
	if err := t.setMode(); err != nil {
		return nil, err
	}
	if t.http {
		t.request = l.httpRequest(t.mode, u.Host)
		return t, nil
	}
	t.bolt = l.boltPlan(t.mode)
	if scheme == "neo4j" {
		return t, t.route(ctx, l)
	}
	return t, nil
}

func (t *target) setMode() error {
	allowed := Modes[:3]
	if t.http {
		allowed = []Mode{Post, Get}
	}
	if t.mode == "" {
		t.mode = allowed[0]
	}
	if !slices.Contains(allowed, t.mode) {
		return fmt.Errorf("%w: mode %q: this target takes %v", errUsage, t.mode, allowed)
	}
	return nil
}

func (l Load) tlsConfig(host string, insecure bool) *tls.Config {
	c := &tls.Config{}
	if l.TLSConfig != nil {
		c = l.TLSConfig.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.InsecureSkipVerify = c.InsecureSkipVerify || insecure
	return c
}

// route asks for the routing table and spreads the clients over the addresses of the access that they want.
func (t *target) route(ctx context.Context, l Load) error {
	t.bolt.hello.Routing = map[string]string{"address": t.addresses[0]}
	conn, err := t.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	c, err := t.bolt.logon(conn)
	if err != nil {
		return err
	}
	if c.Version < bolt.V4_4 {
		return nil // the tables of older versions are procedures: stay where we are
	}
	extra := map[string]any{}
	if l.Database != "" {
		extra["db"] = l.Database
	}
	answer, err := c.Ask(bolt.AppendMessage(nil, bolt.TagRoute, t.bolt.hello.Routing, []any{}, extra))
	if err != nil {
		return fmt.Errorf("bench: asking %s for its routing table: %w", t.addresses[0], err)
	}
	role := "WRITE"
	if l.Access == "read" {
		role = "READ"
	}
	if t.addresses = tableAddresses(answer, role); len(t.addresses) == 0 {
		return errors.New("bench: the routing table names no server with the role " + role)
	}
	return nil
}

func tableAddresses(answer map[string]any, role string) []string {
	rt, _ := answer["rt"].(map[string]any)
	servers, _ := rt["servers"].([]any)
	var found []string
	for _, s := range servers {
		entry, _ := s.(map[string]any)
		list, _ := entry["addresses"].([]any)
		for _, a := range list {
			if text, ok := a.(string); ok && entry["role"] == role {
				found = append(found, text)
			}
		}
	}
	return found
}

// dial returns a client that is ready for its first operation. Connections end with ctx.
func (t *target) dial(ctx context.Context, index int) (client, error) {
	if t.mode == Connect {
		return &reconnecting{target: t, ctx: ctx, index: index}, nil
	}
	conn, err := t.connect(ctx, index)
	if err != nil {
		return nil, err
	}
	if t.http {
		return &httpClient{conn: conn, request: t.request, in: make([]byte, 0, 4096)}, nil
	}
	if _, err := t.bolt.logon(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return &boltClient{conn: conn, steps: t.bolt.steps}, nil
}

func (t *target) connect(ctx context.Context, index int) (net.Conn, error) {
	address := t.addresses[index%len(t.addresses)]
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if t.tls != nil {
		conn = tls.Client(conn, t.tls)
	}
	return &cutConn{Conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}, nil
}

// cutConn is a connection that its context closes.
type cutConn struct {
	net.Conn
	stop func() bool
}

func (c *cutConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
