package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestAReloadTurnsSpansOn, and what is left of them leaves with the daemon.
func TestAReloadTurnsSpansOn(t *testing.T) {
	told := make(chan string, 1000)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.URL.Path }))
	t.Cleanup(collector.Close)
	d := newTestDaemon(t)
	d.more = "admin: {bind: \"127.0.0.1:0\"}\n"
	d.write(d.address)
	d.start()
	d.log.await(t, "boltgate serves")
	query := func() {
		t.Helper()
		c := d.dial(d.address)
		extra := map[string]any{"mode": "r", "tx_metadata": map[string]any{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
		if _, err := c.Query("RETURN 1", nil, extra); err != nil {
			t.Fatal(err)
		}
	}
	query()
	d.more += "log: {otlp: \"" + collector.URL + "\"}\n"
	d.write(d.address)
	syscall.Kill(os.Getpid(), syscall.SIGHUP) //nolint:errcheck // it is this process
	d.log.await(t, "configuration reloaded")
	query()
	select {
	case path := <-told:
		if path != "/v1/traces" {
			t.Errorf("the collector was asked for %s", path)
		}
	case <-time.After(time.Minute):
		t.Fatal("the collector got nothing")
	}
	query()
	d.stop() // before a second has passed
	d.end()
	select {
	case <-told:
	default:
		t.Error("what was left did not leave")
	}
}
