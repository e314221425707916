package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/chrome"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file holds the operator's page to what a person sees of a whole gate that works: its members are those of `boltgate demo`, its numbers
// come from drivers. What the page shows of other worlds is in admin/browser_test.go.

// pageWorld is a gate, and drivers at work.
type pageWorld struct {
	*testDaemon
	cluster *standin.Cluster
	admin   string
	idle    chan struct{}            // closed when the drivers have ended
	by      map[string]*atomic.Int64 // queries run, by member
}

func startPageWorld(t *testing.T) *pageWorld {
	w := &pageWorld{admin: loopback.Reserve(t), idle: make(chan struct{}), by: map[string]*atomic.Int64{}}
	for _, name := range []string{"s1", "s2", "s3", "r1"} {
		w.by[name] = new(atomic.Int64)
	}
	w.testDaemon, w.cluster = newTestDaemonWith(t, standin.Options{Seed: 1, Members: 3, Replicas: 1, ElectionTime: 300 * time.Millisecond, Databases: []string{"neo4j", "shop"},
		OnQuery: func(q standin.Query) {
			if n := w.by[q.Runs]; n != nil && strings.Contains(q.Text, "Product") {
				n.Add(1)
			}
		}})
	hash, err := bcrypt.GenerateFromPassword([]byte("lovelace"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	w.more = fmt.Sprintf("admin: {bind: %q, users: [{name: ada, role: operator, password: %q}]}\nlog: {slow: 100ms}\n", w.admin, hash)
	go func() {
		for range w.log.text { // what is said is not looked at
		}
	}()
	w.write(w.address)
	w.start()
	ctx, stop := context.WithCancel(t.Context())
	go w.work(ctx)
	t.Cleanup(func() {
		stop()
		<-w.idle
		w.stop()
		w.end()
	})
	for deadline := time.Now().Add(time.Minute); w.by["s1"].Load()+w.by["s2"].Load()+w.by["s3"].Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gate does not serve")
		}
	}
	return w
}

// work reads and writes until ctx ends; queries may fail, for members come and go.
func (w *pageWorld) work(ctx context.Context) {
	defer close(w.idle)
	driver, err := neo4j.NewDriverWithContext("neo4j://"+w.address, neo4j.BasicAuth(standin.DefaultUser, standin.DefaultPassword, ""))
	if err != nil {
		return
	}
	defer driver.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the test is over
	texts := []string{"MATCH (p:Product {sku: $sku}) RETURN p", "MERGE (p:Product {sku: $sku}) SET p.seen = timestamp()", "MATCH (p:Product) /*standin delay=150ms*/ RETURN count(p)"}
	for n := 0; ctx.Err() == nil; n++ {
		text, route := texts[0], neo4j.ExecuteQueryWithReadersRouting()
		switch {
		case n%50 == 7:
			text = texts[2]
		case n%5 == 0:
			text, route = texts[1], neo4j.ExecuteQueryWithWritersRouting()
		}
		neo4j.ExecuteQuery(ctx, driver, text, map[string]any{"sku": n}, neo4j.EagerResultTransformer, route) //nolint:errcheck // see above
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *pageWorld) url() string { return "http://" + w.admin + "/" }

// leads is true in the page when it shows the member as the leader of the first database, and nobody else.
func leads(name string) string {
	return fmt.Sprintf(`(() => { const rows = [...document.querySelectorAll("#members tbody tr")].filter(r => r.querySelector(".role.leader"));
		return rows.some(r => r.querySelector("b").textContent === %q) })()`, name)
}

func logIn(t *testing.T, ctx context.Context, w *pageWorld, width, height int64) {
	t.Helper()
	chrome.Do(t, ctx, "the login page", chrome.View(width, height, false), chromedp.Navigate(w.url()), chromedp.WaitVisible(`input[name=user]`))
	chrome.Do(t, ctx, "the login", chromedp.SendKeys(`input[name=user]`, "ada"), chromedp.SendKeys(`input[name=password]`, "lovelace\r"), chromedp.WaitVisible(`#members`))
}

func TestThePageOfAWholeGate(t *testing.T) {
	ctx := chrome.Start(t)
	w := startPageWorld(t)
	logIn(t, ctx, w, 1440, 900)
	chrome.Until(t, ctx, `document.querySelector("#live-state").textContent === "live"`)
	t.Run("shows a leader that an election made", func(t *testing.T) { w.newLeader(t, ctx) })
	t.Run("draws what happens", func(t *testing.T) {
		chrome.Until(t, ctx, `document.querySelectorAll("#plots canvas").length === 4`)
		chrome.Until(t, ctx, `[...document.querySelectorAll("#members td[data-label='Units/s']")].some(d => Number(d.textContent) > 0)`)
		chrome.Until(t, ctx, `document.body.innerText.includes("MERGE (p:Product {sku: $sku}) SET p.seen = timestamp()")`)
		chrome.Until(t, ctx, `document.querySelector("#slow").innerText.includes("RETURN count(p)")`)
		chrome.Until(t, ctx, `document.querySelector("#clients").innerText.includes("neo4j-go") || document.querySelector("#clients").innerText.includes("Go Driver")`)
		chrome.Screenshot(t, ctx, "whole-gate")
	})
	t.Run("drains a member", func(t *testing.T) { w.drain(t, ctx) })
	t.Run("fits a phone", func(t *testing.T) {
		chrome.Do(t, ctx, "a phone", chrome.View(390, 844, false), chromedp.Navigate(w.url()), chromedp.WaitVisible(`#plots canvas`))
		if width := chrome.Eval[int](t, ctx, `document.documentElement.scrollWidth`); width > 390 {
			t.Errorf("the page is %d pixels wide", width)
		}
		chrome.Screenshot(t, ctx, "whole-gate-phone")
	})
	t.Run("is a plain table without JavaScript", func(t *testing.T) {
		var text string
		chrome.Do(t, ctx, "no script", chrome.View(1440, 900, false), emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(w.url()), chromedp.Text(`main`, &text, chromedp.ByQuery))
		for _, want := range []string{"s1", "r1", "leader", "replica", "MATCH (p:Product {sku: $sku}) RETURN p"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %q:\n%s", want, text)
			}
		}
		chrome.Screenshot(t, ctx, "whole-gate-no-javascript")
	})
}

// newLeader has the members elect another leader, and then kills that one.
func (w *pageWorld) newLeader(t *testing.T, ctx context.Context) {
	old := w.cluster.Leader("neo4j")
	chrome.Until(t, ctx, leads(old))
	next := map[string]string{"s1": "s2", "s2": "s3", "s3": "s1"}[old]
	for _, db := range []string{"neo4j", "shop", "system"} {
		if err := w.cluster.Elect(db, next); err != nil {
			t.Fatal(err)
		}
	}
	chrome.Until(t, ctx, leads(next)+` && !`+leads(old))
	if err := w.cluster.Kill(next); err != nil {
		t.Fatal(err)
	}
	chrome.Until(t, ctx, `!`+leads(next)+` && (`+leads("s1")+` || `+leads("s2")+` || `+leads("s3")+`)`)
	if err := w.cluster.Restart(next); err != nil {
		t.Fatal(err)
	}
	chrome.Until(t, ctx, fmt.Sprintf(`[...document.querySelectorAll("#members tbody tr")].some(r => r.querySelector("b").textContent === %q && r.querySelector(".role.follower"))`, next))
	chrome.Until(t, ctx, `document.querySelector("#events").innerText.includes("role changed")`)
}

// drain clicks, and sees that the member gets no more work until another click.
func (w *pageWorld) drain(t *testing.T, ctx context.Context) {
	click := func(what string) {
		chrome.Do(t, ctx, what, chromedp.Click(`//section[@id="members"]//tr[.//b="r1"]//button[@value="`+what+`"]`, chromedp.BySearch))
	}
	moving := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			before := w.by["r1"].Load()
			time.Sleep(500 * time.Millisecond) // some hundred queries
			if (w.by["r1"].Load() > before) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("r1 gets work: %v; want %v", !want, want)
			}
		}
	}
	moving(true)
	click("drain")
	chrome.Until(t, ctx, `[...document.querySelectorAll("#members tbody tr")].some(r => r.querySelector("b").textContent === "r1" && r.innerText.includes("drain"))`)
	moving(false)
	if status, err := http.Get("http://" + w.admin + "/readyz"); err != nil || status.StatusCode != http.StatusOK {
		t.Errorf("the gate is not ready: %v %v", status, err)
	}
	click("ready")
	moving(true)
}
