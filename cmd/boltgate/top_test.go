package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/admin"
)

func TestTopFitsItsTerminal(t *testing.T) {
	since := time.Now().Add(-time.Hour)
	now := look{At: time.Now(), Status: admin.StatusInfo{Version: "test", Ready: true}, Members: []admin.MemberInfo{{Name: "s1", Up: true, Condition: "ready", Rate: 12.5, Roles: map[string]string{"neo4j": "leader"}}}}
	now.Top = admin.TopInfo{Since: since, Shapes: 200}
	for i := range 100 {
		now.Top.Queries = append(now.Top.Queries, admin.QueryInfo{ID: i + 2, Text: "MATCH (n) \x1b[31m" + strings.Repeat("wide ", 100), Calls: uint64(1000 - i), Share: 0.01})
	}
	before := look{At: now.At.Add(-2 * time.Second), Top: admin.TopInfo{Since: since, Queries: []admin.QueryInfo{{ID: 2, Calls: 900}}}}
	now.Running = admin.SessionsInfo{Total: 1, Sessions: []admin.SessionInfo{{ID: "boltgate-7", Query: "RETURN ?", Member: "s1", Seconds: 3}}}
	got := screen(now, before, nil, "time", 100, 30)
	for _, control := range []string{home, clearLine, clearRest} {
		got = strings.ReplaceAll(got, control, "")
	}
	lines := strings.Split(got, "\r\n")
	if len(lines) > 30 || strings.Contains(got, "\x1b") {
		t.Errorf("%d lines, or a text of a client moves the cursor: %q", len(lines), got)
	}
	for _, line := range lines {
		if len([]rune(line)) > 100 {
			t.Errorf("too wide: %q", line)
		}
	}
	for _, want := range []string{"12.5", "leader of neo4j", "50.0", "boltgate-7", "RETURN ?", "200 shapes of query, by time"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	if got := screen(look{}, before, errors.New("no gate there"), "time", 80, 24); !strings.Contains(got, "no gate there") {
		t.Errorf("got %q", got)
	}
	if orderOf('c', "time") != "calls" || orderOf('x', "rows") != "rows" {
		t.Error("keys choose another order")
	}
}
