package discovery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a Lookup whose answers a test sets; it counts what it is asked. Safe for concurrent use.
type script struct {
	mu      sync.Mutex
	answers map[string]func() (Answer, error)
	asked   map[string]int
}

func (s *script) lookup(_ context.Context, q Question) (Answer, error) {
	s.mu.Lock()
	s.asked[q.Name]++
	answer := s.answers[q.Name]
	s.mu.Unlock()
	if answer == nil {
		return Answer{}, ErrNone
	}
	return answer() // may sleep
}

// says makes an answer of addresses; without any the name does not exist.
func (s *script) says(name string, ttl time.Duration, ips ...string) {
	s.set(name, func() (Answer, error) {
		if len(ips) == 0 {
			return Answer{}, ErrNone
		}
		return Answer{hosts(ips...), ttl}, nil
	})
}

func (s *script) set(name string, answer func() (Answer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = answer
}

func (s *script) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// world is a Finder that runs in a synctest bubble.
type world struct {
	*script
	*Finder
	t   *testing.T
	log *lines
}

type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(b))
	return len(b), nil
}

// of counts the lines that hold text.
func (l *lines) of(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func named(names ...string) (o Options) {
	for _, n := range names {
		o.Hosts = append(o.Hosts, Host{n, 7687, 0})
	}
	return o
}

// run runs f beside a Finder of names, on a clock of its own.
func run(t *testing.T, o Options, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{script: &script{answers: map[string]func() (Answer, error){}, asked: map[string]int{}}, t: t, log: &lines{}}
		o.Lookup = w.lookup
		w.Finder = New(o, slog.New(slog.NewTextHandler(w.log, nil)))
		f(w)
	})
}

// start runs the Finder until the test ends.
func (w *world) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(ended)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
	synctest.Wait()
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) names() string {
	var all []string
	for _, m := range w.Members() {
		all = append(all, strings.TrimSuffix(m.Name, ":7687"))
	}
	return strings.Join(all, " ")
}

func (w *world) want(when, want string) {
	w.t.Helper()
	if got := w.names(); got != want {
		w.t.Errorf("%s: got members %q; want %q", when, got, want)
	}
}

// told tells whether Changed was signalled since it was asked last.
func (w *world) told() bool {
	select {
	case <-w.Changed():
		return true
	default:
		return false
	}
}

func TestMembersComeAndLeave(t *testing.T) {
	run(t, named("db"), func(w *world) {
		w.says("db", 10*time.Second, "10.0.0.1", "10.0.0.2")
		w.start()
		w.want("at first", "10.0.0.1 10.0.0.2")
		if !w.told() {
			t.Error("nobody was told of the first members")
		}
		w.says("db", 10*time.Second, "10.0.0.3", "10.0.0.2", "10.0.0.1")
		w.after(9 * time.Second)
		w.want("before the TTL ends", "10.0.0.1 10.0.0.2")
		w.after(time.Second)
		w.want("one more", "10.0.0.1 10.0.0.2 10.0.0.3")
		w.says("db", 10*time.Second, "10.0.0.3", "10.0.0.2")
		w.after(10 * time.Second)
		w.want("one less", "10.0.0.2 10.0.0.3")
		if !w.told() {
			t.Error("nobody was told that a member left")
		}
		w.says("db", 10*time.Second, "10.0.0.2", "10.0.0.3")
		w.after(10 * time.Second)
		if w.told() {
			t.Error("another order is no change")
		}
		if n := w.log.of("members discovered"); n != 3 {
			t.Errorf("logged %d changes; want 3", n)
		}
	})
}

func TestHowOftenANameIsAskedFor(t *testing.T) {
	for ttl, want := range map[time.Duration]int{ // in an hour
		0:                3601,
		30 * time.Second: 121,
		5 * time.Minute:  13,
		24 * time.Hour:   13,
	} {
		run(t, named("db"), func(w *world) {
			w.says("db", ttl, "10.0.0.1")
			w.start()
			w.after(time.Hour)
			if got := w.count("db"); got != want {
				t.Errorf("TTL %v: asked %d times in an hour; want %d", ttl, got, want)
			}
		})
	}
}

func TestAFailureTakesNoMemberAway(t *testing.T) {
	for _, failure := range []error{ErrNone, errUnusable, errors.New("SERVFAIL"), context.DeadlineExceeded} {
		run(t, named("db", "other"), func(w *world) {
			w.says("db", 5*time.Second, "10.0.0.1", "10.0.0.2")
			w.says("other", 5*time.Second, "10.0.0.9")
			w.start()
			w.set("db", func() (Answer, error) { return Answer{}, failure })
			w.says("other", 5*time.Second, "10.0.0.8")
			w.after(time.Hour)
			w.want("while it fails", "10.0.0.1 10.0.0.2 10.0.0.8")
			if n := w.log.of("its last answer stays in force"); n != 1 {
				t.Errorf("%v: said %d times; want once", failure, n)
			}
			if n := w.count("db"); n < 100 || n > 130 {
				t.Errorf("asked %d times in an hour of failures; want about 120", n)
			}
			w.says("db", 5*time.Second, "10.0.0.2", "10.0.0.3")
			w.after(maxRetry)
			w.want("when it is back", "10.0.0.2 10.0.0.3 10.0.0.8")
			if n := w.log.of("resolves again"); n != 1 {
				t.Errorf("%v: said %d times that it is back; want once", failure, n)
			}
			w.says("db", 5*time.Second)
			w.after(time.Minute)
			if n := w.log.of("its last answer stays in force"); n != 2 {
				t.Errorf("%v: the next failure is not said", failure)
			}
		})
	}
}

func TestTheFirstListHasAllNamesInIt(t *testing.T) {
	run(t, named("slow", "quick", "none"), func(w *world) {
		w.says("quick", time.Minute, "10.0.0.1")
		w.set("slow", func() (Answer, error) {
			time.Sleep(3 * time.Second)
			return Answer{hosts("10.0.0.2"), time.Minute}, nil
		})
		w.start()
		w.after(2 * time.Second)
		if w.told() {
			t.Error("a list was made while a name is being asked for")
		}
		w.after(2 * time.Second)
		w.want("when all were asked for", "10.0.0.1 10.0.0.2")
		if n := w.log.of("it brings no members until it does"); n != 1 {
			t.Errorf("the name that does not exist was mentioned %d times; want once", n)
		}
		w.says("none", time.Minute, "10.0.0.3")
		w.after(maxRetry)
		w.want("when the last one appears", "10.0.0.1 10.0.0.2 10.0.0.3")
	})
}

func TestAReloadKeepsWhatWasFound(t *testing.T) {
	run(t, named("a", "b", "broken"), func(w *world) {
		update := func(names ...string) {
			o := named(names...)
			o.Lookup = w.lookup
			w.Update(o)
			synctest.Wait()
		}
		w.says("a", time.Minute, "10.0.0.1")
		w.says("b", time.Minute, "10.0.0.2")
		w.start()
		asked := w.count("a")
		update("b", "a", "broken")
		w.want("the same names", "10.0.0.1 10.0.0.2")
		if n := w.count("a"); n != asked {
			t.Errorf("a was asked for again")
		}
		update("a", "broken")
		w.want("b is not named any more", "10.0.0.1")
		update("c")
		w.want("c does not exist", "10.0.0.1")
		update("d")
		w.want("nor does d", "10.0.0.1")
		asked = w.count("a")
		w.says("d", time.Minute, "10.0.0.4")
		w.after(maxRetry)
		w.want("d appears", "10.0.0.4")
		w.after(time.Hour)
		if n := w.count("a"); n != asked {
			t.Errorf("a is still asked for")
		}
		o := Options{Hosts: []Host{{"d", 7000, 0}}, Lookup: w.lookup}
		w.Update(o)
		synctest.Wait()
		w.want("another port", "10.0.0.4:7000")
		update()
		w.want("no name at all", "")
		if len(w.Finder.names) != 0 {
			t.Errorf("got %v; want nothing kept", w.Finder.names)
		}
	})
}

func TestAMemberKeepsItsHTTPPortUntilItLeaves(t *testing.T) {
	o := Options{Services: []Service{{"bolt", false}, {"http", true}}}
	run(t, o, func(w *world) {
		says := func(name string, ttl time.Duration, port uint16, hosts ...string) {
			var records []Record
			for _, h := range hosts {
				records = append(records, Record{Host: h, Port: port})
			}
			w.set(name, func() (Answer, error) { return Answer{records, ttl}, nil })
		}
		want := func(when, want string) {
			t.Helper()
			if got := words(w.Members()); got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", when, got, want)
			}
		}
		both := "a:7687 bolt=a:7687 http=a:7474 weight=1 bolt\nb:7687 bolt=b:7687 http=b:7474 weight=1 bolt"
		says("bolt", 10*time.Second, 7687, "a", "b")
		says("http", time.Second, 7474, "a", "b")
		w.start()
		want("at first", both)
		says("bolt", 10*time.Second, 7687, "a")
		says("http", time.Second, 7474, "a", "c")
		w.after(2 * time.Second)
		want("b is told by Bolt alone, c by HTTP alone", both)
		w.after(10 * time.Second)
		want("b left", "a:7687 bolt=a:7687 http=a:7474 weight=1 bolt")
	})
}

func TestMembersAreNotChangedInPlace(t *testing.T) {
	run(t, named("db"), func(w *world) {
		w.says("db", 5*time.Second, "10.0.0.1", "10.0.0.2")
		w.start()
		before := w.Members()
		kept := slices.Clone(before)
		w.says("db", 5*time.Second, "10.0.0.3")
		w.after(5 * time.Second)
		if !slices.Equal(before, kept) || before[0].Name != "10.0.0.1:7687" {
			t.Errorf("the list that was handed out changed: %v", before)
		}
	})
}
