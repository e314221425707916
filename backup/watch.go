// Package backup watches what backup jobs leave behind, and tells when the next one is overdue. It makes no backups itself yet.
package backup

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/boltgate/boltgate/internal/durations"
)

// This file owns the watch: which jobs there are, what was last seen of each, and the events that tell of it.

const lookEvery = time.Minute

// errSilent is noted of a look that goes on, each minute.
var errSilent = errors.New("the folder does not answer")

// Job is a backup that somebody else makes.
type Job struct {
	Name  string        // unique
	Files string        // what it leaves, a pattern of filepath.Match; the newest of them tells when it last ended well
	Every time.Duration // after so long without a newer one it is overdue; more than 0
}

// State is what is known of a job.
type State struct {
	Job     string
	Last    time.Time // when it last ended well, by what is there now; zero: none was found
	Due     time.Time // when it is overdue: Every after Last or, where nothing is there any more, after what was; before the first after the watch began
	Problem string    // why its folder could not be read at the last look, or that it does not answer; Last stays as it was then. "" it could
}

// Overdue tells whether the next backup should have been there.
func (s State) Overdue(now time.Time) bool { return now.After(s.Due) }

// Watch looks at the jobs' files each minute and keeps what it saw. Its methods may be called from any goroutine.
type Watch struct {
	log     *slog.Logger
	look    func(files string, now time.Time) (found, error) // newest, but in tests
	changed chan struct{}                                    // holds one when Run is to look before its minute is over
	looked  chan outcome                                     // to Run, from the looks that it began

	mu   sync.Mutex
	jobs []*job // guarded by mu; by name. A slice that was put here never changes
}

// job is a Job with what looks came to. One whose Files changed is another.
type job struct {
	name, files string
	looking     time.Time // since when a look is under way; zero: none is. Owned by Run

	every time.Duration // guarded by Watch.mu, as is seen
	seen
}

// seen is what the looks at a job came to.
type seen struct {
	ever    bool      // its folder could be read once: what comes up from then on was made while we watched
	last    time.Time // as in State
	since   time.Time // what Due counts from: last as long as there is one, and then what it was; in the beginning when the watch began
	problem string    // as in State
	overdue bool      // and that was told
}

// outcome is what a look at a job came to.
type outcome struct {
	job   *job
	found found
	err   error
}

// New returns a Watch without jobs. What happens to them goes to log.
func New(log *slog.Logger) *Watch {
	return &Watch{log: log, look: newest, changed: make(chan struct{}, 1), looked: make(chan outcome)}
}

// Update puts jobs in place of those before and has Run look at once. What is known of a job stays, as long as it has the same name and files.
func (w *Watch) Update(jobs []Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := make([]*job, 0, len(jobs))
	for _, n := range jobs {
		j := &job{name: n.Name, files: n.Files, seen: seen{since: time.Now()}} // a new job does not alarm at once
		if i := slices.IndexFunc(w.jobs, func(old *job) bool { return old.name == n.Name && old.files == n.Files }); i >= 0 {
			j = w.jobs[i]
		}
		j.every = n.Every
		next = append(next, j)
	}
	slices.SortFunc(next, func(a, b *job) int { return cmp.Compare(a.name, b.name) })
	w.jobs = next
	select {
	case w.changed <- struct{}{}:
	default: // it is to look already
	}
}

// States returns what is known of each job, by name.
func (w *Watch) States() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]State, 0, len(w.jobs))
	for _, j := range w.jobs {
		all = append(all, j.state())
	}
	return all
}

// Run looks at the files after each Update and every minute, until ctx ends. A look into a folder of a network that hangs lasts as long as
// that does, also beyond ctx; nothing waits for it, neither Run nor the looks at other jobs.
func (w *Watch) Run(ctx context.Context) {
	minutes := time.NewTicker(lookEvery)
	defer minutes.Stop()
	for {
		select {
		case <-minutes.C:
			w.lookAtAll(ctx)
		case <-w.changed:
			w.lookAtAll(ctx)
		case o := <-w.looked:
			o.job.looking = time.Time{}
			w.note(o)
		case <-ctx.Done():
			return
		}
	}
}

// lookAtAll begins a look at each job. One at which a look is under way gets no second one, which would hang as well.
func (w *Watch) lookAtAll(ctx context.Context) {
	w.mu.Lock()
	jobs := w.jobs
	w.mu.Unlock()
	now := time.Now()
	for _, j := range jobs {
		switch {
		case j.looking.IsZero():
			j.looking = now
			go w.lookAt(ctx, j, now)
		case now.Sub(j.looking) >= lookEvery:
			w.note(outcome{job: j, err: errSilent})
		}
	}
}

func (w *Watch) lookAt(ctx context.Context, j *job, now time.Time) {
	found, err := w.look(j.files, now)
	select {
	case w.looked <- outcome{job: j, found: found, err: err}:
	case <-ctx.Done():
	}
}

// note keeps what a look came to, and tells what is new.
func (w *Watch) note(o outcome) {
	j := o.job
	w.mu.Lock()
	if !slices.Contains(w.jobs, j) { // a reload came between
		w.mu.Unlock()
		return
	}
	before := j.seen
	j.seen = before.next(o.found, o.err)
	j.overdue = j.state().Overdue(time.Now())
	after, every := j.seen, j.every
	w.mu.Unlock()

	switch {
	case after.problem == "" || after.problem == before.problem:
	case o.err == errSilent:
		w.log.Warn("backup folder does not answer", "job", j.name, "files", j.files,
			"advice", "look at the file server and the mount, or change watch of the job; until then no newer backup is seen")
	default:
		w.log.Warn("backup folder cannot be read", "job", j.name, "files", j.files, "error", o.err,
			"advice", "make or mount the folder, let the gate's user read it, or change watch of the job; until then no newer backup is seen")
	}
	if before.ever && after.last.After(before.last) {
		w.log.Info("backup made", "job", j.name, "last", spell(after.last))
	}
	if after.last.IsZero() && !before.last.IsZero() {
		w.log.Warn("backups are gone", "job", j.name, "files", j.files, "last", spell(before.last),
			"advice", "see what deleted or moved them, and whether the folder is still mounted; when the job is due stays as it was")
	}
	if after.overdue && !before.overdue {
		w.log.Warn("backup overdue", "job", j.name, "last", spell(after.last), "every", durations.Short(every))
	}
}

// next is what is seen after a look. Where a folder could not be read what was known before may be in it still, and what is being written may take the
// place of it: then only a newer one counts.
func (s seen) next(f found, err error) seen {
	s.problem = ""
	if err != nil {
		s.problem = err.Error()
	}
	s.ever = s.ever || err == nil
	if err == nil && !f.written || f.last.After(s.last) {
		s.last = f.last
	}
	if !s.last.IsZero() {
		s.since = s.last
	}
	return s
}

// state is what is known of the job. The caller holds the Watch's mu.
func (j *job) state() State {
	return State{Job: j.name, Last: j.last, Due: j.since.Add(j.every), Problem: j.problem}
}

func spell(last time.Time) string {
	if last.IsZero() {
		return "none was found"
	}
	return last.Format(time.RFC3339)
}
