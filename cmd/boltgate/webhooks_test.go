package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEventsOfTheDaemonReachAWebhook: from the configuration to the first role that is known.
func TestEventsOfTheDaemonReachAWebhook(t *testing.T) {
	told := make(chan string, 1000)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- r.Header.Get("X-Boltgate-Signature")[:7] + string(body)
	}))
	t.Cleanup(hook.Close)
	d := newTestDaemon(t)
	d.more = "admin: {bind: \"127.0.0.1:0\", webhooks: [{url: \"" + hook.URL + "\", secret: key}]}\n"
	d.write(d.address)
	d.start()
	limit := time.After(time.Minute)
	for {
		select {
		case text := <-told:
			if strings.HasPrefix(text, "sha256=") && strings.Contains(text, `"event":"role changed"`) && strings.Contains(text, `"to":"leader"`) {
				d.stop()
				d.end()
				return
			}
		case <-limit:
			t.Fatal("no webhook was told of the leader")
		}
	}
}
