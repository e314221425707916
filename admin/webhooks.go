package admin

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// This file owns webhooks: each event is sent to those who want to hear of it, by POST, until they have taken it. A webhook's queue is the ring of
// events: nobody who makes an event waits for anybody, and who is slower than a thousand events are made misses the oldest.

// Webhook is somebody who is told of events.
type Webhook struct {
	URL    string // never logged: a token may stand in it
	Secret string // signs what is sent; "" it is not signed
	Level  string // the least that is sent: info, warn, error
}

const (
	hookTimeout  = 10 * time.Second // for one try
	hookFirst    = time.Second      // before the second try; then twice as long each time
	hookLongest  = time.Minute
	hookGiveUp   = 10 * time.Minute // after which an event is let go
	hookFarewell = 2 * time.Second  // for what is left when the gate ends
)

// webhooks sends events. Its methods are called with the Server's mu held.
type webhooks struct {
	events *Events
	log    *slog.Logger
	client *http.Client
	first  time.Duration // hookFirst; tests have less
	giveUp time.Duration

	running map[Webhook]*courier
	begun   bool
}

func newWebhooks(e *Events, log *slog.Logger) webhooks {
	client := &http.Client{Timeout: hookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return webhooks{events: e, log: log, client: client, first: hookFirst, giveUp: hookGiveUp, running: map[Webhook]*courier{}}
}

// apply starts and stops couriers; one whose webhook stays goes on with what it has to send. The first ones begin with the gate's first event, later
// ones with the next.
func (w *webhooks) apply(hooks []Webhook) {
	wanted := map[Webhook]bool{}
	for _, h := range hooks {
		wanted[h] = true
		if w.running[h] == nil {
			c := &courier{webhooks: w, hook: h, done: make(chan struct{})}
			if w.begun {
				c.sent = w.events.newest()
			}
			ctx, stop := context.WithCancel(context.Background())
			c.stop = stop
			w.running[h] = c
			go c.run(ctx)
		}
	}
	w.begun = true
	for h, c := range w.running {
		if !wanted[h] {
			c.stop()
			delete(w.running, h)
		}
	}
}

// close ends all couriers, after a moment for what they still have to send.
func (w *webhooks) close() {
	until := time.Now().Add(hookFarewell)
	var all sync.WaitGroup
	for _, c := range w.running {
		all.Go(func() { c.end(until) })
	}
	all.Wait()
	clear(w.running)
}

// newest is the ID of the newest event; 0 before the first.
func (e *Events) newest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// courier sends to one webhook.
type courier struct {
	*webhooks
	hook Webhook
	stop context.CancelFunc
	done chan struct{} // closed when run has returned

	mu   sync.Mutex
	sent uint64 // guarded by mu: the ID of the last event that was dealt with
}

func (c *courier) at() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

func (c *courier) run(ctx context.Context) {
	defer close(c.done)
	for {
		for _, ev := range c.events.Await(ctx, c.at()) {
			if hookLevels[ev.Level] >= hookLevels[c.hook.Level] {
				c.deliver(ctx, ev)
			}
			c.mu.Lock()
			c.sent = ev.ID
			c.mu.Unlock()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

var hookLevels = map[string]int{"info": 0, "warn": 1, "error": 2}

// end waits until everything is sent, or until.
func (c *courier) end(until time.Time) {
	for c.at() < c.events.newest() && time.Now().Before(until) {
		select {
		case <-c.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	c.stop()
	<-c.done
}

// deliver tries until the event is taken, refused for good, or too old.
func (c *courier) deliver(ctx context.Context, ev Event) {
	wait, tries, begun := c.first, 1, time.Now()
	for ; ; tries++ {
		again, err := c.post(ctx, ev)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !again || time.Since(begun) > c.giveUp {
			c.log.Warn(webhookFailed, "host", c.host(), "id", ev.ID, "tries", tries, "error", err)
			return
		}
		if tries == 1 {
			c.log.Warn(webhookFailed, "host", c.host(), "id", ev.ID, "tries", tries, "again", wait, "error", err)
		}
		select {
		case <-time.After(wait + rand.N(wait/4+1)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, hookLongest)
	}
}

// host is what of the URL may be shown.
func (c *courier) host() string {
	u, err := url.Parse(c.hook.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// post tries once; again tells whether another try may help. No error holds the URL.
func (c *courier) post(ctx context.Context, ev Event) (again bool, err error) {
	body := ev.text()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.hook.URL, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("its url is none")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "boltgate")
	r.Header.Set("X-Boltgate-Event", strconv.FormatUint(ev.ID, 10))
	if c.hook.Secret != "" {
		r.Header.Set("X-Boltgate-Signature", signature(c.hook.Secret, body))
	}
	answer, err := c.client.Do(r)
	if e, ok := errors.AsType[*url.Error](err); ok {
		return true, e.Err
	} else if err != nil {
		return true, err
	}
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) //nolint:errcheck // so that the connection can be used again
	answer.Body.Close()
	switch s := answer.StatusCode; {
	case s < 300:
		return false, nil
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooManyRequests:
		return true, fmt.Errorf("it answered %d", s)
	default:
		return false, fmt.Errorf("it answered %d, which another try would not change", s)
	}
}

// signature is what X-Boltgate-Signature says: the HMAC of the body.
func signature(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}
