package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/admin"
)

// This file holds what programs read of the operators' commands, --json and the events that are followed, to what a daemon has to say.

func TestWhatCommandsSayInJSON(t *testing.T) {
	d, idle := startOperated(t)
	session := d.dial(d.address)
	if _, err := session.Ask(begin); err != nil {
		t.Fatal(err)
	}
	id := d.sessionOf(session)
	// ask runs a command and reads its JSON into v
	ask := func(v any, args ...string) {
		t.Helper()
		code, out := d.boltgate(append(args, "--json")...)
		if err := json.Unmarshal([]byte(out), v); code != 0 || err != nil {
			t.Errorf("%q: got %d, %v: %s", args, code, err, out)
		}
	}
	for _, list := range []string{"sessions", "queries"} {
		var all admin.SessionsInfo
		if ask(&all, list); all.Total != 1 || len(all.Sessions) != 1 || all.Sessions[0].ID != id || all.Sessions[0].State != "in transaction" || all.Sessions[0].Member == "" {
			t.Errorf("%s: got %+v; want %s with its transaction", list, all, id)
		}
	}
	for _, order := range []struct {
		args      []string
		condition string
		weight    int
	}{
		{[]string{"weight", idle, "7"}, "ready", 7},
		{[]string{"maint", idle}, "maint", 7},
		{[]string{"ready", idle}, "ready", 7},
		{[]string{"drain", idle}, "drain", 7},
	} {
		var m admin.MemberInfo
		if ask(&m, order.args...); m.Name != idle || m.Condition != order.condition || m.Weight != order.weight {
			t.Errorf("%q: got %+v", order.args, m)
		}
	}
	var s admin.StatusInfo
	if ask(&s, "reload"); !s.Ready || s.Members != 3 || s.Version == "" {
		t.Errorf("reload: got %+v", s)
	}
	var killed struct{ Killed string }
	if ask(&killed, "kill", id); killed.Killed != id {
		t.Errorf("kill: got %+v; want %s", killed, id)
	}
	d.stop()
	d.end()
}

// TestEventsAreFollowed: those before the command and those that come, as lines and as JSON, until it is interrupted or the daemon ends.
func TestEventsAreFollowed(t *testing.T) {
	d, idle := startOperated(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupted := d.follow(ctx, "events", "--follow")
	left := d.follow(t.Context(), "events", "-f", "--json")
	if line := interrupted.out.await(t, "role changed"); !strings.Contains(line, " info  role changed ") {
		t.Errorf("a line of what was before is %q", line)
	}
	if ev := left.event(t, "role changed"); ev.ID == 0 || ev.Event != "role changed" || ev.Level != "info" {
		t.Errorf("in JSON what was before is %+v", ev)
	}
	if code, out := d.boltgate("drain", idle); code != 0 {
		t.Fatalf("drain: %d, %s", code, out)
	}
	if line := interrupted.out.await(t, "operator's drain"); !strings.Contains(line, " by=local ") || !strings.HasSuffix(line, " member="+idle+"\n") {
		t.Errorf("a line of what came is %q", line)
	}
	if ev := left.event(t, "operator's drain"); ev.Fields["by"] != "local" || ev.Fields["member"] != idle || ev.Time.IsZero() {
		t.Errorf("in JSON what came is %+v", ev)
	}
	interrupt()
	if code := interrupted.end(t); code != 0 {
		t.Errorf("interrupted it ends with %d", code)
	}
	d.stop()
	if code := left.end(t); code != 1 {
		t.Errorf("when the daemon ends, it ends with %d", code)
	}
	left.out.await(t, "the daemon ended the stream")
	d.end()
}

// following is a command that goes on.
type following struct {
	out  *lines
	code chan int
}

// follow starts a command, which ends with ctx.
func (d *testDaemon) follow(ctx context.Context, args ...string) *following {
	f := &following{out: &lines{make(chan string, 10_000)}, code: make(chan int, 1)}
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(f.out)
	go func() { f.code <- execute(ctx, root, f.out) }()
	return f
}

// event waits for a line with the text, and reads it.
func (f *following) event(t *testing.T, text string) (ev admin.Event) {
	t.Helper()
	line := f.out.await(t, text)
	if err := json.Unmarshal([]byte(line), &ev); err != nil || strings.Count(line, "\n") != 1 {
		t.Errorf("an event is no line of JSON: %v: %q", err, line)
	}
	return ev
}

// end waits for the end, and tells the code.
func (f *following) end(t *testing.T) int {
	t.Helper()
	select {
	case code := <-f.code:
		return code
	case <-time.After(time.Minute):
		t.Fatal("the command did not end")
		return 0
	}
}
