package e2e

// This file owns a real browser: Chromium runs the official driver's browser build, Bolt over WebSocket, through the gate.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// browserSteps are what testdata/browser.html does, in this order.
var browserSteps = []string{"connect", "read", "write", "failure", "transaction", "cleanup", "done"}

const browserTime = time.Minute // for one page; a browser starts in a second or two

func TestBrowserBeforeStandIns(t *testing.T) {
	inBrowser(t, standInFor(t, labs.Causal), false)
}

// browser is the stage of a lab whose server runs Cypher.
var browser = stage{"browser", func(t *testing.T, c *labs.Cluster) { inBrowser(t, c, true) }}

// inBrowser goes through the gate by every scheme that the driver's browser build has, on one port.
func inBrowser(t *testing.T, c *labs.Cluster, real bool) {
	chromium, err := findChromium()
	labs.Require(t, "the driver in a browser", errors.Join(err, drivers.Named("JavaScript 6").Available()))
	bundle, err := drivers.BrowserBuild(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t)
	tls := fmt.Sprintf(`bind: "BIND", tls: {cert: %q, key: %q, mode: optional}}`, cert, key)
	g := startGate(t, c, strings.Replace(gateConfig(c, "auto", ""), `bind: "BIND"}`, tls, 1))
	awaitVersions(t, g.Address)
	for _, scheme := range []string{"bolt", "neo4j", "bolt+s", "neo4j+s"} {
		t.Run(scheme, func(t *testing.T) {
			p := &browserPage{t: t, bundle: bundle, lines: make(chan drivers.Step, 100)}
			p.open(chromium, url.Values{
				"uri": {scheme + "://" + g.Address}, "user": {c.User}, "password": {c.Password},
				"mark": {fmt.Sprint("browser ", marks.Add(1))}, "real": map[bool][]string{true: {"1"}}[real],
			})
			p.steps()
		})
	}
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("e2e: no chromium on the PATH (Debian: apt-get install chromium)")
}

// browserPage is one run of the page.
type browserPage struct {
	t      *testing.T
	bundle string
	lines  chan drivers.Step // as the page reports them
}

// open has a browser of its own load the page, until the test ends.
func (p *browserPage) open(chromium string, args url.Values) {
	p.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/browser.html") })
	mux.HandleFunc("GET /neo4j-web.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, p.bundle) })
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var line drivers.Step
		if err := json.NewDecoder(r.Body).Decode(&line); err == nil {
			p.lines <- line
		}
	})
	site := httptest.NewServer(mux)
	p.t.Cleanup(site.Close)
	cmd := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--no-proxy-server", "--ignore-certificate-errors", "--user-data-dir="+p.t.TempDir(), site.URL+"/?"+args.Encode())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(p.t.TempDir(), "chromium.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		cmd.Wait()                                      //nolint:errcheck // it was killed
		if text, err := os.ReadFile(log.Name()); err == nil && p.t.Failed() {
			p.t.Logf("chromium said:\n%s", tail(string(text), 4000))
		}
		log.Close()
	})
}

// steps holds what the page reports to what is due.
func (p *browserPage) steps() {
	p.t.Helper()
	limit := time.After(browserTime)
	var seen []string
	for !slices.Contains(seen, "done") {
		select {
		case line := <-p.lines:
			seen = append(seen, line.Step)
			if !line.OK {
				p.t.Errorf("%s: %s", line.Step, line.Error)
			} else if line.Detail != "" && testing.Verbose() {
				p.t.Logf("%s: %s", line.Step, line.Detail)
			}
		case <-limit:
			p.t.Fatalf("the page did not end within %v; it did %v", browserTime, seen)
		}
	}
	if !slices.Equal(seen, browserSteps) {
		p.t.Errorf("the page did %v; want %v", seen, browserSteps)
	}
}

// selfSigned writes a certificate for 127.0.0.1, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
