//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file holds what becomes of clients of each kind in a hand-over.

// withTLS is what a frontend has for clients that speak TLS.
func withTLS(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("cert: %s/cert, key: %s/key", dir, dir)
}

// dialTLS is dial over TLS.
func (g *gateProcess) dialTLS(address string) *bolt.Client {
	g.t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return g.loggedOn(conn)
}

// loggedOn is a client on a connection of whatever kind.
func (g *gateProcess) loggedOn(conn net.Conn) *bolt.Client {
	g.t.Helper()
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		g.t.Fatal(err)
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// webSocket is a browser's side of a WebSocket as net.Conn. Read fails with a wsutil.ClosedError when the other side says goodbye.
type webSocket struct {
	net.Conn
	rest []byte // of the last frame
}

func (s *webSocket) Write(p []byte) (int, error) {
	return len(p), wsutil.WriteClientBinary(s.Conn, p)
}

func (s *webSocket) Read(p []byte) (n int, err error) {
	for len(s.rest) == 0 && err == nil {
		s.rest, err = wsutil.ReadServerBinary(s.Conn)
	}
	n = copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, err
}

// dialWebSocket is dial over WebSocket.
func (g *gateProcess) dialWebSocket(address string) *bolt.Client {
	g.t.Helper()
	conn, _, _, err := ws.Dial(g.t.Context(), "ws://"+address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return g.loggedOn(&webSocket{Conn: conn})
}

// writeThenRead writes over one session and reads over another, and is false when the read does not see the write.
func writeThenRead(t *testing.T, writer, reader *bolt.Client, mark int) bool {
	t.Helper()
	for _, c := range []*bolt.Client{writer, reader} {
		c.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	}
	if _, err := writer.Query("CREATE (n {mark: $mark})", map[string]any{"mark": mark}, nil); err != nil {
		t.Fatalf("write %d: %v", mark, err)
	}
	return readsMark(t, reader, mark)
}

func readsMark(t *testing.T, reader *bolt.Client, mark int) bool {
	t.Helper()
	r, err := reader.Query("MATCH (n {mark: $mark}) RETURN count(n) AS n", map[string]any{"mark": mark}, nil)
	if err != nil {
		t.Fatalf("read %d: %v", mark, err)
	}
	return len(r.Rows) == 1 && len(r.Rows[0]) == 1 && r.Rows[0][0] == int64(1)
}

func TestReadsSeeTheirUsersWritesBeforeWhileAndAfterTwoProcessesServe(t *testing.T) {
	t.Parallel()
	secure := loopback.Reserve(t)
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1, Replicas: 1, Lag: 30 * time.Millisecond})
	d.frontend = fmt.Sprintf("  - {name: secure, bind: %q, tls: {%s}}\n", secure, withTLS(t))
	g := startGateOf(t, d)
	plain, stays := g.dial(g.address), g.dialTLS(secure)
	last := 0
	both := func(when string) {
		t.Helper()
		for range 25 {
			last += 2
			if !writeThenRead(t, plain, stays, last) || !writeThenRead(t, stays, plain, last+1) {
				t.Fatalf("%s, round %d: a read does not see the write before it", when, last)
			}
		}
	}
	both("before")
	g.handOver(g.cmd.Process.Pid)
	both("while two processes serve")
	last += 10
	if _, err := stays.Query("CREATE (n {mark: $mark})", map[string]any{"mark": last}, nil); err != nil {
		t.Fatal(err)
	}
	stays.Conn.Close()
	g.ended()
	if !readsMark(t, plain, last) {
		t.Error("after the old process has ended a read does not see its user's last write there")
	}
}

func TestASessionInAnyStateGoesOn(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "users: [{name: dash, password: secret, member_user: neo4j, member_password: standin}]\n")
	failed, inTx, later := g.dial(g.address), g.dial(g.address), g.dial(g.address)
	dash, err := g.logOn(bolt.Basic("dash", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := failed.Ask(bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{"db": "nowhere"})); err == nil {
		t.Fatal("the session did not fail")
	}
	if _, err := inTx.Ask(begin); err != nil {
		t.Fatal(err)
	}
	later.Conn.Write(begin[:3]) //nolint:errcheck // shows below
	g.handOver(g.cmd.Process.Pid)
	if _, err := failed.Ask(commit); err == nil || !strings.Contains(strings.ToLower(err.Error()), "ignored") {
		t.Errorf("a session in the failed state answers %v; want IGNORED", err)
	}
	if err := failed.Reset(0); err != nil {
		t.Errorf("its RESET: %v", err)
	}
	if _, err := inTx.Ask(commit); err != nil {
		t.Errorf("COMMIT: %v", err)
	}
	later.Conn.Write(begin[3:]) //nolint:errcheck // shows in the answer
	if _, err := later.Success(); err != nil {
		t.Errorf("a BEGIN whose first half went to the old process: %v", err)
	}
	if _, err := later.Ask(commit); err != nil {
		t.Errorf("its COMMIT: %v", err)
	}
	if _, err := dash.Query("MATCH (n) RETURN n", nil, nil); err != nil {
		t.Errorf("a gate user: %v", err)
	}
	if _, err := dash.Query("CREATE (n) RETURN n", nil, nil); err == nil {
		t.Error("a gate user who only reads can write after a hand-over")
	}
	g.ended()
	g.stillThere([]*bolt.Client{failed, inTx, later}, "after the old process has ended")
}

// logOn is dial with another login.
func (g *gateProcess) logOn(auth bolt.Auth) (*bolt.Client, error) {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return nil, err
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		return nil, err
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	return c, c.Logon(bolt.HelloOptions{}, auth)
}

func TestAGateUserThatChangedHasToLogOnAgain(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "users: [{name: dash, password: secret, member_user: neo4j, member_password: standin}]\n")
	dash, err := g.logOn(bolt.Basic("dash", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	g.more = strings.Replace(g.more, "password: secret", "password: changed", 1)
	g.write(g.address)
	g.handOver(g.cmd.Process.Pid)
	g.ended()
	if _, err := dash.Query("MATCH (n) RETURN n", nil, nil); err == nil || !strings.Contains(err.Error(), bolt.CodeAuthExpired) {
		t.Errorf("got %v; want %s", err, bolt.CodeAuthExpired)
	}
}

func TestHTTPConnectionsAndTransactionsGoOn(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	answers := bufio.NewReader(conn)
	post := func(path string) (commit string) {
		t.Helper()
		body := `{"statements":[{"statement":"CREATE (n) RETURN n"}]}`
		r, err := http.NewRequest("POST", "http://"+g.address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(answers, r)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		text, err := io.ReadAll(a.Body)
		var said struct {
			Commit string
			Errors []any
		}
		if err = errors.Join(err, json.Unmarshal(text, &said)); err != nil || len(said.Errors) > 0 || a.StatusCode >= 300 {
			t.Fatalf("%s: %d %s, %v", path, a.StatusCode, text, err)
		}
		return strings.TrimPrefix(said.Commit, "http://"+g.address)
	}
	commit := post("/db/neo4j/tx")
	g.handOver(g.cmd.Process.Pid)
	post(commit)
	g.ended()
	post("/db/neo4j/tx/commit")
}

func TestWithoutACommonFormatIdleClientsStay(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "", otherFormats+"=1")
	idle := g.dial(g.address)
	g.takeOver(g.cmd.Process.Pid)
	g.stillThere([]*bolt.Client{idle}, "at the old process")
	if err := g.once(); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	g.ended()
	if _, err := idle.Query("MATCH (n) RETURN n", nil, nil); err == nil {
		t.Error("the client was passed to a process that does not know how to take it")
	}
}

func TestAServiceManagerIsToldWhoServesAndItsSocketsAreUsed(t *testing.T) {
	t.Parallel()
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1})
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Join(l.Close())
	path := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	said := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		heard.SetReadDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows below
		n, err := heard.Read(b)
		if err != nil || !bytes.Equal(b[:n], []byte(want)) {
			t.Fatalf("the service manager heard %q, %v; want %q", b[:n], err, want)
		}
	}
	d.write(d.address)
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "run", "-c", d.file)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=boltgate.socket", "NOTIFY_SOCKET=" + path}
	g := startCommand(t, d, cmd)
	file.Close()
	said("READY=1")
	if err := g.once(); err != nil {
		t.Error(err)
	}
	successor := g.handOver(g.cmd.Process.Pid)
	said("READY=1") // of a process that is not yet the service's: systemd does not listen to it
	said(fmt.Sprintf("MAINPID=%d", successor))
	g.ended()
	if err := g.once(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(successor, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	said("STOPPING=1")
}

// A process that dies takes along the clients that it had; every other one is served on by the process before it.
func TestNoClientHangsWhenASuccessorDiesWhileClientsGoToIt(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	clients := g.idleClients(300)
	successor := g.handOver(g.cmd.Process.Pid)
	if err := syscall.Kill(successor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.log.await(t, "this process accepts again")
	lost := 0
	for i, c := range clients {
		c.Conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // shows in use
		_, err := c.Query("MATCH (n) RETURN n", nil, nil)
		var late interface{ Timeout() bool }
		switch {
		case errors.As(err, &late) && late.Timeout():
			t.Fatalf("client %d waits for ever", i)
		case err != nil:
			lost++
		}
	}
	t.Logf("%d of %d clients had gone to the process that died", lost, len(clients))
	if err := g.once(); err != nil {
		t.Error(err)
	}
	g.handOver(g.cmd.Process.Pid) // those that are left can go to the next
	g.ended()
}

func TestHTTPInsideTLSComesBackToTheNewProcess(t *testing.T) {
	t.Parallel()
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1})
	secure := loopback.Reserve(t)
	d.frontend = fmt.Sprintf("  - {name: secure, bind: %q, tls: {%s}}\n", secure, withTLS(t))
	g := startGateOf(t, d)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	post := func() (closes bool) {
		t.Helper()
		r, err := http.NewRequest("POST", "https://"+secure+"/db/neo4j/tx/commit", strings.NewReader(`{"statements":[{"statement":"CREATE (n) RETURN n"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode >= 300 {
			t.Fatalf("%d, %v", a.StatusCode, err)
		}
		return a.Close
	}
	if post() {
		t.Error("the connection ends before the hand-over")
	}
	g.handOver(g.cmd.Process.Pid)
	if !post() {
		t.Error("the old process keeps the connection")
	}
	if post() {
		t.Error("the new process does not keep its connection")
	}
	g.ended()
}

func TestBoltOverWebSocketStaysAndGoesOn(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "")
	idle, inTx := g.dialWebSocket(g.address), g.dialWebSocket(g.address)
	if _, err := inTx.Ask(begin); err != nil {
		t.Fatal(err)
	}
	g.handOver(g.cmd.Process.Pid)
	if line := g.log.await(t, "clients went to the successor"); !strings.Contains(line, `"clients":0,"stay":2`) {
		t.Errorf("the old process said %s", line)
	}
	if _, err := inTx.Ask(commit); err != nil {
		t.Errorf("COMMIT of a transaction that was open during the hand-over: %v", err)
	}
	for _, c := range []*bolt.Client{idle, inTx} {
		if _, err := c.Query("CREATE (n) RETURN n", nil, nil); err != nil {
			t.Errorf("a write after the hand-over: %v", err)
		}
		c.Conn.Close()
	}
	g.ended()
}

// TestClientsThatStayedEndWithTheirTime: when shutdown.handover has passed the old process ends as one that gets SIGTERM. Transactions end first; then
// each client hears the goodbye of its protocol, and what is open over HTTP goes on at the new process.
func TestClientsThatStayedEndWithTheirTime(t *testing.T) {
	t.Parallel()
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1})
	secure := loopback.Reserve(t)
	d.frontend = fmt.Sprintf("  - {name: secure, bind: %q, tls: {%s}}\n", secure, withTLS(t))
	d.more = "shutdown: {handover: 1s, timeout: 1m}\n"
	g := startGateOf(t, d)
	idle, browser, inTx := g.dialTLS(secure), g.dialWebSocket(g.address), g.dialTLS(secure)
	if _, err := inTx.Ask(begin); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	waiting := postStatement(t, client, "https://"+secure+"/db/neo4j/tx")
	g.handOver(g.cmd.Process.Pid)
	g.log.await(t, "the clients that stayed with this process are ended")
	for _, c := range []*bolt.Client{idle, browser, inTx} {
		c.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	}
	if _, err := inTx.Ask(commit); err != nil {
		t.Errorf("COMMIT after shutdown.handover, within shutdown.timeout: %v", err)
	}
	for name, c := range map[string]*bolt.Client{"that was idle": idle, "whose transaction has ended": inTx} {
		if _, err := c.Conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a client over TLS %s: %v; want the end that TLS has", name, err)
		}
	}
	_, err := browser.Conn.Read(make([]byte, 1))
	if closed, ok := errors.AsType[wsutil.ClosedError](err); !ok || closed.Code != ws.StatusNormalClosure {
		t.Errorf("a client over WebSocket: %v; want a close frame", err)
	}
	g.ended()
	client.CloseIdleConnections() // it may not have looked yet
	postStatement(t, client, waiting)
}

// TestClientsThatDoNotEndAreCut: a transaction that does not end keeps the old process no longer than shutdown.timeout.
func TestClientsThatDoNotEndAreCut(t *testing.T) {
	t.Parallel()
	g := startGate(t, standin.Options{Seed: 1}, "shutdown: {handover: 1s, timeout: 1s}\n")
	inTx := g.dialWebSocket(g.address)
	if _, err := inTx.Ask(begin); err != nil {
		t.Fatal(err)
	}
	g.handOver(g.cmd.Process.Pid)
	inTx.Conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	_, err := inTx.Conn.Read(make([]byte, 1))
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("the client heard %v; want the end of its connection", err)
	}
	g.log.await(t, "1 units of work were cut at the end of shutdown.timeout")
	if err := g.cmd.Wait(); err == nil {
		t.Error("the process ended as if all its work had")
	}
	if err := g.once(); err != nil {
		t.Errorf("at the new process: %v", err)
	}
}
