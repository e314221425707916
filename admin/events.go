package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// This file owns the events: what changed lately. They are the log's own lines, of level info and above, kept in a ring of
// bounded size; so whoever logs a change of state has told the operator's page as well.

const (
	keptEvents   = 1000
	maxEventText = 500 // bytes of one value: a stack or a text of a client's shall not fill the ring
)

// Event is one change of state.
type Event struct {
	ID     uint64            `json:"id"` // counts up from 1 since the gate was started
	Time   time.Time         `json:"time"`
	Level  string            `json:"level"`  // info, warn, error
	Event  string            `json:"event"`  // what happened, such as "role changed"
	Fields map[string]string `json:"fields"` // what it is about: member, db, from, to, …
}

// notEvents are lines about traffic.
var notEvents = []string{"access", "slow query", "connection ended", "connection closed", webhookFailed}

// webhookFailed is a line that must be no event: it would be sent to the webhook that fails.
const webhookFailed = "a webhook has not taken an event"

// Events is the ring. The zero value is empty and ready. Safe for concurrent use.
type Events struct {
	mu   sync.Mutex
	last uint64        // guarded by mu: the newest's ID
	ring []Event       // guarded by mu: the newest is at (last-1) % keptEvents
	more chan struct{} // guarded by mu: closed with the next event; nil while nobody waits
}

// Add keeps an event, whose ID and Time it sets where they are zero.
func (e *Events) Add(ev Event) {
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	ev.ID = e.last
	if len(e.ring) < keptEvents {
		e.ring = append(e.ring, ev)
	} else {
		e.ring[(ev.ID-1)%keptEvents] = ev
	}
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// Since returns the events after an ID, the oldest first, as far as they are kept.
func (e *Events) Since(id uint64) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.since(id)
}

func (e *Events) since(id uint64) []Event {
	if id > e.last {
		id = 0 // of another run of the gate
	}
	id = max(id, e.last-uint64(len(e.ring)))
	all := make([]Event, 0, e.last-id)
	for ; id < e.last; id++ {
		all = append(all, e.ring[id%keptEvents])
	}
	return all
}

// Await is Since that waits until there is one, or ctx ends.
func (e *Events) Await(ctx context.Context, id uint64) []Event {
	for {
		e.mu.Lock()
		all := e.since(id)
		if e.more == nil {
			e.more = make(chan struct{})
		}
		more := e.more
		e.mu.Unlock()
		if len(all) > 0 {
			return all
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// Tee returns a handler that keeps as events what it is given, and passes on to h what h takes.
func (e *Events) Tee(h slog.Handler) slog.Handler { return &tee{Handler: h, events: e} }

type tee struct {
	slog.Handler
	events *Events
	fields []slog.Attr // of WithAttrs
}

func (t *tee) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo || t.Handler.Enabled(ctx, l)
}

func (t *tee) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !slices.Contains(notEvents, r.Message) {
		t.events.Add(eventOf(r, t.fields))
	}
	if !t.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return t.Handler.Handle(ctx, r)
}

func (t *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &tee{t.Handler.WithAttrs(attrs), t.events, append(slices.Clip(t.fields), attrs...)}
}

// WithGroup's name is left out of events: their fields have no levels.
func (t *tee) WithGroup(name string) slog.Handler {
	return &tee{t.Handler.WithGroup(name), t.events, t.fields}
}

func eventOf(r slog.Record, fields []slog.Attr) Event {
	ev := Event{Time: r.Time, Level: levelName(r.Level), Event: r.Message, Fields: make(map[string]string, len(fields)+r.NumAttrs())}
	add := func(a slog.Attr) bool {
		text := a.Value.Resolve().String()
		if text == "<nil>" {
			return true
		}
		ev.Fields[a.Key] = cut(text, maxEventText)
		return true
	}
	for _, a := range fields {
		add(a)
	}
	r.Attrs(add)
	return ev
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	}
	return "info"
}

// cut shortens a text to at most n bytes of whole characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}

func (e Event) text() []byte {
	b, _ := json.Marshal(e) // strings alone: it can
	return b
}
