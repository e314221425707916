package bench

import (
	"bytes"
	"net"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// boltAnswers are the instant server's messages, encoded once.
type boltAnswers struct {
	versions []bolt.Version
	hello    []byte
	empty    []byte
	run      []byte // SUCCESS of RETURN 1
	runTx    []byte // the same inside a transaction
	rows     []byte // its record and end
	rowsTx   []byte
	commit   []byte
	route    []byte
	invalid  []byte
	control  []controlAnswer
}

// controlAnswer is what a query of the gate's checks gets: matched by a piece of its text.
type controlAnswer struct {
	text      string // upper case
	run, rows []byte
}

// bookmark has the form of 5.x, FB: and base64: transaction 1 of some database. It is not decoded by the instant server.
const bookmark = "FB:kcwQAQIDBAUGBwgJCgsMDQ4PEMkAAZA="

func newBoltAnswers(address, role, peer string) *boltAnswers {
	agent, versions := "Neo4j/5.26.0", []bolt.Version{
		bolt.V5_8, bolt.V5_7, bolt.V5_6, bolt.V5_4, bolt.V5_3, bolt.V5_2, bolt.V5_1, bolt.V5_0, bolt.V4_4, bolt.V4_3, bolt.V(4, 2), bolt.V4_1, bolt.V4_0,
	}
	if role == "master" || role == "slave" {
		agent, versions = "Neo4j/3.5.0", []bolt.Version{bolt.V3}
	}
	fields := map[string]any{"fields": []string{"1"}, "t_first": 0}
	fieldsTx := map[string]any{"fields": []string{"1"}, "t_first": 0, "qid": 0}
	row := bolt.AppendMessage(nil, bolt.TagRecord, []any{int64(1)})
	end := map[string]any{"bookmark": bookmark, "db": "neo4j", "type": "r", "t_last": 0}
	endTx := map[string]any{"db": "neo4j", "type": "r", "t_last": 0}
	everywhere := []any{}
	for _, r := range []string{"WRITE", "READ", "ROUTE"} {
		everywhere = append(everywhere, map[string]any{"addresses": []string{address}, "role": r})
	}
	return &boltAnswers{
		versions: versions,
		hello:    bolt.AppendSuccess(nil, map[string]any{"server": agent, "connection_id": "bolt-1", "hints": map[string]any{}}),
		empty:    bolt.EmptySuccess,
		run:      bolt.AppendSuccess(nil, fields),
		runTx:    bolt.AppendSuccess(nil, fieldsTx),
		rows:     bolt.AppendSuccess(bytes.Clone(row), end),
		rowsTx:   bolt.AppendSuccess(bytes.Clone(row), endTx),
		commit:   bolt.AppendSuccess(nil, map[string]any{"bookmark": bookmark}),
		route: bolt.AppendSuccess(nil, map[string]any{
			"rt": map[string]any{"ttl": 300, "db": "neo4j", "servers": everywhere},
		}),
		invalid: bolt.AppendFailure(nil, bolt.V4_4, bolt.CodeInvalidRequest, "the instant server knows no such message"),
		control: controlAnswers(address, agent, role, peer),
	}
}

// controlAnswers are the tables that tell what kind of server this is (operations manual, "SHOW DATABASES"; "dbms.components").
func controlAnswers(address, agent, role, peer string) []controlAnswer {
	edition := "community"
	if role != "" {
		edition = "enterprise"
	}
	row := func(name string, home bool, address string, writes bool) []any {
		return []any{name, "standard", []any{}, "read-write", address, "primary", writes, "online", "online", "", home, home, []any{}}
	}
	database := func(name string, home bool) [][]any {
		rows := [][]any{row(name, home, address, role != "follower")}
		if peer != "" {
			rows = append(rows, row(name, home, peer, role == "follower"))
		}
		return rows
	}
	columns := []string{"name", "type", "aliases", "access", "address", "role", "writer", "requestedStatus", "currentStatus", "statusMessage",
		"default", "home", "constituents"}
	_, version, _ := strings.Cut(agent, "/")
	return []controlAnswer{
		table("SHOW HOME DATABASE", columns, database("neo4j", true)...),
		table("SHOW DEFAULT DATABASE", columns, database("neo4j", true)...),
		table("SHOW DATABASE", columns, append(database("neo4j", true), database("system", false)...)...),
		table("DBMS.COMPONENTS", []string{"name", "versions", "edition"}, []any{"Neo4j Kernel", []any{version}, edition}),
		table("SHOW PROCEDURES", []string{"name", "mode"}),
		table("DBMS.PROCEDURES", []string{"name", "mode"}),
	}
}

func table(text string, columns []string, rows ...[]any) controlAnswer {
	c := controlAnswer{text: text, run: bolt.AppendSuccess(nil, map[string]any{"fields": columns, "t_first": 0})}
	for _, r := range rows {
		c.rows = bolt.AppendMessage(c.rows, bolt.TagRecord, r)
	}
	c.rows = bolt.AppendSuccess(c.rows, map[string]any{"bookmark": bookmark, "db": "system", "type": "r", "t_last": 0})
	return c
}

// serve answers one connection until it ends or says what is not understood.
func (a *boltAnswers) serve(conn net.Conn) {
	if _, err := bolt.AcceptHandshake(conn, a.versions); err != nil {
		return
	}
	s := instantSession{answers: a, in: make([]byte, 0, 4096), out: make([]byte, 0, 1024)}
	for {
		if len(s.in) == cap(s.in) {
			s.in = append(s.in, 0)[:len(s.in)] // a message larger than the buffer
		}
		n, err := conn.Read(s.in[len(s.in):cap(s.in)])
		if n == 0 && err != nil {
			return
		}
		s.in = s.in[:len(s.in)+n]
		ok := s.answer()
		if len(s.out) > 0 {
			if _, err := conn.Write(s.out); err != nil {
				return
			}
			s.out = s.out[:0]
		}
		if !ok {
			return
		}
	}
}

// instantSession is one connection, owned by its goroutine.
type instantSession struct {
	answers *boltAnswers
	in, out []byte
	inTx    bool
	pending []byte // what the next PULL is answered; nil: the rows of RETURN 1
}

// answer takes every whole message of in and appends the answers to out. False: the connection is to be closed.
func (s *instantSession) answer() bool {
	rest := s.in
	for ok := true; ok; {
		rest = rest[bolt.SkipNoops(rest):]
		var walk bolt.Walk
		n, done := walk.Next(rest)
		if !done {
			break
		}
		ok = s.message(rest[:n])
		rest = rest[n:]
		if !ok {
			return false
		}
	}
	s.in = s.in[:copy(s.in, rest)]
	return true
}

func (s *instantSession) message(raw []byte) bool {
	a := s.answers
	tag, _, ok, err := bolt.PeekTag(raw)
	if !ok || err != nil {
		return false
	}
	switch tag {
	case bolt.TagRun:
		s.run(raw)
	case bolt.TagPull, bolt.TagDiscard:
		s.pull()
	case bolt.TagBegin:
		s.inTx = true
		s.out = append(s.out, a.empty...)
	case bolt.TagCommit:
		s.inTx = false
		s.out = append(s.out, a.commit...)
	case bolt.TagReset, bolt.TagRollback:
		s.inTx, s.pending = false, nil
		s.out = append(s.out, a.empty...)
	case bolt.TagLogon, bolt.TagLogoff, bolt.TagTelemetry:
		s.out = append(s.out, a.empty...)
	case bolt.TagHello:
		s.out = append(s.out, a.hello...)
	case bolt.TagRoute:
		s.out = append(s.out, a.route...)
	case bolt.TagGoodbye:
		return false
	default:
		s.out = append(s.out, a.invalid...)
		return false
	}
	return true
}

// run answers RUN: at once for what does not begin like a query of the checks.
func (s *instantSession) run(raw []byte) {
	a := s.answers
	s.pending = nil
	if c := s.control(raw); c != nil {
		s.pending = c.rows
		s.out = append(s.out, c.run...)
		return
	}
	if s.inTx {
		s.out = append(s.out, a.runTx...)
		return
	}
	s.out = append(s.out, a.run...)
}

func (s *instantSession) control(raw []byte) *controlAnswer {
	payload, _ := bolt.Payload(raw, nil)
	d := packstream.NewDecoder(payload[2:])
	text := d.String()
	if len(text) < 8 || text[0]|0x20 == 'r' { // RETURN 1 and its like
		return nil
	}
	upper := strings.ToUpper(string(text))
	for i := range s.answers.control {
		if strings.Contains(upper, s.answers.control[i].text) {
			return &s.answers.control[i]
		}
	}
	return nil
}

func (s *instantSession) pull() {
	switch a := s.answers; {
	case s.pending != nil:
		s.out = append(s.out, s.pending...)
		s.pending = nil
	case s.inTx:
		s.out = append(s.out, a.rowsTx...)
	default:
		s.out = append(s.out, a.rows...)
	}
}
