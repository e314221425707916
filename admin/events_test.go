package admin

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTheRingKeepsTheNewest(t *testing.T) {
	var e Events
	for i := range keptEvents + 7 {
		e.Add(Event{Event: fmt.Sprint(i + 1)})
	}
	all := e.Since(0)
	if len(all) != keptEvents || all[0].ID != 8 || all[0].Event != "8" || all[len(all)-1].ID != keptEvents+7 {
		t.Errorf("got %d from %d to %d", len(all), all[0].ID, all[len(all)-1].ID)
	}
	if got := e.Since(keptEvents + 5); len(got) != 2 || got[0].ID != keptEvents+6 {
		t.Errorf("got %+v", got)
	}
	if got := e.Since(keptEvents + 7); len(got) != 0 {
		t.Errorf("after the newest: got %+v", got)
	}
	if got := e.Since(1 << 60); len(got) != keptEvents {
		t.Errorf("after an id of another run: got %d; want all", len(got))
	}
}

func TestLogLinesBecomeEvents(t *testing.T) {
	var e Events
	var text strings.Builder
	log := slog.New(e.Tee(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))).With("zone", "b")
	log.Info("role changed", "member", "a", "after", 2*time.Second, "error", nil)
	log.Debug("check failed", "member", "a")
	log.Info("access", "member", "a")
	log.Info("connection ended", "client", "c")
	log.Error("fault", "stack", strings.Repeat("é", maxEventText))
	all := e.Since(0)
	if len(all) != 2 || all[0].Event != "role changed" || all[0].Level != "info" || fmt.Sprint(all[0].Fields) != "map[after:2s member:a zone:b]" {
		t.Errorf("got %+v", all)
	}
	if got := all[1].Fields["stack"]; len(got) > maxEventText+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("a long value: %d bytes", len(got))
	}
	if strings.Contains(text.String(), "role") || !strings.Contains(text.String(), "fault") {
		t.Errorf("the log beneath got %q; want what is of its level", text.String())
	}
}

func TestTheStreamBeginsWhereTheReaderLeftOffAndGoesOn(t *testing.T) {
	w := newTestWorld(t, Options{Bind: "127.0.0.1:0"})
	for i := range 3 {
		w.events.Add(Event{Event: fmt.Sprint("old ", i+1)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Address().String()+"/api/v1/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", "2")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	next := func() string {
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				return text
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}
	if got := next(); got != "3" {
		t.Errorf("got event %s; want 3", got)
	}
	w.events.Add(Event{Event: "new"})
	if got := next(); got != "4" {
		t.Errorf("got event %s; want 4", got)
	}
	w.Close() // waits for the stream's goroutine
}
