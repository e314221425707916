// Package backup watches what backup jobs leave behind, and tells when the next one is overdue. It makes no backups itself yet.
package backup

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/boltgate/boltgate/internal/durations"
)

// This file owns the watch: which jobs there are, what was last seen of each, and the events that tell of it.

const lookEvery = time.Minute

// Job is a backup that somebody else makes.
type Job struct {
	Name  string        // unique
	Files string        // what it leaves, a pattern of filepath.Match; the newest of them tells when it last ended well
	Every time.Duration // after so long without a newer one it is overdue; more than 0
}

// State is what is known of a job.
type State struct {
	Job     string
	Last    time.Time // when it last ended well; zero: none was found
	Due     time.Time // when it is overdue: Every after Last or, where none was found, after the watch began
	Problem string    // why its folder could not be read at the last look, which leaves Last as it was; "" it could
}

// Overdue tells whether the next backup should have been there.
func (s State) Overdue(now time.Time) bool { return now.After(s.Due) }

// Watch looks at the jobs' files each minute and keeps what it saw. Its methods may be called from any goroutine.
type Watch struct {
	log     *slog.Logger
	changed chan struct{} // holds one when Run is to look before its minute is over

	mu   sync.Mutex
	jobs []*job // guarded by mu; by name. A slice that was put here never changes
}

// job is a Job with what looks came to. One whose Files changed is another.
type job struct {
	name, files string
	began       time.Time // of the watch

	every time.Duration // guarded by Watch.mu, as are those below
	seen
}

// seen is what the looks at a job came to; the zero value before the first.
type seen struct {
	ever    bool      // its folder could be read once: what comes up from then on was made while we watched
	last    time.Time // as in State
	problem string    // as in State
	overdue bool      // and that was told
}

// New returns a Watch without jobs. What happens to them goes to log.
func New(log *slog.Logger) *Watch {
	return &Watch{log: log, changed: make(chan struct{}, 1)}
}

// Update puts jobs in place of those before and has Run look at once. What is known of a job stays, as long as it has the same name and files.
func (w *Watch) Update(jobs []Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := make([]*job, 0, len(jobs))
	for _, n := range jobs {
		j := &job{name: n.Name, files: n.Files, began: time.Now()}
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
// that does, also beyond ctx; nothing else waits for it.
func (w *Watch) Run(ctx context.Context) {
	minutes := time.NewTicker(lookEvery)
	defer minutes.Stop()
	for {
		select {
		case <-minutes.C:
		case <-w.changed:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		jobs := w.jobs
		w.mu.Unlock()
		for _, j := range jobs {
			now := time.Now()
			found, err := newest(j.files, now)
			w.note(j, found, err, now)
		}
	}
}

// note keeps what a look at j found, and tells what is new.
func (w *Watch) note(j *job, found time.Time, err error, now time.Time) {
	w.mu.Lock()
	if !slices.Contains(w.jobs, j) { // a reload came between
		w.mu.Unlock()
		return
	}
	before := j.seen
	j.seen = before.next(found, err)
	state, every := j.state(), j.every
	j.overdue = state.Overdue(now)
	after := j.seen
	w.mu.Unlock()

	if after.problem != "" && after.problem != before.problem {
		w.log.Warn("backup folder cannot be read", "job", j.name, "files", j.files, "error", err,
			"advice", "make or mount the folder, let the gate's user read it, or change watch of the job; until then no newer backup is seen")
	}
	if before.ever && after.last.After(before.last) {
		w.log.Info("backup made", "job", j.name, "last", spell(after.last))
	}
	if after.overdue && !before.overdue {
		w.log.Warn("backup overdue", "job", j.name, "last", spell(after.last), "every", durations.Short(every))
	}
}

// next is what is seen after a look that found a backup, or the zero time for none. Where a folder could not be read, what was known before
// may be in it still.
func (s seen) next(found time.Time, err error) seen {
	if err != nil {
		s.problem = err.Error()
		if found.After(s.last) {
			s.last = found
		}
		return s
	}
	s.ever, s.problem, s.last = true, "", found
	return s
}

// state is what is known of the job. The caller holds the Watch's mu.
func (j *job) state() State {
	since := j.last
	if since.IsZero() {
		since = j.began // a new job does not alarm at once
	}
	return State{Job: j.name, Last: j.last, Due: since.Add(j.every), Problem: j.problem}
}

func spell(last time.Time) string {
	if last.IsZero() {
		return "none was found"
	}
	return last.Format(time.RFC3339)
}
