package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/standin"
)

// This file shows TLS towards members (cluster.tls) through a whole daemon: checks, Bolt and HTTP.

// newSecureDaemon starts members that speak TLS alone, and no daemon yet; section is its cluster.tls.
func newSecureDaemon(t *testing.T, members *tls.Config, section string) *testDaemon {
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1, Listen: func(string, string) (net.Listener, error) {
		return tls.Listen("tcp", "127.0.0.1:0", members)
	}})
	d.more = "  tls: {" + section + "}\n"
	d.write(d.address)
	return d
}

// works fails the test unless units of work of both protocols are carried out, at the leader and at the others.
func (d *testDaemon) works() {
	d.t.Helper()
	c := d.dial(d.address)
	for _, mode := range []string{"r", "w"} {
		if _, err := c.Query("MATCH (n) RETURN n", nil, map[string]any{"mode": mode}); err != nil {
			d.t.Errorf("Bolt, mode %s: %v", mode, err)
		}
	}
	for _, text := range []string{"MATCH (n) RETURN n", "CREATE (n) RETURN n"} {
		r, err := http.NewRequestWithContext(d.t.Context(), "POST", "http://"+d.address+"/db/neo4j/tx/commit", strings.NewReader(fmt.Sprintf(`{"statements":[{"statement":%q}]}`, text)))
		if err != nil {
			d.t.Fatal(err)
		}
		r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			d.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"errors":[]`) {
			d.t.Errorf("HTTP, %s: %s %s %v", text, answer.Status, body, err)
		}
	}
}

// TestTLSToMembers: checks and work are carried out, or the log tells what is wrong. It tells each failed check (debug), for the alert of a
// member that refuses us may be lost with its connection, once.
func TestTLSToMembers(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	address, name := a.issue("address", "127.0.0.1"), a.issue("name", "member.example")
	a.issue("gate", "gate.example")
	other.issue("gate", "gate.example")
	showing := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	asking := showing(name)
	asking.ClientCAs, asking.ClientAuth = a.client("").RootCAs, tls.RequireAndVerifyClientCert
	verify := func(by *authority) string { return fmt.Sprintf("mode: verify, ca: %q", by.file("ca.pem")) }
	ours := func(by *authority) string {
		return fmt.Sprintf(", cert: %q, key: %q", by.file("gate.pem"), by.file("gate.key"))
	}
	const named = ", server_name: member.example"
	for _, tt := range []struct {
		name    string
		members *tls.Config
		section string
		want    string // of the log; "": all works
	}{
		{"verified by the address", showing(address), verify(a), ""},
		{"verified by a name", showing(name), verify(a) + named, ""},
		{"not verified", showing(name), "mode: insecure", ""},
		{"with a certificate of ours", asking, verify(a) + named + ours(a), ""},
		{"not verified, with a certificate of ours", asking, "mode: insecure" + ours(a), ""},
		{"a certificate for something else than the address", showing(name), verify(a), "cannot validate certificate for 127.0.0.1"},
		{"another name", showing(name), verify(a) + ", server_name: other.example", "certificate is valid for member.example, not other.example"},
		{"the system's authorities", showing(address), "mode: verify", "certificate signed by unknown authority"},
		{"another authority", showing(address), verify(other), "certificate signed by unknown authority"},
		{"no certificate of ours", asking, verify(a) + named, "tls: certificate required"},
		{"a certificate of ours by another authority", asking, verify(a) + named + ours(other), "tls: unknown certificate authority"},
		{"off", showing(address), "mode: off", "reading the handshake's answer"}, // boltgate doctor tells that they speak TLS
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newSecureDaemon(t, tt.members, tt.section)
			if tt.want == "" {
				d.start()
				d.log.await(t, "role changed")
				d.works()
			} else {
				d.more += "log: {level: debug}\n"
				d.write(d.address)
				d.start()
				d.log.await(t, tt.want)
			}
			d.stop()
			d.end()
		})
	}
}

// TestTheAuthorityOfMembersIsReadAgain replaces the file of a running daemon by one that is none, which changes nothing, and by the
// one that the members' certificates are of.
func TestTheAuthorityOfMembersIsReadAgain(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	d := newSecureDaemon(t, &tls.Config{Certificates: []tls.Certificate{a.issue("address", "127.0.0.1")}}, fmt.Sprintf("mode: verify, ca: %q", other.file("ca.pem")))
	replace := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(other.file("ca.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	right, err := os.ReadFile(a.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d.more += "log: {level: debug}\n"
	d.write(d.address)
	d.start()
	d.log.await(t, "certificate signed by unknown authority")
	replace(right[:len(right)/2])
	if line := d.log.await(t, "cannot be used"); !strings.Contains(line, "cluster.tls.ca") {
		t.Errorf("with half of a file: %s", line)
	}
	replace(right)
	d.log.await(t, "have changed, and are in force")
	d.log.await(t, "role changed")
	d.works()
	d.stop()
	d.end()
}
