// Package reloads reloads a gate again and again while drivers and HTTP clients work through it, and counts what failed: nothing may. Only
// tests import it; they start the gate, in this process or as a program, in front of stand-ins or real servers:
//
//	w := reloads.World{…}
//	w.Put(t, 0) // the first configuration
//	… start the gate with w.File …
//	w.Run(t, 100)
//
// This file owns the rounds: what each changes, and what has to be true after it. work.go owns the clients, forms.go the files.
package reloads

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// World is a gate and what it stands before.
type World struct {
	Members  []Member
	Optional string // the name of a member that some forms leave out; "" none
	User     string
	Password string
	Writing  string // a statement that writes, with the parameter mark
	Reading  string

	File  string // the gate's configuration
	Dir   string // for certificates
	Main  string // address of the frontend that all forms have
	Extra string // of the one that only odd ones have
	Admin string
	Pause time.Duration // of a client between two units of work
}

// Member is one of the cluster.
type Member struct{ Name, Bolt, HTTP string }

// Result is what the clients did.
type Result struct {
	Units  int64 // of work that succeeded
	Writes int64 // of them, those that wrote one mark each
}

// Run reloads the gate so many times under load, with bad files in between.
func (w *World) Run(t testing.TB, rounds int) Result {
	t.Helper()
	work := w.start(t)
	for i := 1; i <= rounds; i++ {
		w.round(t, work, i)
		if t.Failed() {
			break
		}
	}
	result := work.end(t)
	t.Logf("%d reloads: %d units of work, %d of them writes", rounds, result.Units, result.Writes)
	return result
}

// round puts one form in force while a transaction is open on the frontend that it adds or takes away.
func (w *World) round(t testing.TB, work *work, i int) {
	t.Helper()
	var open *bolt.Client
	if i%2 == 0 { // the form before has the frontend
		open = w.transaction(t)
	}
	if i%5 == 0 {
		w.badFile(t, i)
	}
	w.Put(t, i)
	if status, text := w.reload(t); status != http.StatusOK {
		t.Fatalf("reload %d: got %d %s", i, status, text)
	}
	w.inForce(t, i)
	if open != nil {
		work.finish(t, open, i)
	}
	done := work.units.Load()
	for limit := time.Now().Add(time.Minute); work.units.Load() < done+int64(clients); time.Sleep(time.Millisecond) { // so that each form has work
		if time.Now().After(limit) {
			t.Fatalf("after reload %d no unit of work ends any more", i)
		}
		if work.failed() {
			return
		}
	}
}

// transaction begins one on a new connection to the frontend that comes and goes.
func (w *World) transaction(t testing.TB) *bolt.Client {
	t.Helper()
	conn, err := net.Dial("tcp", w.Extra)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		t.Fatal(err)
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(w.User, w.Password)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ask(bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{})); err != nil {
		t.Fatal(err)
	}
	return c
}

// reload asks for one, and returns what the gate says.
func (w *World) reload(t testing.TB) (status int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.Admin+"/api/v1/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// badFiles are files with a fault, and what the gate must say of it.
var badFiles = []struct{ text, said string }{
	{"frontends: [{name: main, colour: red}]\n", "colour"},
	{"frontends: [", "yaml"},
	{"", "no member is named"},
	{"CONFIG\nlimits: {memory: much}\n", "limits"},
	{"TLS", "cannot read the file"},
}

// badFile asks for a reload of a file with a fault: it must be refused with the reason, and nothing may change.
func (w *World) badFile(t testing.TB, i int) {
	t.Helper()
	bad := badFiles[i/5%len(badFiles)]
	before := w.form(i - 1)
	text := strings.Replace(bad.text, "CONFIG", before, 1)
	if text == "TLS" {
		text = strings.ReplaceAll(before, ".pem", "missing.pem")
	}
	if err := os.WriteFile(w.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, said := w.reload(t)
	var problem struct{ Error string }
	if err := json.Unmarshal([]byte(said), &problem); err != nil || status != http.StatusConflict || !strings.Contains(problem.Error, bad.said) {
		t.Errorf("a file with a fault (%.40q): got %d %s; want 409 and why (%s)", bad.text, status, said, bad.said)
	}
	w.inForce(t, i-1)
}

// inForce holds the gate to form i: its frontends, and the certificate that new clients are shown.
func (w *World) inForce(t testing.TB, i int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", w.Extra, time.Minute)
	if err == nil {
		conn.Close()
	}
	if there := err == nil; there != (i%2 == 1) {
		t.Errorf("form %d: the second frontend listens: %v (%v)", i, there, err)
	}
	secure, err := tls.Dial("tcp", w.Main, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is looked at
	if err != nil {
		t.Errorf("form %d: %v", i, err)
		return
	}
	defer secure.Close()
	want, err := os.ReadFile(w.certOf(i))
	if err != nil {
		t.Fatal(err)
	}
	if got := pemOf(secure.ConnectionState().PeerCertificates[0].Raw); !bytes.Equal(got, want) {
		t.Errorf("form %d: clients are shown another certificate than that of %s", i, w.certOf(i))
	}
}

// Ready waits until the gate takes work.
func (w *World) Ready(t testing.TB) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + w.Admin + "/cluster/leader")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("the gate does not take work: %v %v", answer, err)
		}
	}
}
