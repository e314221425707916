// Package bench measures: a load generator for Bolt and HTTP, servers that answer at once so that a proxy's own cost shows, and the comparison of
// boltgate with HAProxy and with no proxy at all (docs/performance.md). No other package imports it but the program.
//
// This file owns one measurement: Load says what to do, Run does it, Result is what came out. The clients' work is in boltclient.go and
// httpclient.go, the servers in instant*.go, the comparison in compare.go and the files that it names.
package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is what one operation is.
type Mode string

// The modes. Bolt targets take the first three, HTTP targets the others.
const (
	Auto     Mode = "auto"     // RUN and PULL in one write, all of the answer
	Explicit Mode = "explicit" // BEGIN, RUN and PULL in one write, the answers, then COMMIT
	Connect  Mode = "connect"  // dial, handshake, log on, an auto-commit query, GOODBYE
	Get      Mode = "get"      // GET of Path on a kept connection
	Post     Mode = "post"     // POST of the statement to tx/commit on a kept connection
)

// Modes lists every mode.
var Modes = []Mode{Auto, Explicit, Connect, Get, Post}

// Load is one measurement to make. Zero fields mean what stands beside them.
type Load struct {
	URI       string        // bolt://, neo4j:// (each +s, +ssc), http:// or https://
	Mode      Mode          // "": auto, for HTTP post
	User      string        // "": no login
	Password  string        // secret
	Database  string        // "": the user's home database; over HTTP neo4j
	Query     string        // "": RETURN 1
	Access    string        // "": undeclared; "read" or "write": said in RUN and BEGIN, or as X-Write
	Path      string        // of Get; "": /db/data/labels
	Clients   int           // connections at work; 0: 32
	Duration  time.Duration // counted time; 0: 30 s
	Warmup    time.Duration // before it, not counted
	Rate      float64       // operations a second over all clients, an open loop; 0: as fast as answers come
	WatchPID  int           // process whose CPU time is read at both ends of the counted time; 0: none
	TLSConfig *tls.Config   // for the URIs that say TLS; nil: a plain one

	grace time.Duration // what operations that run when the counted time ends may still take before they are cut; 0: 5 s
}

// Result is what a measurement found. Times are in microseconds.
type Result struct {
	Mode       Mode    `json:"mode"`
	Clients    int     `json:"clients"`
	Offered    float64 `json:"offered_per_second,omitempty"` // 0: closed loop
	Seconds    float64 `json:"seconds"`
	Operations int64   `json:"operations"`
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	PerSecond  float64 `json:"per_second"`
	Mean       float64 `json:"mean_us"`
	P50        float64 `json:"p50_us"`
	P90        float64 `json:"p90_us"`
	P99        float64 `json:"p99_us"`
	P99Tenth   float64 `json:"p99_tenth_us"` // median of the 99th percentiles of each tenth of a second: that of a machine that does not stall
	P999       float64 `json:"p999_us"`
	Max        float64 `json:"max_us"`
	WatchedCPU float64 `json:"watched_cpu_us_per_op,omitempty"` // user and system, of WatchPID
	OwnCPU     float64 `json:"own_cpu_us_per_op,omitempty"`     // of this process: says whether the generator was the limit
	Stolen     float64 `json:"stolen,omitempty"`                // part of the machine's time that its host gave to others meanwhile, 0 to 1; of a comparison's rounds
}

// longestNap is how long a client with little to do may miss that the run has ended.
const longestNap = 100 * time.Millisecond

// retryPause keeps a client whose connection failed from spinning.
const retryPause = 20 * time.Millisecond

// A client does operations, one after the other, on a connection of its own.
type client interface {
	do() error // one operation; after an error the client is closed
	close()
}

// Run makes the measurement. It returns early, with what was counted, when ctx ends. An error means that nothing could be measured; operations
// that failed are counted in the Result.
func Run(ctx context.Context, l Load) (Result, error) {
	l = l.withDefaults()
	t, err := l.target(ctx)
	if err != nil {
		return Result{}, err
	}
	cut, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{load: l, target: t, asked: ctx, ctx: cut, tenths: newTenths(l.Duration)}
	if err := r.try(); err != nil {
		return Result{}, err
	}
	if l.Warmup == 0 {
		r.count()
	}
	if l.Rate > 0 {
		defer keepTime()()
	}
	var all sync.WaitGroup
	workers := make([]*worker, l.Clients)
	for i := range workers {
		workers[i] = &worker{run: r, index: i}
		all.Go(workers[i].work)
	}
	res := r.measure(workers)
	done := time.AfterFunc(l.grace, cancel) // cuts what hangs
	all.Wait()
	done.Stop()
	return r.sum(res, workers), nil
}

func (l Load) withDefaults() Load {
	if l.Query == "" {
		l.Query = "RETURN 1"
	}
	if l.Path == "" {
		l.Path = "/db/data/labels"
	}
	if l.Clients == 0 {
		l.Clients = 32
	}
	if l.Duration == 0 {
		l.Duration = 30 * time.Second
	}
	if l.grace == 0 {
		l.grace = 5 * time.Second
	}
	return l
}

const (
	warming int32 = iota
	counting
	ended
)

// run is one measurement under way.
type run struct {
	load   Load
	target *target
	asked  context.Context // the caller's: what its end cuts is no error
	ctx    context.Context // cuts every connection
	phase  atomic.Int32
	begun  time.Time // set before the workers start; the open loop's schedule counts from it
	tenths *tenths
}

// count begins the counted time.
func (r *run) count() {
	r.tenths.from = time.Now()
	r.phase.Store(counting)
}

// try does one operation, so that a wrong address or password is told at once.
func (r *run) try() error {
	c, err := r.target.dial(r.ctx, 0)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.do(); err != nil {
		return fmt.Errorf("bench: the first operation at %s failed: %w", r.target.names(), err)
	}
	r.begun = time.Now()
	return nil
}

// measure waits through the phases and reads the clocks at both ends of the counted one.
func (r *run) measure(workers []*worker) Result {
	r.sleep(r.load.Warmup)
	from, watched, own := time.Now(), r.watched(), selfCPU()
	if r.load.Warmup > 0 {
		r.count()
	}
	r.sleep(r.load.Duration)
	r.phase.Store(ended)
	res := Result{Mode: r.target.mode, Clients: len(workers), Offered: r.load.Rate, Seconds: time.Since(from).Seconds()}
	res.WatchedCPU, res.OwnCPU = (r.watched() - watched).Seconds(), (selfCPU() - own).Seconds()
	return res
}

func (r *run) watched() time.Duration {
	if r.load.WatchPID == 0 {
		return 0
	}
	cpu, _ := processCPU(r.load.WatchPID) //nolint:errcheck // a process that is gone shows as errors of every operation
	return cpu
}

func (r *run) sleep(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

func (r *run) sum(res Result, workers []*worker) Result {
	var h histogram
	for _, w := range workers {
		h.add(&w.times)
		res.Errors += w.errors
		if res.FirstError == "" && w.first != nil {
			res.FirstError = w.first.Error()
		}
	}
	res.Operations = h.count
	ops := max(float64(h.count), 1)
	res.PerSecond = float64(h.count) / res.Seconds
	res.WatchedCPU, res.OwnCPU = res.WatchedCPU*1e6/ops, res.OwnCPU*1e6/ops
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	res.Mean = us(h.mean())
	res.P50, res.P90, res.P99, res.P999, res.Max = us(h.quantile(.5)), us(h.quantile(.9)), us(h.quantile(.99)), us(h.quantile(.999)), us(h.max)
	res.P99Tenth = us(r.tenths.quantile(.99))
	return res
}

// worker is one client's loop. Its counts are its own until work has returned.
type worker struct {
	run    *run
	index  int
	client client // nil: to be dialled
	times  histogram
	errors int64
	first  error
	cut    bool // the run's context has ended
}

func (w *worker) work() {
	defer func() {
		if w.client != nil {
			w.client.close()
		}
	}()
	if w.run.load.Rate > 0 {
		w.openLoop()
		return
	}
	from := time.Now()
	for w.goesOn() {
		from = w.operate(from)
	}
}

func (w *worker) goesOn() bool { return !w.cut && w.run.phase.Load() != ended }

// openLoop starts operations at times fixed beforehand. An operation that starts late because the one before took long is counted from its
// time on the schedule (else slow answers would hide the waiting that they cause: coordinated omission); one that starts late only because this
// process woke late is counted from the waking.
func (w *worker) openLoop() {
	every := time.Duration(float64(w.run.load.Clients) / w.run.load.Rate * float64(time.Second))
	due := w.run.begun.Add(every * time.Duration(w.index) / time.Duration(w.run.load.Clients))
	for w.goesOn() {
		from := due
		for wait := time.Until(due); wait > 0 && w.goesOn(); wait = time.Until(due) {
			time.Sleep(min(wait, longestNap))
			from = time.Now()
		}
		w.operate(from)
		due = due.Add(every)
	}
}

// operate does one operation whose time counts from the given moment, and returns when it ended.
func (w *worker) operate(from time.Time) time.Time {
	err := w.attempt()
	now := time.Now()
	counts := w.run.phase.Load() == counting
	if err == nil {
		if counts {
			w.times.record(now.Sub(from))
			w.run.tenths.record(now, now.Sub(from))
		}
		return now
	}
	w.cut = w.run.ctx.Err() != nil
	if w.run.asked.Err() == nil && (counts || w.cut) {
		w.errors++
		if w.first == nil {
			w.first = err
		}
	}
	return now
}

func (w *worker) attempt() error {
	if w.client == nil {
		c, err := w.run.target.dial(w.run.ctx, w.index)
		if err != nil {
			w.run.sleep(retryPause)
			return err
		}
		w.client = c
	}
	err := w.client.do()
	if err != nil {
		w.client.close()
		w.client = nil
		w.run.sleep(retryPause)
	}
	return err
}

var errUsage = errors.New("bench: wrongly used")
