package exchange

// This file owns the raw client: it sends a scenario's requests and writes down the answers.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// Server is who a scenario is run against.
type Server struct {
	Dial           func() (net.Conn, error)
	Version        bolt.Version
	User, Password string
	Patience       time.Duration // for one answer; 0 means 10 s
}

// Run goes through a scenario's requests on a connection of its own and returns them with the answers. Its error means that the server cannot
// be reached or logged on to; whatever a server answers after that is an answer.
func (s Server) Run(scenario Scenario) (Scenario, error) {
	done := Scenario{Name: scenario.Name, About: scenario.About}
	conn, err := s.Dial()
	if err != nil {
		return done, err
	}
	defer conn.Close()
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	conn.SetDeadline(time.Now().Add(s.Patience))
	if _, err := bolt.Handshake(conn, s.Version); err != nil {
		return done, err
	}
	lines := scenario.Requests().Lines
	c := &client{Server: s, conn: conn, read: bolt.Reader{Source: conn, Limit: 64 << 20}, uncounted: slices.ContainsFunc(lines, waits)}
	if len(lines) > 0 && lines[0] == "bare" {
		done.Lines, lines = append(done.Lines, "bare"), lines[1:]
	} else if err := c.logon(); err != nil {
		return done, err
	}
	for len(lines) > 0 && !c.closed {
		n := batch(lines)
		if err := c.send(lines[:n]); err != nil {
			return done, fmt.Errorf("%s: %w", scenario.Name, err)
		}
		done.Lines = append(done.Lines, c.answers(lines[:n])...)
		lines = lines[n:]
	}
	return done, nil
}

// batch returns how many lines are sent in one write: up to a line that says to wait.
func batch(lines []string) int {
	for i, line := range lines {
		if line == wait || waits(line) {
			return i + 1
		}
	}
	return len(lines)
}

type client struct {
	Server
	conn     net.Conn
	read     bolt.Reader
	owed     int    // requests without their last answer
	bookmark string // the newest that came
	closed   bool

	uncounted bool // how many rows come before an interruption differs from run to run, so rows beside each other become one line
}

func (c *client) logon() error {
	return bolt.NewClient(c.conn, c.Version).Logon(bolt.HelloOptions{Agent: "raw/1"}, bolt.Basic(c.User, c.Password))
}

// send encodes the requests among lines and sends them in one write.
func (c *client) send(lines []string) error {
	var out []byte
	for _, line := range lines {
		text, ok := strings.CutPrefix(line, "C: ")
		if !ok {
			continue
		}
		message, err := c.encode(text)
		if err != nil {
			return fmt.Errorf("%w in %q", err, line)
		}
		out = append(out, message...)
		if text != "GOODBYE" {
			c.owed++
		}
	}
	c.conn.SetDeadline(time.Now().Add(c.Patience))
	if _, err := c.conn.Write(out); err != nil {
		c.closed = true // the answers, if any, say why
	}
	return nil
}

// encode turns "RUN "…" {} {}" into a message; "raw 0002B055…" are bytes as they stand.
func (c *client) encode(text string) ([]byte, error) {
	if raw, ok := strings.CutPrefix(text, "raw "); ok {
		return hex.DecodeString(strings.ReplaceAll(raw, " ", ""))
	}
	text = strings.NewReplacer("<user>", c.User, "<password>", c.Password, "<bookmark>", c.bookmark).Replace(text)
	p := parser{rest: text}
	tag, ok := c.tag(p.word())
	fields := p.values()
	if p.err != nil || !ok {
		return nil, errors.Join(errors.New("exchange: no request of this version"), p.err)
	}
	payload := packstream.AppendStruct(nil, tag, len(fields))
	for _, f := range fields {
		payload = packstream.AppendValue(payload, f)
	}
	return bolt.AppendChunks(nil, payload), nil
}

func (c *client) tag(name string) (byte, bool) {
	for tag := range 0x80 {
		if r, ok := bolt.RequestIn(byte(tag), c.Version); ok && r.Name == name {
			return byte(tag), true
		}
	}
	return 0, false
}

// answers reads what the lines of one batch are owed and returns the lines with the answers behind them.
func (c *client) answers(sent []string) []string {
	last := sent[len(sent)-1]
	lines := slices.DeleteFunc(slices.Clone(sent), func(line string) bool { return line == wait })
	enough := -1 // all that are owed
	if _, err := fmt.Sscanf(last, "W: %d", &enough); err != nil {
		enough = -1
	}
	for n := 0; c.owed > 0 && n != enough; n++ {
		line, err := c.answer()
		if err != nil {
			c.closed = true
			return append(lines, ended(err))
		}
		if c.uncounted && strings.HasPrefix(line, "S: RECORD") {
			line = "S: RECORD …"
		}
		if c.uncounted && line == lines[len(lines)-1] {
			continue
		}
		lines = append(lines, line)
	}
	if slices.Contains(sent, "C: GOODBYE") {
		_, err := c.read.ReadMessage()
		c.closed = true
		return append(lines, ended(err))
	}
	return lines
}

// ended says how a conversation ended other than by an answer.
func ended(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "S: silence"
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return "S: closed"
	case err == nil:
		return "S: more"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "S: closed" // a reset: the server closed before it had read everything
	}
	return "S: garbage " + err.Error()
}

// answer reads one message and returns it as a line.
func (c *client) answer() (string, error) {
	m, err := c.read.ReadMessage()
	if err != nil {
		return "", err
	}
	names := map[byte]string{bolt.TagSuccess: "SUCCESS", bolt.TagRecord: "RECORD", bolt.TagIgnored: "IGNORED", bolt.TagFailure: "FAILURE"}
	name, ok := names[m.Tag]
	if !ok {
		return "", fmt.Errorf("exchange: an answer with tag %02X", m.Tag)
	}
	if m.Tag != bolt.TagRecord {
		c.owed--
	}
	var b strings.Builder
	b.WriteString("S: " + name)
	d := packstream.NewDecoder(m.Fields)
	for range m.Count {
		b.WriteByte(' ')
		format(&b, c.mask("", d.Value()))
	}
	return b.String(), d.Err()
}

// volatile are the metadata whose values differ from run to run.
var volatile = map[string]masked{
	"t_first": "<ms>", "t_last": "<ms>", "result_available_after": "<ms>", "result_consumed_after": "<ms>", "connection_id": "<id>",
	"bookmark": "<bookmark>",
}

var (
	identity  = regexp.MustCompile(`\[B@[0-9a-f]+`) // how Java prints an array
	loopback  = regexp.MustCompile(`\b(127\.0\.0\.1|localhost):\d+`)
	bookmarks = regexp.MustCompile(`FB:[A-Za-z0-9+/=]+|neo4j:bookmark:v1:tx\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(:\d+)?`)
)

// mask replaces what differs from run to run, and keeps the newest bookmark for requests that carry <bookmark>.
func (c *client) mask(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = c.mask(k, inner)
		}
		return v
	case []any:
		for i := range v {
			v[i] = c.mask("", v[i])
		}
		return v
	case string:
		if key == "bookmark" {
			c.bookmark = v
		}
		if word, ok := volatile[key]; ok {
			return word
		}
		return identity.ReplaceAllString(bookmarks.ReplaceAllString(loopback.ReplaceAllString(v, "<address>"), "<bookmark>"), "<id>")
	case int64:
		if word, ok := volatile[key]; ok {
			return word
		}
	}
	return v
}
