package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/boltgate/boltgate/bolt"
)

// boltPlan is what every Bolt client of a run says: its login, and the steps of an operation in the newest shape (the messages used are the same
// in all versions from 4.0 to 6.1).
type boltPlan struct {
	hello bolt.HelloOptions
	auth  bolt.Auth
	steps []step
}

// step is requests sent in one write, and how many answers (RECORDs not counted) end it.
type step struct {
	send    []byte
	answers int
}

// boltVersions are proposed in this order; all speak the messages of boltPlan.
var boltVersions = []bolt.Version{bolt.V5_8, bolt.V5_4, bolt.V4_4, bolt.V4_0}

func (l Load) boltPlan(m Mode) boltPlan {
	p := boltPlan{hello: bolt.HelloOptions{Agent: "boltgate-bench/1"}}
	if l.User != "" {
		p.auth = bolt.Basic(l.User, l.Password)
	} else {
		p.auth, _ = bolt.ParseAuth([]byte("\xA1\x86scheme\x84none")) //nolint:errcheck // it is well-formed
	}
	extra := map[string]any{}
	if l.Database != "" {
		extra["db"] = l.Database
	}
	switch l.Access {
	case "read":
		extra["mode"] = "r"
	case "write":
		extra["mode"] = "w"
	}
	pull := bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": 1000}) // the drivers' fetch size
	run := func(dst []byte, extra map[string]any) []byte {
		return append(bolt.AppendMessage(dst, bolt.TagRun, l.Query, map[string]any{}, extra), pull...)
	}
	p.steps = []step{{run(nil, extra), 2}}
	if m == Explicit {
		begin := bolt.AppendMessage(nil, bolt.TagBegin, extra)
		p.steps = []step{{run(begin, map[string]any{}), 3}, {bolt.AppendMessage(nil, bolt.TagCommit), 1}}
	}
	return p
}

// logon takes a fresh connection through handshake and login.
func (p *boltPlan) logon(conn net.Conn) (*bolt.Client, error) {
	v, err := bolt.Handshake(conn, boltVersions...)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", conn.RemoteAddr(), err)
	}
	c := bolt.NewClient(conn, v)
	if err := c.Logon(p.hello, p.auth); err != nil {
		return nil, fmt.Errorf("bench: logging on at %s: %w", conn.RemoteAddr(), err)
	}
	if err := c.Trim(); err != nil {
		return nil, fmt.Errorf("bench: after the login at %s: %w", conn.RemoteAddr(), err)
	}
	return c, nil
}

// boltClient repeats the steps of an operation on one connection and reads the answers without decoding them.
type boltClient struct {
	conn       net.Conn
	steps      []step
	buf        [4096]byte
	start, end int // what of buf is unread
}

func (c *boltClient) close() { c.conn.Close() }

func (c *boltClient) do() error {
	for i := range c.steps {
		s := &c.steps[i]
		if _, err := c.conn.Write(s.send); err != nil {
			return err
		}
		for left := s.answers; left > 0; {
			tag, err := c.answer()
			if err != nil {
				return err
			}
			if tag != bolt.TagRecord {
				left--
			}
		}
	}
	return nil
}

// answer reads past one message of any size and returns its tag. FAILURE and IGNORED are errors: the connection is then given up.
func (c *boltClient) answer() (byte, error) {
	var tag byte
	for ok := false; !ok; {
		var err error
		c.start += bolt.SkipNoops(c.buf[c.start:c.end])
		if tag, _, ok, err = bolt.PeekTag(c.buf[c.start:c.end]); err != nil {
			return 0, err
		}
		if !ok {
			if err := c.fill(); err != nil {
				return 0, err
			}
		}
	}
	if tag != bolt.TagSuccess && tag != bolt.TagRecord {
		return 0, c.refusal(tag)
	}
	return tag, c.skip()
}

// skip goes past the message that begins at start.
func (c *boltClient) skip() error {
	var walk bolt.Walk
	for {
		n, done := walk.Next(c.buf[c.start:c.end])
		c.start += n
		if done {
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// fill reads more, behind what is unread.
func (c *boltClient) fill() error {
	if c.start == c.end {
		c.start, c.end = 0, 0
	} else if c.end == len(c.buf) {
		c.end = copy(c.buf[:], c.buf[c.start:c.end])
		c.start = 0
	}
	n, err := c.conn.Read(c.buf[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (c *boltClient) refusal(tag byte) error {
	if tag != bolt.TagFailure {
		return fmt.Errorf("bench: answer with tag %02x", tag)
	}
	rest := io.MultiReader(bytes.NewReader(c.buf[c.start:c.end]), c.conn)
	m, err := (&bolt.Reader{Source: rest}).ReadMessage()
	if err != nil {
		return err
	}
	f, err := bolt.ParseFailure(m.Fields)
	if err != nil {
		return err
	}
	return f
}

// reconnecting makes a connection for each operation.
type reconnecting struct {
	target *target
	ctx    context.Context
	index  int
}

func (c *reconnecting) close() {}

func (c *reconnecting) do() error {
	conn, err := c.target.connect(c.ctx, c.index)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := c.target.bolt.logon(conn); err != nil {
		return err
	}
	one := boltClient{conn: conn, steps: c.target.bolt.steps}
	if err := one.do(); err != nil {
		return err
	}
	_, err = conn.Write(bolt.Goodbye)
	return errors.Join(err, conn.Close())
}
