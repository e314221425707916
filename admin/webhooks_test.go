package admin

import (
	"crypto/hmac"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is a webhook that answers as it is told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // guarded by mu: the next ones; then 204
	got     []Event
	tries   int
	signed  []string
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		status := http.StatusNoContent
		if r.tries++; len(r.answers) > 0 {
			status, r.answers = r.answers[0], r.answers[1:]
		}
		var ev Event
		if err := json.Unmarshal(body, &ev); err != nil || q.Method != "POST" || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s: %v", q.Method, body, err)
		}
		if s := q.Header.Get("X-Boltgate-Signature"); s != "" {
			if !hmac.Equal([]byte(s), []byte(signature("key", body))) {
				t.Errorf("the signature %s is not that of the body", s)
			}
			r.signed = append(r.signed, s)
		}
		if status < 300 {
			r.got = append(r.got, ev)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// await waits until n events were taken.
func (r *receiver) await(t *testing.T, n int) []Event {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := append([]Event{}, r.got...)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("fewer than %d events came", n)
	return nil
}

// hooked are webhooks on a ring, with short waits.
func hooked(t *testing.T, events *Events, hooks ...Webhook) *webhooks {
	w := newWebhooks(events, slog.New(events.Tee(slog.DiscardHandler)))
	w.first, w.giveUp = time.Millisecond, 200*time.Millisecond
	w.apply(hooks)
	t.Cleanup(w.close)
	return &w
}

func TestAWebhookGetsEachEventOnceAndInOrderThoughItFailsAtFirst(t *testing.T) {
	r := newReceiver(t, 500, 503, 429, 204, 500)
	events := new(Events)
	hooked(t, events, Webhook{URL: r.URL, Secret: "key"})
	for _, text := range []string{"role changed", "member changed", "reloaded"} {
		events.Add(Event{Level: "info", Event: text, Fields: map[string]string{"member": "s1"}})
	}
	got := r.await(t, 3)
	for i, want := range []string{"role changed", "member changed", "reloaded"} {
		if got[i].Event != want || got[i].ID != uint64(i+1) || got[i].Fields["member"] != "s1" {
			t.Errorf("got %+v as the %d.; want %s", got[i], i+1, want)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries != 7 || len(r.signed) != 7 {
		t.Errorf("%d tries, %d signed; want 7: four were refused", r.tries, len(r.signed))
	}
	if len(events.Since(0)) != 3 {
		t.Errorf("failures of webhooks became events, which would never end: %+v", events.Since(0))
	}
}

func TestAWebhookIsNotAskedAgainForWhatItRefuses(t *testing.T) {
	r := newReceiver(t, 400)
	events := new(Events)
	hooked(t, events, Webhook{URL: r.URL})
	events.Add(Event{Level: "info", Event: "refused"})
	events.Add(Event{Level: "info", Event: "taken"})
	if got := r.await(t, 1); got[0].Event != "taken" || len(r.signed) != 0 {
		t.Errorf("got %+v, signed %q", got, r.signed)
	}
}

func TestALevelLeavesLesserEventsOut(t *testing.T) {
	r := newReceiver(t)
	events := new(Events)
	hooked(t, events, Webhook{URL: r.URL, Level: "warn"})
	for _, level := range []string{"info", "warn", "info", "error"} {
		events.Add(Event{Level: level, Event: level})
	}
	if got := r.await(t, 2); got[0].Event != "warn" || got[1].Event != "error" {
		t.Errorf("got %+v", got)
	}
}

// TestAWebhookThatHangsHoldsNobodyUp: events are added at once, others are told, and what was let go is not remembered.
func TestAWebhookThatHangsHoldsNobodyUp(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(release) })
	r := newReceiver(t)
	events := new(Events)
	w := hooked(t, events, Webhook{URL: hangs.URL}, Webhook{URL: r.URL})
	begun := time.Now()
	for range 3 * keptEvents {
		events.Add(Event{Level: "info", Event: "role changed"})
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("adding took %v", took)
	}
	got := r.await(t, keptEvents)
	if len(got) > 3*keptEvents {
		t.Errorf("%d events came", len(got))
	}
	w.apply(nil) // a reload takes them away at once
}

func TestAReloadGoesOnWithAWebhookThatStays(t *testing.T) {
	r, late := newReceiver(t), newReceiver(t)
	events := new(Events)
	events.Add(Event{Level: "info", Event: "first"})
	w := hooked(t, events, Webhook{URL: r.URL})
	r.await(t, 1)
	w.apply([]Webhook{{URL: r.URL}, {URL: late.URL}})
	events.Add(Event{Level: "info", Event: "second"})
	if got := r.await(t, 2); len(got) != 2 || got[1].Event != "second" {
		t.Errorf("got %+v", got)
	}
	if got := late.await(t, 1); got[0].Event != "second" {
		t.Errorf("one that came later was told %+v; want what came after it", got)
	}
}

func TestTheEndIsStillTold(t *testing.T) {
	r := newReceiver(t, 500)
	events := new(Events)
	w := hooked(t, events, Webhook{URL: r.URL})
	events.Add(Event{Level: "info", Event: "shut down"})
	w.close()
	if got := r.await(t, 1); got[0].Event != "shut down" {
		t.Errorf("got %+v", got)
	}
}

func TestNoURLIsLogged(t *testing.T) {
	var log strings.Builder
	w := newWebhooks(new(Events), slog.New(slog.NewTextHandler(&log, nil)))
	w.first, w.giveUp = time.Millisecond, 0
	c := &courier{webhooks: &w, hook: Webhook{URL: "http://127.0.0.1:1/services/token-of-mine"}}
	c.deliver(t.Context(), Event{Level: "info"})
	if text := log.String(); !strings.Contains(text, "127.0.0.1:1") || strings.Contains(text, "token-of-mine") {
		t.Error(text)
	}
}
