package bolt

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// Client is the client's side of one Bolt connection after its handshake: log on, ask, reset. It serves control work
// (checks, pool log-ons, tests); results are read whole. It is not safe for concurrent use. Deadlines are the caller's to
// set on Conn.
type Client struct {
	Conn    net.Conn
	Version Version
	Server  string         // what HELLO's or INIT's answer named, such as "Neo4j/5.26.0"
	Hello   map[string]any // all of that answer, and of LOGON's since 5.1
	read    Reader
	out     []byte
}

// NewClient returns a Client on conn, which speaks version v already.
func NewClient(conn net.Conn, v Version) *Client {
	return &Client{Conn: conn, Version: v, read: Reader{Source: conn}}
}

// HelloOptions are what a client says of itself.
type HelloOptions struct {
	Agent         string            // user_agent; "" means boltgate
	UTC           bool              // ask for the patch of 4.3 and 4.4
	Routing       map[string]string // nil: no server-side routing is wanted (4.1+)
	Notifications []byte            // encoded pairs of notification filters to pass on (5.2+)
	NotifyCount   int               // how many pairs
}

// Logon sends INIT, HELLO, or HELLO and LOGON, as the version has it, and waits for the answers. A *Failure is the
// server's refusal, after which the connection is of no use.
func (c *Client) Logon(o HelloOptions, auth Auth) error {
	c.out = c.appendHello(c.out[:0], o, auth)
	if c.Version >= V5_1 {
		c.out = c.AppendLogon(c.out, auth)
	}
	if _, err := c.Conn.Write(c.out); err != nil {
		return fmt.Errorf("bolt: sending HELLO: %w", err)
	}
	hello, err := c.Success()
	if err != nil {
		return err
	}
	c.Hello = hello
	c.Server, _ = hello["server"].(string)
	if c.Version < V5_1 {
		return nil
	}
	logon, err := c.Success()
	maps.Copy(c.Hello, logon)
	return err
}

// Introduce sends HELLO alone, which since 5.1 needs no login, and keeps its answer.
func (c *Client) Introduce(o HelloOptions) error {
	if c.Version < V5_1 {
		return errors.New("bolt: before 5.1 HELLO is the login")
	}
	hello, err := c.Ask(c.appendHello(nil, o, Auth{}))
	if err != nil {
		return err
	}
	c.Hello = hello
	c.Server, _ = hello["server"].(string)
	return nil
}

// Relogon changes the user of a connection that is READY: LOGOFF and LOGON (5.1+), sent together.
func (c *Client) Relogon(auth Auth) error {
	c.out = AppendMessage(c.out[:0], TagLogoff)
	c.out = c.AppendLogon(c.out, auth)
	if _, err := c.Conn.Write(c.out); err != nil {
		return fmt.Errorf("bolt: sending LOGOFF and LOGON: %w", err)
	}
	if _, err := c.Success(); err != nil {
		return err
	}
	_, err := c.Success()
	return err
}

// AppendLogon appends LOGON with auth.
func (c *Client) AppendLogon(dst []byte, auth Auth) []byte {
	p := packstream.AppendStruct(nil, TagLogon, 1)
	return AppendChunks(dst, auth.appendMap(p, nil, 0))
}

func (c *Client) appendHello(dst []byte, o HelloOptions, auth Auth) []byte {
	agent := o.Agent
	if agent == "" {
		agent = "boltgate/1"
	}
	if c.Version < V3 {
		p := packstream.AppendString(packstream.AppendStruct(nil, TagHello, 2), agent)
		return AppendChunks(dst, auth.appendMap(p, nil, 0))
	}
	extra, n := packstream.AppendString(packstream.AppendString(nil, "user_agent"), agent), 1
	if c.Version >= V5_3 {
		extra = packstream.AppendValue(packstream.AppendString(extra, "bolt_agent"), map[string]string{"product": agent})
		n++
	}
	if o.UTC && (c.Version == V4_3 || c.Version == V4_4) {
		extra = packstream.AppendValue(packstream.AppendString(extra, "patch_bolt"), []string{"utc"})
		n++
	}
	if o.Routing != nil && c.Version >= V4_1 {
		extra = packstream.AppendValue(packstream.AppendString(extra, "routing"), o.Routing)
		n++
	}
	if c.Version >= V5_2 {
		extra, n = append(extra, o.Notifications...), n+o.NotifyCount
	}
	if c.Version >= V5_1 {
		auth = Auth{}
	}
	return AppendChunks(dst, auth.appendMap(packstream.AppendStruct(nil, TagHello, 1), extra, n))
}

// Ask sends the encoded messages and waits for one SUCCESS.
func (c *Client) Ask(encoded []byte) (map[string]any, error) {
	if _, err := c.Conn.Write(encoded); err != nil {
		return nil, fmt.Errorf("bolt: sending a request: %w", err)
	}
	return c.Success()
}

// AskReady is Ask after which the connection can be used again also when the answer was a *Failure: it has been RESET.
func (c *Client) AskReady(encoded []byte) (map[string]any, error) {
	metadata, err := c.Ask(encoded)
	if err != nil {
		return nil, c.afterFailure(err, 0)
	}
	return metadata, nil
}

// Success reads one answer that should be SUCCESS and returns its metadata. A FAILURE is returned as *Failure.
func (c *Client) Success() (map[string]any, error) {
	m, err := c.Answer()
	if err != nil {
		return nil, err
	}
	if m.Tag == TagRecord {
		return nil, errors.New("bolt: a RECORD came where SUCCESS was due")
	}
	d := packstream.NewDecoder(m.Fields)
	metadata, ok := d.Value().(map[string]any)
	if d.Err() != nil || !ok {
		return nil, errors.Join(errors.New("bolt: SUCCESS without a map"), d.Err())
	}
	return metadata, nil
}

// ErrIgnored says that the server answered IGNORED: an earlier request of the connection failed.
var ErrIgnored = errors.New("bolt: the request was ignored, for the connection is in the failed state")

// Answer reads one SUCCESS or RECORD; a FAILURE is returned as *Failure, IGNORED as ErrIgnored.
func (c *Client) Answer() (Message, error) {
	m, err := c.read.ReadMessage()
	switch {
	case err == io.EOF:
		return m, fmt.Errorf("bolt: the server closed the connection: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return m, fmt.Errorf("bolt: reading an answer: %w", err)
	}
	switch m.Tag {
	case TagSuccess, TagRecord:
		return m, nil
	case TagIgnored:
		return m, ErrIgnored
	case TagFailure:
		f, err := ParseFailure(m.Fields)
		if err != nil {
			return m, err
		}
		return m, f
	}
	return m, fmt.Errorf("bolt: unexpected answer with tag %02x", m.Tag)
}

// Reset brings the connection back to READY: RESET, and answers discarded until its SUCCESS. Before 3 and after a
// failure it does the same. owed is how many answers are still to come from requests sent before.
func (c *Client) Reset(owed int) error {
	if _, err := c.Conn.Write(Reset); err != nil {
		return fmt.Errorf("bolt: sending RESET: %w", err)
	}
	for owed++; owed > 0; {
		m, err := c.Answer()
		var f *Failure
		answered := err == nil || errors.Is(err, ErrIgnored) || errors.As(err, &f)
		switch {
		case !answered, err != nil && owed == 1:
			return err
		case m.Tag != TagRecord:
			owed--
		}
	}
	return nil
}

// Result is a whole result: the names of its columns, its rows, and the summary's metadata.
type Result struct {
	Fields  []string
	Rows    [][]any
	Summary map[string]any
}

// Query runs text as an auto-commit query and reads all of its result. extra is RUN's map (3+; dropped before): mode, db,
// bookmarks, tx_timeout. After a *Failure the connection has been RESET and can be used again.
func (c *Client) Query(text string, params, extra map[string]any) (*Result, error) {
	c.out = c.appendRun(c.out[:0], text, params, extra)
	if _, err := c.Conn.Write(c.out); err != nil {
		return nil, fmt.Errorf("bolt: sending RUN: %w", err)
	}
	head, err := c.Success()
	if err != nil {
		return nil, c.afterFailure(err, 1)
	}
	res := &Result{Fields: stringsOf(head["fields"])}
	for {
		m, err := c.Answer()
		if err != nil {
			return nil, c.afterFailure(err, 0)
		}
		d := packstream.NewDecoder(m.Fields)
		v := d.Value()
		if d.Err() != nil {
			return nil, d.Err()
		}
		if m.Tag == TagSuccess {
			res.Summary, _ = v.(map[string]any)
			return res, nil
		}
		row, _ := v.([]any)
		res.Rows = append(res.Rows, row)
	}
}

func (c *Client) appendRun(dst []byte, text string, params, extra map[string]any) []byte {
	pull := []any{map[string]any{"n": -1}}
	if c.Version < V4_0 {
		pull = nil
	}
	run := []any{text, params, extra}
	if c.Version < V3 {
		run = run[:2]
	}
	return AppendMessage(AppendMessage(dst, TagRun, run...), TagPull, pull...)
}

// afterFailure resets the connection when err was the server's FAILURE, with owed answers still to come. When that works it
// returns the *Failure itself, else one joined with the reason.
func (c *Client) afterFailure(err error, owed int) error {
	var f *Failure
	if !errors.As(err, &f) {
		return err
	}
	if reset := c.Reset(owed); reset != nil {
		return errors.Join(err, reset)
	}
	return f
}

func stringsOf(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, _ := e.(string)
		out = append(out, s)
	}
	return out
}

// Close says GOODBYE where the version has it and closes the connection.
func (c *Client) Close() error {
	if c.Version >= V3 {
		c.Conn.Write(Goodbye) //nolint:errcheck // the connection ends either way
	}
	return c.Conn.Close()
}

// Trim frees the buffers of a connection that is about to lie idle or be relayed. Bytes that were read beyond the last
// answer are an error: the connection is not in step.
func (c *Client) Trim() error {
	if n := c.read.Buffered(); n > 0 {
		return fmt.Errorf("bolt: %d bytes came that nobody asked for", n)
	}
	c.read.buf, c.read.scratch, c.out = nil, nil, nil
	c.read.start, c.read.end = 0, 0
	return nil
}
