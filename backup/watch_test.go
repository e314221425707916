package backup

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lines are the events that a Watch tells, each "event job=… key=value".
type lines struct{ all []string }

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "advice" && a.Key != "files" {
			text += " " + a.Key + "=" + a.Value.String()
		}
		return true
	})
	l.all = append(l.all, text)
	return nil
}

// world is a Watch that runs in a bubble, and a folder.
type world struct {
	*Watch
	t      *testing.T
	dir    string
	events lines
	told   int // of events, those that a test has looked at
}

// bubble runs test with a Watch. Its clock begins at midnight of 2000-01-01 UTC.
func bubble(t *testing.T, test func(w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir}
		w.Watch = New(slog.New(&w.events))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.Run(ctx)
		test(w)
	})
}

// watch puts jobs in force, each "name pattern every", and has them looked at.
func (w *world) watch(jobs ...string) {
	w.t.Helper()
	var all []Job
	for _, text := range jobs {
		f := strings.Fields(text)
		every, err := time.ParseDuration(f[2])
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, Job{Name: f[0], Files: filepath.Join(w.dir, f[1]), Every: every})
	}
	w.Update(all)
	synctest.Wait()
}

// put makes a file that was last written so long ago; by now the Watch has not seen it.
func (w *world) put(name, text string, ago time.Duration) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.date(name, ago)
}

func (w *world) date(name string, ago time.Duration) {
	w.t.Helper()
	at := time.Now().Add(-ago)
	if err := os.Chtimes(filepath.Join(w.dir, name), at, at); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

// ago is a time as events spell it.
func ago(d time.Duration) string { return spell(time.Now().Add(-d).Local()) }

func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantStates compares what is known, each "job last due", in hours from the beginning of the bubble's time; a last of - is none.
func (w *world) wantStates(want ...string) {
	w.t.Helper()
	hours := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Hours())
	}
	var got []string
	for _, s := range w.States() {
		got = append(got, s.Job+" "+hours(s.Last)+" "+hours(s.Due))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("got %q; want %q", got, want)
	}
}

// wantEvents compares the events since the last time that it was asked, by job: those of one are in order, whose look ends first is nobody's matter.
func (w *world) wantEvents(want ...string) {
	w.t.Helper()
	got := make([]string, 0, len(want))
	for _, e := range w.events.all[w.told:] {
		got = append(got, strings.ReplaceAll(e, w.dir, "DIR"))
	}
	slices.SortStableFunc(got, func(a, b string) int { return cmp.Compare(jobOf(a), jobOf(b)) })
	if w.told = len(w.events.all); !slices.Equal(got, want) {
		w.t.Errorf("got %q; want %q", got, want)
	}
}

func jobOf(event string) string {
	_, rest, _ := strings.Cut(event, " job=")
	job, _, _ := strings.Cut(rest, " ")
	return job
}

func TestAJobWithoutABackupIsDueAfterTheWatchBegan(t *testing.T) {
	bubble(t, func(w *world) {
		w.after(time.Hour)
		w.watch("nightly *.backup 26h")
		w.wantStates("nightly - 27")
		w.after(25 * time.Hour)
		w.wantEvents()
		w.after(time.Hour + lookEvery)
		w.wantEvents("WARN backup overdue job=nightly last=none was found every=26h")
		w.after(48 * time.Hour)
		w.wantEvents()
		if s := w.States()[0]; !s.Overdue(time.Now()) {
			t.Errorf("got %+v, not overdue", s)
		}
	})
}

func TestABackupThatExistsIsNotForgivenByARestart(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("a.backup", "x", 30*time.Hour)
		w.put("b.backup", "x", 27*time.Hour)
		w.watch("nightly *.backup 26h")
		w.wantStates("nightly -27 -1")
		w.wantEvents("WARN backup overdue job=nightly last=" + ago(27*time.Hour) + " every=26h")
	})
}

func TestANewerBackupIsTold(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("a.backup", "x", time.Hour)
		w.watch("nightly *.backup 26h")
		w.wantEvents() // it was there before
		w.after(2 * time.Hour)
		w.put("b.backup", "x", 0)
		made := ago(0)
		w.after(lookEvery)
		w.wantStates("nightly 2 28")
		w.wantEvents("INFO backup made job=nightly last=" + made)
		w.after(26*time.Hour + lookEvery)
		w.wantEvents("WARN backup overdue job=nightly last=" + made + " every=26h")
		w.put("c.backup", "x", 0)
		made = ago(0)
		w.after(27*time.Hour + lookEvery)
		w.wantEvents("INFO backup made job=nightly last="+made, "WARN backup overdue job=nightly last="+made+" every=26h")
	})
}

func TestTheFirstBackupOfANewJobIsTold(t *testing.T) {
	bubble(t, func(w *world) {
		w.watch("nightly *.backup 26h")
		w.put("a.backup", "x", 0)
		w.after(lookEvery)
		w.wantEvents("INFO backup made job=nightly last=" + ago(lookEvery))
	})
}

func TestWhatCountsAsABackup(t *testing.T) {
	for name, test := range map[string]struct {
		make func(w *world)
		want string
	}{
		"an empty file does not":            {func(w *world) { w.put("a.backup", "", time.Hour) }, "job - 24"},
		"another name does not":             {func(w *world) { w.put("a.backup.part", "x", time.Hour) }, "job - 24"},
		"one changed a moment ago does not": {func(w *world) { w.put("a.backup", "x", time.Minute-time.Second) }, "job - 24"},
		"one from the future does not":      {func(w *world) { w.put("a.backup", "x", -time.Hour) }, "job - 24"},
		"a folder does":                     {func(w *world) { w.put("a.backup/data", "", 0); w.date("a.backup", time.Hour) }, "job -1 23"},
		"a file below a folder does not":    {func(w *world) { w.put("old/a.backup", "x", time.Hour) }, "job - 24"},
		"a link to a file that is gone not": {func(w *world) { os.Symlink("gone", filepath.Join(w.dir, "a.backup")) }, "job - 24"}, //nolint:errcheck // shows
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				test.make(w)
				w.watch("job *.backup 24h")
				w.wantStates(test.want)
				w.wantEvents()
			})
		})
	}
}

func TestFoldersMayMatchToo(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("neo4j/full.backup", "x", 3*time.Hour)
		w.put("sales/full.backup", "x", 2*time.Hour)
		w.put("notes", "x", time.Hour)
		w.watch("all */full.backup 24h", "one neo4j/full.backup 24h")
		w.wantStates("all -2 22", "one -3 21")
		w.wantEvents()
	})
}

func TestAFolderThatCannotBeReadIsToldOnceAndKeepsWhatIsKnown(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("disk/a.backup", "x", time.Hour)
		w.watch("nightly disk/*.backup 26h", "other gone/*.backup 26h")
		w.wantEvents("WARN backup folder cannot be read job=other error=open DIR/gone: no such file or directory")
		if err := os.Rename(filepath.Join(w.dir, "disk"), filepath.Join(w.dir, "gone")); err != nil {
			t.Fatal(err)
		}
		w.after(time.Hour)
		w.wantStates("nightly -1 25", "other -1 25")
		w.wantEvents("WARN backup folder cannot be read job=nightly error=open DIR/disk: no such file or directory") // and what was in the other was there before
		if s := w.States(); s[0].Problem == "" || s[1].Problem != "" {
			t.Errorf("got %+v", s)
		}
		w.after(26 * time.Hour)
		w.wantEvents("WARN backup overdue job=nightly last="+ago(28*time.Hour)+" every=26h",
			"WARN backup overdue job=other last="+ago(28*time.Hour)+" every=26h")
	})
}

func TestAReloadKeepsWhatItDoesNotChange(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("a.backup", "x", time.Hour)
		w.watch("nightly *.backup 26h", "weekly *.full 200h")
		w.after(time.Hour)
		w.watch("nightly *.backup 20h", "hourly *.log 2h")
		w.wantStates("hourly - 3", "nightly -1 19")
		w.after(time.Hour)
		w.put("b.backup", "x", 30*time.Minute)
		made := ago(30 * time.Minute)
		w.watch("hourly *.full 2h", "nightly *.backup 1h") // it was hourly in name only: other files, another watch
		w.wantStates("hourly - 4", "nightly 1.5 2.5")
		w.wantEvents("INFO backup made job=nightly last=" + made)
		w.watch()
		w.wantStates()
		w.after(100 * time.Hour)
		w.wantEvents()
	})
}

func TestWhatIsBeingWrittenDoesNotCount(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("a.backup", "x", 27*time.Hour)
		w.watch("nightly *.backup 26h")
		w.wantEvents("WARN backup overdue job=nightly last=" + ago(27*time.Hour) + " every=26h")
		for range 10 {
			w.put("b.backup", "half", 0)
			w.after(30 * time.Second)
		}
		w.wantStates("nightly -27 -1")
		w.wantEvents()
		made := ago(30 * time.Second)
		w.after(lookEvery)
		w.wantEvents("INFO backup made job=nightly last=" + made)
	})
}

func TestABackupThatIsWrittenOverIsNotGone(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("monthly.backup", "x", 300*time.Hour)
		w.put("full.backup", "x", 25*time.Hour)
		w.watch("full full.backup 26h", "newest *.backup 26h")
		for _, text := range []string{"", "", "half", "half"} {
			w.put("full.backup", text, 0)
			w.after(30 * time.Second)
		}
		w.wantStates("full -25 1", "newest -25 1")
		w.wantEvents()
		made := ago(30 * time.Second)
		w.after(lookEvery)
		w.wantEvents("INFO backup made job=full last="+made, "INFO backup made job=newest last="+made)
	})
}

func TestBackupsThatAreGoneClearNoAlarmAndPutNoneOff(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("late/a.backup", "x", 27*time.Hour)
		w.put("soon/a.backup", "x", time.Hour)
		w.watch("late late/*.backup 26h", "soon soon/*.backup 26h")
		w.wantEvents("WARN backup overdue job=late last=" + ago(27*time.Hour) + " every=26h")
		late, soon := ago(27*time.Hour), ago(time.Hour)
		w.remove("late/a.backup")
		w.remove("soon/a.backup")
		w.after(time.Hour)
		w.wantStates("late - -1", "soon - 25")
		w.wantEvents("WARN backups are gone job=late last="+late, "WARN backups are gone job=soon last="+soon)
		w.after(24*time.Hour + lookEvery)
		w.wantEvents("WARN backup overdue job=soon last=none was found every=26h")
		w.put("late/b.backup", "x", time.Hour)
		made := ago(time.Hour)
		w.after(lookEvery)
		w.wantEvents("INFO backup made job=late last=" + made)
	})
}

func TestWithoutTheNewestTheOneBeforeItCounts(t *testing.T) {
	bubble(t, func(w *world) {
		w.put("a.backup", "x", 30*time.Hour)
		w.put("b.backup", "x", time.Hour)
		w.watch("nightly *.backup 26h")
		older := ago(30 * time.Hour)
		w.remove("b.backup")
		w.after(lookEvery)
		w.wantStates("nightly -30 -4")
		w.wantEvents("WARN backup overdue job=nightly last=" + older + " every=26h")
		w.remove("a.backup")
		w.after(lookEvery)
		w.wantStates("nightly - -4") // by the newest that was ever there it would not be overdue any more
		w.wantEvents("WARN backups are gone job=nightly last=" + older)
	})
}

// hang has looks at files of that folder not end until answer is closed, and counts them.
func (w *world) hang(folder string) (answer chan struct{}, looks *atomic.Int32) {
	answer, looks = make(chan struct{}), new(atomic.Int32)
	w.look = func(files string, now time.Time) (found, error) {
		if filepath.Dir(files) == filepath.Join(w.dir, folder) {
			looks.Add(1)
			<-answer
		}
		return newest(files, now)
	}
	return answer, looks
}

func TestAFolderThatHangsHoldsUpNoOtherJobAndNoAlarm(t *testing.T) {
	bubble(t, func(w *world) {
		answer, looks := w.hang("mount")
		w.put("disk/a.backup", "x", time.Hour)
		w.put("mount/a.backup", "x", time.Hour)
		w.watch("hangs mount/*.backup 26h", "other disk/*.backup 26h")
		w.wantStates("hangs - 26", "other -1 25")
		w.watch("hangs mount/*.backup 24h", "other disk/*.backup 26h") // it is no minute yet
		w.wantEvents()
		w.after(lookEvery)
		w.wantEvents("WARN backup folder does not answer job=hangs")
		if s := w.States(); s[0].Problem != errSilent.Error() || s[1].Problem != "" {
			t.Errorf("got %+v", s)
		}
		w.put("disk/b.backup", "x", lookEvery)
		made := ago(lookEvery)
		w.after(24 * time.Hour)
		w.wantEvents("WARN backup overdue job=hangs last=none was found every=24h", "INFO backup made job=other last="+made)
		w.after(4 * time.Hour)
		w.wantEvents("WARN backup overdue job=other last=" + made + " every=26h")
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks hang; want 1", n)
		}
		close(answer)
		synctest.Wait()
		if s := w.States()[0]; s.Last.IsZero() || s.Problem != "" {
			t.Errorf("got %+v", s)
		}
		w.after(lookEvery)
		w.wantEvents()
		if n := looks.Load(); n != 2 {
			t.Errorf("%d looks; want a second one after the first ended", n)
		}
	})
}

func TestAFolderThatHangsDoesNotKeepRunFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir()}
		w.Watch = New(slog.New(&w.events))
		answer, looks := w.hang("mount")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			w.Run(ctx)
			close(ended)
		}()
		w.watch("hangs mount/*.backup 24h")
		cancel()
		<-ended
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks hang; want 1", n)
		}
		close(answer) // that look ends too: else the bubble says so
	})
}
