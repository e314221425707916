package otlp

import (
	"bytes"
	"context"
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

// This file owns the way to one collector: the queue, the batches, and what happens while it does not take them. The limits are those of
// OpenTelemetry's own batch processor and exporters, or lower.

const (
	maxQueue  = 2048             // spans that wait
	maxBatch  = 512              // spans in one request
	gather    = time.Second      // from a batch's first span until it leaves, unless it is full before
	tryTime   = 10 * time.Second // for one request and its answer
	giveUp    = time.Minute      // after which a batch is dropped
	firstWait = time.Second      // before the second try; then twice as long each time
	mostWait  = 20 * time.Second
	goodbye   = 2 * time.Second // for what is left at the end
	maxAnswer = 64 << 10
)

// sender sends to one collector, by one goroutine.
type sender struct {
	*counts
	log      *slog.Logger
	endpoint string
	headers  map[string]string
	resource []Attr
	version  string
	client   *http.Client
	failing  bool // run's: the collector has not taken the last batch, which was said

	mu    sync.Mutex
	queue []Span // guarded by mu
	over  bool   // guarded by mu: it takes no more

	wake    chan struct{} // has room for one: there are spans
	full    chan struct{} // has room for one: there is a whole batch
	closing chan struct{} // closed when it is to end
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned
}

func newSender(e *Exporter, endpoint string) *sender {
	s := &sender{counts: &e.counts, log: e.log, endpoint: endpoint, headers: e.headers(), resource: e.resource(), version: e.version,
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		client: &http.Client{Timeout: tryTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s
}

// offer puts spans in the queue; false: there is no room for all of them.
func (s *sender) offer(spans []Span) bool {
	s.mu.Lock()
	was := len(s.queue)
	ok := !s.over && was+len(spans) <= maxQueue
	if ok {
		s.queue = append(s.queue, spans...)
	}
	now := len(s.queue)
	s.mu.Unlock()
	if ok && was == 0 {
		signal(s.wake)
	}
	if ok && was < maxBatch && now >= maxBatch {
		signal(s.full)
	}
	return ok
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end sends what is left and ends the sender.
func (s *sender) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	close(s.closing)
	last := time.AfterFunc(goodbye, s.cancel)
	<-s.done
	last.Stop()
	s.cancel()
	s.client.CloseIdleConnections()
}

func (s *sender) run() {
	defer close(s.done)
	for ended := false; !ended; {
		select {
		case <-s.wake:
			s.pause(gather, s.full)
		case <-s.closing:
			ended = true
		}
		for batch := s.take(); len(batch) > 0; batch = s.take() {
			s.deliver(batch)
		}
	}
}

// pause waits for d, until early, or until the end.
func (s *sender) pause(d time.Duration, early <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-s.closing:
	}
}

// take takes the next batch out of the queue.
func (s *sender) take() []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), maxBatch)
	batch := append([]Span(nil), s.queue[:n]...)
	left := copy(s.queue, s.queue[n:])
	clear(s.queue[left:]) // what they point to is the batch's now
	if s.queue = s.queue[:left]; left == 0 && cap(s.queue) > maxBatch {
		s.queue = nil
	}
	return batch
}

func (s *sender) ending() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// deliver sends a batch until it is taken, refused, or too old; at the end once.
func (s *sender) deliver(batch []Span) {
	body, began, wait := appendExport(nil, s.resource, s.version, batch), time.Now(), firstWait
	for {
		answer, err := s.post(body)
		if err == nil {
			s.taken(batch, answer)
			return
		}
		s.say(err)
		again, retry := errors.AsType[*retryable](err)
		if !retry {
			s.refused.Add(uint64(len(batch)))
			return
		}
		pause := max(wait/2+rand.N(wait), again.after)
		if s.ending() || time.Since(began)+pause > giveUp {
			s.lost.Add(uint64(len(batch)))
			return
		}
		s.pause(pause, nil)
		wait = min(2*wait, mostWait)
	}
}

// taken counts a batch that the collector took, all of it or not.
func (s *sender) taken(batch []Span, answer []byte) {
	rejected, why, err := readAnswer(answer)
	if err != nil { // it said 200, and not in protobuf: some do
		rejected, why = 0, ""
	}
	rejected = min(max(rejected, 0), int64(len(batch)))
	s.refused.Add(uint64(rejected))
	s.sent.Add(uint64(len(batch)) - uint64(rejected))
	if rejected > 0 {
		s.say(fmt.Errorf("it rejected %d of %d spans: %s", rejected, len(batch), why))
		return
	}
	if s.failing {
		s.failing = false
		s.log.Info("the collector takes spans again", "collector", s.endpoint)
	}
}

// say logs that the collector does not take spans: once, until it does again.
func (s *sender) say(err error) {
	if !s.failing {
		s.failing = true
		s.log.Warn("the collector does not take spans; they are dropped until it does", "collector", s.endpoint, "error", err)
	}
}

// retryable is a failure after which another try may help.
type retryable struct {
	cause error
	after time.Duration // as the collector said; 0: it did not
}

func (r *retryable) Error() string { return r.cause.Error() }
func (r *retryable) Unwrap() error { return r.cause }

// post tries once.
func (s *sender) post(body []byte) (answer []byte, err error) {
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for key, value := range s.headers {
		r.Header.Set(key, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "boltgate/"+s.version)
	got, err := s.client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, &retryable{cause: err}
	}
	defer got.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	switch {
	case got.StatusCode == http.StatusTooManyRequests, got.StatusCode >= 502 && got.StatusCode <= 504: // the specification names these, and no others
		return nil, &retryable{fmt.Errorf("it answered %s", got.Status), retryAfter(got.Header.Get("Retry-After"))}
	case got.StatusCode >= 300:
		return nil, fmt.Errorf("it answered %s, which another try would not change", got.Status)
	case err != nil:
		return nil, &retryable{cause: err}
	}
	return answer, nil
}

// retryAfter reads seconds or a date (RFC 9110 10.2.3); 0 for neither.
func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
