package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// This file owns the events as the API gives them: a list, or a stream of server-sent events.

const (
	beat       = 15 * time.Second // a comment in a stream, so that it is not taken for dead
	sendWithin = 10 * time.Second // one piece of a stream to a reader that takes its time
)

// getEvents lists the events after ?since, or streams them to who accepts text/event-stream.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	since, ok := s.sinceOf(w, r)
	if !ok {
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.streamEvents(w, r, since)
		return
	}
	s.reply(w, s.world.Events.Since(since))
}

// sinceOf is the event after which to begin: the one that a stream ended with, or ?since.
func (s *Server) sinceOf(w http.ResponseWriter, r *http.Request) (uint64, bool) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		if !r.URL.Query().Has("since") {
			return 0, true
		}
		text = r.URL.Query().Get("since")
	}
	since, err := strconv.ParseUint(text, 10, 63) // as the description has it: most languages have no larger ones
	if err != nil {
		s.fail(w, http.StatusBadRequest, "since is the id of an event, a number")
	}
	return since, err == nil
}

// stream is an answer of server-sent events.
type stream struct {
	w    http.ResponseWriter
	send *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	t := &stream{w, http.NewResponseController(w)}
	t.send.SetReadDeadline(time.Time{}) //nolint:errcheck // the reader's leaving shows all the same
	return t
}

// flush sends what was written; an error says that the reader is gone, or reads no more.
func (t *stream) flush() error {
	t.send.SetWriteDeadline(time.Now().Add(sendWithin)) //nolint:errcheck // shows in Flush
	return t.send.Flush()
}

func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, last uint64) {
	t := newStream(w)
	for t.flush() == nil {
		wait, cancel := context.WithTimeout(r.Context(), beat)
		events := s.world.Events.Await(wait, last)
		cancel()
		if r.Context().Err() != nil {
			return
		}
		for _, ev := range events {
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", ev.ID, ev.text())
			last = ev.ID
		}
		if len(events) == 0 {
			fmt.Fprint(w, ":\n\n")
		}
	}
}
