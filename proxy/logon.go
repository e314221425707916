package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// recvTimeout is the hint connection.recv_timeout_seconds that we give (4.3+); NOOPs keep well below it.
const recvTimeout = 120

// handshakeIO lets the handshake read what the inbox holds before it reads the connection.
type handshakeIO struct{ s *boltSession }

func (h handshakeIO) Read(p []byte) (int, error) {
	in := &h.s.in
	if in.start == in.end {
		if err := in.fill(maxBeforeLogin); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.start:in.end])
	in.start += n
	in.tidy()
	return n, nil
}

func (h handshakeIO) Write(p []byte) (int, error) { return h.s.client.Write(p) }

// handshake settles on a version that all members speak. While no member has told its versions it waits.
func (s *boltSession) handshake(ctx context.Context) error {
	offered, err := s.offeredVersions(ctx)
	if err != nil {
		return err
	}
	defer s.greet()()
	defer s.startStep()
	s.client.Conn.SetDeadline(time.Now().Add(handshakeTime(s.front.settings.Load()))) //nolint:errcheck // shows in Read
	defer s.client.Conn.SetDeadline(time.Time{})                                      //nolint:errcheck // shows in Read
	s.version, err = bolt.AcceptHandshake(handshakeIO{s}, offered)
	switch {
	case errors.Is(err, bolt.ErrNoVersion):
		return fmt.Errorf("proxy: the client and the members share no Bolt version (members: %v): %w", offered, err)
	case isTimeout(err):
		return fmt.Errorf("proxy: no handshake within timeouts.handshake: %w", err)
	}
	s.dialect.Store(uint32(dialectOf(s.version, false)))
	return err
}

func (s *boltSession) offeredVersions(ctx context.Context) ([]bolt.Version, error) {
	deadline := time.NewTimer(s.srv.options.Load().Hold)
	defer deadline.Stop()
	for {
		v := s.srv.current.View()
		if v.Versions != nil { // empty: the members have nothing in common, and the client is told so
			return v.Versions, nil
		}
		select {
		case <-v.Replaced():
		case <-ctx.Done():
			return nil, errClosed
		case <-deadline.C:
			s.client.Write([]byte{0, 0, 0, 0}) //nolint:errcheck // the session ends either way
			return nil, errors.New("proxy: no member has told which Bolt versions it speaks")
		}
	}
}

// serveHello reads INIT or HELLO, which up to 5.0 are the log-on as well.
func (s *boltSession) serveHello(ctx context.Context, tag byte) error {
	if tag != bolt.TagHello {
		return s.illegal(tag)
	}
	raw, ok, err := s.wholeRequest(maxBeforeLogin)
	if err != nil || !ok {
		return err
	}
	payload, _ := bolt.Payload(raw, nil)
	extra, err := s.parseHello(payload[2:])
	s.in.drop()
	if err != nil {
		return s.violation(err)
	}
	if s.version >= bolt.V5_1 {
		return s.introduce(ctx)
	}
	auth, err := bolt.ParseAuth(extra)
	if err != nil {
		return s.violation(err)
	}
	hello, err := s.logOn(ctx, auth)
	if err != nil {
		return err
	}
	s.out = bolt.AppendSuccess(s.out, hello)
	return nil
}

// parseHello keeps what later steps need and returns the encoded map that may hold the authentication.
func (s *boltSession) parseHello(fields []byte) (extra []byte, err error) {
	d := packstream.NewDecoder(fields)
	if s.version < bolt.V3 {
		s.agent = string(d.String())
		extra = slices.Clone(d.Raw())
		return extra, d.Err()
	}
	extra = slices.Clone(d.Raw())
	if d.Err() != nil {
		return nil, d.Err()
	}
	m := packstream.NewDecoder(extra)
	for range m.Map() {
		start := m.Offset()
		switch key := string(m.String()); {
		case key == "user_agent" && m.Kind() == packstream.KindString:
			s.agent = string(m.String())
		case key == "routing" && s.version >= bolt.V4_1:
			s.parseRouting(m.Raw())
		case key == "patch_bolt" && (s.version == bolt.V4_3 || s.version == bolt.V4_4):
			patches := packstream.NewDecoder(m.Raw())
			list, _ := patches.Value().([]any)
			s.utc = slices.Contains(list, any("utc"))
		case strings.HasPrefix(key, "notifications_") && s.version >= bolt.V5_2:
			m.Skip()
			s.notify = append(s.notify, extra[start:m.Offset()]...)
			s.notifyN++
		default:
			m.Skip()
		}
	}
	return extra, m.Err()
}

func (s *boltSession) parseRouting(raw []byte) {
	d := packstream.NewDecoder(raw)
	if d.Kind() != packstream.KindMap {
		return
	}
	s.routed = true
	for range d.Map() {
		if string(d.String()) == "address" && d.Kind() == packstream.KindString {
			s.address = string(d.String())
			continue
		}
		d.Skip()
	}
}

// helloAnswer is what the gate says of itself (design "What clients are told").
func (s *boltSession) helloAnswer(server string) map[string]any {
	answer := map[string]any{"server": server}
	if s.version >= bolt.V3 {
		answer["connection_id"] = s.id
	}
	if s.version >= bolt.V4_3 {
		answer["hints"] = map[string]any{"connection.recv_timeout_seconds": int64(recvTimeout)}
	}
	if s.utc {
		answer["patch_bolt"] = []any{"utc"}
	}
	if s.version >= bolt.V5_7 {
		answer["protocol_version"] = s.version.String()
	}
	return answer
}

// introduce answers HELLO on 5.1+, where the login comes next. Some member's agent must be known; it waits for that.
func (s *boltSession) introduce(ctx context.Context) error {
	server := s.server(s.srv.current.View())
	for deadline := time.Now().Add(s.srv.options.Load().Hold); server == ""; server = s.server(s.srv.current.View()) {
		wait, cancel := context.WithDeadline(ctx, deadline)
		select {
		case <-s.srv.current.View().Replaced():
		case <-wait.Done():
		}
		expired := wait.Err() != nil
		cancel()
		if expired {
			s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeLeaderSwitch, "boltgate: no member of the cluster can be reached")
			return errors.New("proxy: no member's version is known")
		}
	}
	s.state = stateLogon
	s.startStep()
	s.out = bolt.AppendSuccess(s.out, s.helloAnswer(server))
	return nil
}

// server is the lowest version among the members that can serve the session, as that member said it.
func (s *boltSession) server(v *cluster.View) string {
	lowest := ""
	for m := range v.Up() {
		if m.Agent != "" && m.Speaks(s.version) && (lowest == "" || olderAgent(m.Agent, lowest)) {
			lowest = m.Agent
		}
	}
	return lowest
}

// olderAgent compares the numbers in "Neo4j/5.26.0".
func olderAgent(a, b string) bool { return slices.Compare(agentNumbers(a), agentNumbers(b)) < 0 }

func agentNumbers(agent string) []int {
	_, version, _ := strings.Cut(agent, "/")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		end := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' })
		if end >= 0 {
			part = part[:end]
		}
		n, _ := strconv.Atoi(part)
		numbers = append(numbers, n)
	}
	return numbers
}

// serveLogon reads LOGON (5.1+).
func (s *boltSession) serveLogon(ctx context.Context, tag byte) error {
	if tag != bolt.TagLogon {
		return s.illegal(tag)
	}
	raw, ok, err := s.wholeRequest(maxBeforeLogin)
	if err != nil || !ok {
		return err
	}
	payload, _ := bolt.Payload(raw, nil)
	auth, err := bolt.ParseAuth(payload[2:])
	s.in.drop()
	if err != nil {
		return s.violation(err)
	}
	hello, err := s.logOn(ctx, auth)
	if err != nil {
		return err
	}
	answer := map[string]any{}
	if expired, ok := hello["credentials_expired"]; ok {
		answer["credentials_expired"] = expired
	}
	s.out = bolt.AppendSuccess(s.out, answer)
	return nil
}

// logOn has a member verify the credentials, unless one did so moments ago, and makes the session READY. It returns the
// answer to HELLO. When the member refuses, its own FAILURE is the answer and the session ends.
func (s *boltSession) logOn(ctx context.Context, auth bolt.Auth) (map[string]any, error) {
	if s.over {
		return nil, s.refuseConnection()
	}
	if s.srv.memory.full.Load() {
		return nil, s.refuseLogOn()
	}
	auth, err := s.admit(ctx, auth)
	if err != nil {
		return nil, err
	}
	s.utc = s.utc && s.allAcceptUTC()
	s.dialect.Store(uint32(dialectOf(s.version, s.utc)))
	s.identity, s.routedIdentity = pool.NewIdentity(s.key(false), auth, s.notifyN), nil
	login, remembered := s.srv.logins.enter(auth, s.identity)
	s.login, s.account = login, accountOf(s.gateUser, auth)
	hello := s.helloAnswer(s.server(s.srv.current.View()))
	if !remembered || s.identity.Single() || hello["server"] == "" { // a member that tells only who logs on what it is
		said, err := s.verify(ctx)
		if err != nil {
			return nil, err
		}
		for _, key := range []string{"server", "credentials_expired"} {
			if v, ok := said[key]; ok && (hello[key] == nil || hello[key] == "") {
				hello[key] = v
			}
		}
	}
	s.state = stateReady
	s.loggedOn(auth.Principal)
	if s.srv.current.View().Blind {
		s.srv.learner.soon()
	}
	return hello, nil
}

func (s *boltSession) key(routed bool) pool.Key {
	return pool.Key{Version: s.version, UTC: s.utc, Routed: routed, Notify: string(s.notify)}
}

// allAcceptUTC tells whether every member that can serve the session takes the patch: date-times must look the same
// whoever answers.
func (s *boltSession) allAcceptUTC() bool {
	for m := range s.srv.current.View().Up() {
		if m.Speaks(s.version) && !m.UTC {
			return false
		}
	}
	return true
}

// verify logs on to a member and returns what it said. The connection joins the pool.
func (s *boltSession) verify(ctx context.Context) (map[string]any, error) {
	if err := s.srv.throttle.wait(ctx, s.remote); err != nil {
		return nil, err
	}
	s.unit.reset() // a log-on has its own place in the line, and its own failover.hold
	in := routing.Intent{Mode: routing.Read, Version: s.version, UTC: s.utc, Now: s.now}
	if s.identity.Single() { // it stays with this connection, whatever work comes
		in.Mode = routing.Write
	}
	lease, err := s.borrow(ctx, in, true)
	if err != nil {
		return nil, s.refused(err)
	}
	s.srv.throttle.good(s.remote)
	said := lease.Client.Hello
	if said["credentials_expired"] == nil { // else every log-on has to hear of it
		s.srv.logins.verified(s.login, s.identity)
	}
	if s.identity.Single() {
		s.pin(lease)
	} else {
		lease.Release(true)
	}
	return said, nil
}

// refused ends a log-on that did not succeed.
func (s *boltSession) refused(err error) error {
	if f, ok := errors.AsType[*bolt.Failure](err); ok {
		if s.gateUser != nil {
			return s.memberRefused(f)
		}
		if aboutLogin(f) {
			s.srv.throttle.bad(s.remote)
		}
		s.out = f.Append(s.out, s.version)
		return fmt.Errorf("proxy: login refused by a member: %s", f.Code)
	}
	if errors.Is(err, errLeft) || err == io.EOF {
		return errClosed
	}
	s.srv.counts.turn(err)
	code := bolt.CodeLeaderSwitch
	if f := failureFor(err); f != nil && f.Code == bolt.CodeNoThreads {
		code = f.Code
	}
	s.out = bolt.AppendFailure(s.out, s.version, code, "boltgate: no member could verify the login: "+plain(err))
	return fmt.Errorf("proxy: no member could verify the login: %w", err)
}

// plain is an error's text without the package prefixes, for people who read a driver's exception.
func plain(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	for _, prefix := range []string{"proxy: ", "pool: ", "routing: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

func (s *boltSession) logoff() {
	s.leaveLogin()
	s.unpin()
	s.identity, s.routedIdentity, s.seen = nil, nil, nil
	s.loggedOff()
	s.state = stateLogon
	s.startStep()
}
