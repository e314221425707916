package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

// This file holds whole gates to how often members are tried: all work together by failover.retry_budget, and one unit of work by maxTries.

// TestAMemberThatFailsEverythingMultipliesNoLoad: one of two followers refuses every read, of which half come to it first. For three windows
// the tries that members get stay within the work and a fifth more, and what is free; no less is tried, and who has no try left is told so.
func TestAMemberThatFailsEverythingMultipliesNoLoad(t *testing.T) {
	const windows, work = 3, 2000 // reads in each window
	var seen ran
	o := gateOptions{
		standin:  standin.Options{Seed: 1, OnQuery: seen.note},
		health:   func(h *health.Options) { h.Interval, h.FastInterval = time.Hour, time.Minute },
		frontend: func(f *Frontend) { f.Causality = CausalityNone }, // reads go to any follower
	}
	inBubble(t, o, func(t *testing.T, g *gate) {
		w, leader, bad := g.logged(bolt.V5_8), g.cluster.Leader("neo4j"), ""
		for _, m := range g.cluster.Members() {
			if m.Name != leader {
				bad = m.Name
			}
		}
		first, total, told, due := 0, 0, 0, time.Now()
		for window := range windows {
			for range work {
				list := w.ask(run(w.v, oneRow, m{"mark": window, "fail": bolt.CodeDatabaseUnavailable, "at_member": bad}, nil), pull(w.v))
				if row, err := firstRow(list); err != nil {
					if text := fmt.Sprint(list[0].value); !strings.Contains(text, bolt.CodeLeaderSwitch) || !strings.Contains(text, "failover.retry_budget is spent") {
						t.Fatalf("a client was told %s", text)
					}
					told++
					w.ask(bolt.Reset)
				} else if row["member"] == bad {
					t.Fatal("the member that fails served a read: the test shows nothing")
				}
				due = due.Add(budgetWindow / work)
				time.Sleep(time.Until(due))
			}
			tries := seen.of(int64(window))
			for _, member := range tries {
				if member == bad {
					first++
				}
			}
			total += len(tries)
			if most := work*12/10 + budgetReserve; len(tries) > most {
				t.Errorf("window %d: members were tried %d times with %d reads; want %d at most", window, len(tries), work, most)
			}
		}
		again := total - windows*work
		least := first/5 + windows*budgetReserve
		if again < least-10 || again > least+budgetReserve+10 { // what is free is there at once, and comes up once more in each window
			t.Errorf("of %d reads that failed %d were tried again; want %d to %d", first, again, least, least+budgetReserve)
		}
		if c := g.server.Counts(); told != first-again || c.Refused["retry_budget"] != int64(told) || c.Resent["refused"] != int64(again) {
			t.Errorf("%d clients were told that the budget is spent, %d are counted; %d tries are counted; want %d, and %d tries", told, c.Refused["retry_budget"], c.Resent["refused"], first-again, again)
		}
	})
}

// TestAReadThatBreaksEveryMemberEnds: after as many tries as one unit of work may have.
func TestAReadThatBreaksEveryMemberEnds(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}, health: slowChecks}, func(t *testing.T, g *gate) {
		tried := func(mark string) {
			t.Helper()
			members := map[string]bool{}
			for _, name := range seen.of(mark) {
				members[name] = true
			}
			if n := len(seen.of(mark)); n != maxTries || len(members) != 3 {
				t.Errorf("%s: %d tries at %v; want %d, at all", mark, n, members, maxTries)
			}
		}
		w := g.logged(bolt.V5_8)
		for at, want := range map[string]string{"run": "FAILURE(" + bolt.CodeLeaderSwitch + ") IGNORED", "pull": "SUCCESS(db fields t_first) FAILURE(" + bolt.CodeLeaderSwitch + ")"} {
			list := w.ask(run(w.v, oneRow, m{"mark": at, "close": at}, m{"mode": "r"}), pull(w.v))
			if got := show(list); got != want || !strings.Contains(fmt.Sprint(list[0].value, list[1].value), "nothing was committed, please try again") {
				t.Errorf("at %s: %s; want %s", at, got, want)
			}
			tried(at)
			w.expect("SUCCESS()", bolt.Reset)
		}
		h := g.plainConn()
		if _, err := io.WriteString(h, webText("MATCH (n) RETURN n", `"mark":"http","close":"run"`)); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(h), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !strings.Contains(string(body), bolt.CodeLeaderSwitch) {
			t.Errorf("over HTTP: %s %s %v", answer.Status, body, err)
		}
		tried("http")
		w.row(oneRow, nil, nil)
	})
}
