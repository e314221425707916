package main

// This file owns how commands talk to a daemon: its admin address, the login, and what went wrong in a sentence.

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/configs"
)

// client talks to one daemon.
type client struct {
	address   string // host:port, or a URL
	tokenFile string
	ca        string
	json      bool // print JSON
}

const answerWithin = time.Minute // requests that change something may wait for it to be in force

// addFlags gives a command the flags of a client.
func (c *client) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.address, "admin", "", "admin address of the daemon, host:port or https://host:port (default: $BOLTGATE_ADMIN, else "+configs.Default().Admin.Bind+")")
	f.StringVar(&c.tokenFile, "token-file", "", "file with a token of admin.tokens (default: $BOLTGATE_TOKEN)")
	f.StringVar(&c.ca, "ca", "", "PEM file with the certificate that signed the daemon's (default: the system's)")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

// base is the URL of the daemon.
func (c *client) base() (*url.URL, error) {
	text := c.address
	if text == "" {
		text = os.Getenv("BOLTGATE_ADMIN")
	}
	if text == "" {
		text = configs.Default().Admin.Bind
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("the admin address is host:port or https://host:port (found %q)", text)
	}
	if u.Port() == "" {
		_, port, _ := net.SplitHostPort(configs.Default().Admin.Bind)
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// login is the token to send; "" for none.
func (c *client) login() (string, error) {
	if c.tokenFile == "" {
		return os.Getenv("BOLTGATE_TOKEN"), nil
	}
	text, err := os.ReadFile(c.tokenFile)
	return strings.TrimSpace(string(text)), err
}

func (c *client) transport() (*http.Transport, error) {
	t := &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.ca)
		}
	}
	return t, nil
}

// send makes one request; the caller closes the answer's body, which is one of success.
func (c *client) send(ctx context.Context, method, path string, body any, accept string) (*http.Response, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	token, err := c.login()
	if err != nil {
		return nil, err
	}
	var text io.Reader
	if body != nil {
		b, _ := json.Marshal(body) // ours: it can
		text = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, base.String()+path, text)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", accept)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, unreachable(base, err)
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		return nil, refusal(base, answer)
	}
	return answer, nil
}

func unreachable(base *url.URL, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("no daemon answers at the admin address %s (--admin, BOLTGATE_ADMIN): %w", base.Host, err)
}

// refusal is what the daemon said.
func refusal(base *url.URL, answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	var p admin.Problem
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		return fmt.Errorf("%s answered %s, which no boltgate would: is that its admin address?", base.Host, answer.Status)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s wants a login: give a token of admin.tokens by --token-file or BOLTGATE_TOKEN", base.Host)
	case http.StatusConflict, http.StatusNotFound:
		return errors.New(p.Error)
	}
	return fmt.Errorf("%s (%d)", p.Error, answer.StatusCode)
}

// call makes a request and reads its JSON into v; raw is the answer as it came.
func (c *client) call(ctx context.Context, method, path string, body, v any) (raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := c.send(ctx, method, path, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if raw, err = io.ReadAll(answer.Body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("the daemon's answer is not what this version of boltgate knows: %w", err)
	}
	return raw, nil
}
