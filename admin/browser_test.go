package admin

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/boltgate/boltgate/backup"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/test/chrome"
)

// This file holds the page to what a person sees and clicks, in a real browser. With BOLTGATE_SCREENSHOTS=DIR it also writes the pictures that the
// documentation shows. It needs Chromium: without it is skipped, but not in CI.

// shop is a world as an operator of a shop may find it: four members, an election forty minutes ago, traffic, a member that was in maint.
func shop(t *testing.T, o Options) *testWorld {
	o.Bind = "127.0.0.1:0"
	w := newTestWorld(t, o)
	w.gate.fronts = map[string]proxy.FrontendStats{"main": {Name: "main", Bind: []string{":7687"}, Open: 184, Working: 9, Max: 10000, Accepted: 5120, Reads: [2]uint64{4_203_441, 188_020},
		Writes: [2]uint64{893_221, 2044}, In: 1_650_412_880, Out: 10_120_333_120, Failures: map[string]uint64{"Neo.TransientError.Transaction.LeaderSwitch": 12}}}
	w.gate.stats = map[string]pool.Stats{"s1": {Open: 40, Idle: 33, InFlight: 3}, "s2": {Open: 44, Idle: 38, InFlight: 5}, "s3": {Open: 41, Idle: 40, InFlight: 1}, "r1": {Open: 12, Idle: 10, InFlight: 2}}
	w.gate.counts = new(proxy.Counts)
	w.gate.checks = map[string]health.Checks{}
	for i, name := range []string{"s1", "s2", "s3", "r1"} {
		w.gate.checks[name] = health.Checks{At: time.Now(), Took: time.Duration(2+i) * 1100 * time.Microsecond, Result: health.Passed}
	}
	w.world.Backups = func() []backup.State {
		last := time.Now().Add(-9 * time.Hour)
		return []backup.State{{Job: "nightly", Last: last, Due: last.Add(26 * time.Hour)}}
	}
	w.shopRoles("s2", "s2")
	w.shopQueries()
	w.shopClients()
	w.shopHour()
	w.shopGoesOn()
	w.world.Log.Info("role changed", "member", "s2", "db", "shop", "from", "follower", "to", "leader")
	w.world.Log.Info("operator's ready", "by", "ada", "from", "10.0.0.4:50122", "member", "r1")
	w.world.Log.Warn("member connection lost", "member", "s1", "error", "connection reset by peer")
	return w
}

// shopRoles publishes who leads.
func (w *testWorld) shopRoles(shop, system string) {
	role := func(leads bool) cluster.Role {
		if leads {
			return cluster.Leader
		}
		return cluster.Follower
	}
	v := &cluster.View{Generation: cluster.Autonomous, Default: "shop"}
	for i, name := range []string{"s1", "s2", "s3"} {
		v.Members = append(v.Members, &cluster.Status{Member: &cluster.Member{Name: name, Bolt: fmt.Sprintf("10.0.0.%d:7687", i+1), Weight: 1}, Up: true, Agent: "Neo4j/5.26.0",
			Since: time.Now().Add(-50 * time.Hour), Roles: map[string]cluster.Role{"shop": role(name == shop), "system": role(name == system)}})
	}
	v.Members = append(v.Members, &cluster.Status{Member: &cluster.Member{Name: "r1", Bolt: "10.0.1.1:7687", Weight: 1, Tags: []string{"zone-b"}}, Up: true, Agent: "Neo4j/5.26.0",
		Since: time.Now().Add(-23 * time.Minute), Roles: map[string]cluster.Role{"shop": cluster.Replica}, Progress: map[string]cluster.Progress{"shop": {Tx: 900, Lag: 3}}})
	w.current.Publish(v)
}

// shopDrains publishes that a member is drained from now on; its counters stand still then.
func (w *testWorld) shopDrains(name string) {
	v := w.current.View()
	next := &cluster.View{Generation: v.Generation, Default: v.Default}
	for _, m := range v.Members {
		if one := *m; one.Name == name {
			one.Condition, one.Asked = cluster.Drain, time.Now()
			m = &one
		}
		next.Members = append(next.Members, m)
	}
	w.current.Publish(next)
}

func (w *testWorld) shopQueries() {
	dice := rand.New(rand.NewPCG(1, 2))
	for _, q := range []struct {
		text   string
		calls  int
		took   time.Duration
		rows   uint64
		failed int
	}{
		{"MATCH (u:User {id: $id})-[:BOUGHT]->(:Order)-[:CONTAINS]->(p:Product)<-[:CONTAINS]-(:Order)<-[:BOUGHT]-(other:User) WHERE other <> u RETURN p.sku AS sku, count(*) AS score ORDER BY score DESC LIMIT 10", 812, 46 * time.Millisecond, 10, 0},
		{"MATCH (p:Product {sku: $sku}) RETURN p", 44210, 380 * time.Microsecond, 1, 0},
		{"MERGE (u:User {id: $id}) ON CREATE SET u.created = timestamp() SET u.seen = timestamp()", 9120, 2100 * time.Microsecond, 0, 7},
		{"MATCH (o:Order) WHERE o.placed > $since RETURN o.id, o.total", 64, 190 * time.Millisecond, 840, 2},
		{"UNWIND $rows AS row CREATE (e:Event) SET e = row", 1800, 4 * time.Millisecond, 0, 0},
		{"CALL db.index.fulltext.queryNodes('products', $q) YIELD node, score RETURN node.sku, score LIMIT 20", 2400, 2700 * time.Microsecond, 20, 0},
		{"MATCH (c:Category)<-[:IN*1..3]-(p) WHERE c.name IN ['shoes', 'hats'] RETURN count(p)", 310, 9 * time.Millisecond, 1, 0},
	} {
		id := w.gate.queries.ID([]byte(q.text))
		for i := range q.calls {
			w.gate.queries.Add(id, 0, time.Duration(float64(q.took)*(0.4+dice.ExpFloat64()*0.6)), q.rows, i < q.failed)
		}
	}
	slow := w.gate.queries.Text(w.gate.queries.ID([]byte("MATCH (o:Order) WHERE o.placed > $since RETURN o.id, o.total")))
	for i, took := range []time.Duration{1204, 811, 640} {
		w.gate.slow = append(w.gate.slow, proxy.SlowQuery{At: time.Now().Add(-time.Duration(i*37+4) * time.Second), Text: slow, Took: took * time.Millisecond, Rows: 840, Session: fmt.Sprint("boltgate-", 4100+i), User: "reports",
			Member: "r1", Database: "shop", Read: true, Failed: i == 1})
	}
}

func (w *testWorld) shopClients() {
	agents := []string{"neo4j-java/5.28.4", "neo4j-java/5.28.4", "neo4j-python/5.26.0", "neo4j-javascript/5.27.0", "neo4j-go/5.28.4"}
	for i := range 184 {
		c := proxy.Client{ID: fmt.Sprint("boltgate-", 4000+i), Frontend: "main", Address: fmt.Sprintf("10.2.0.%d:%d", i%40+2, 50000+i), Protocol: "bolt 5.4", User: "shop", Agent: agents[i%len(agents)], State: proxy.ClientIdle}
		if i < 6 {
			c.State, c.Member, c.Work = proxy.ClientWorking, []string{"s1", "s2", "r1"}[i%3], pool.Work{Began: time.Now().Add(-time.Duration(6-i) * 400 * time.Millisecond), DB: "shop", Read: i%3 != 1}
			c.Query = w.gate.queries.Top("time", 7).Top[i].Text
		}
		w.gate.clients = append(w.gate.clients, c)
	}
}

// shopHour makes the hour before now.
func (w *testWorld) shopHour() {
	dice, now := rand.New(rand.NewPCG(3, 4)), time.Now()
	w.gate.counters = map[string]pool.Counters{}
	for i := range historyPoints {
		at := now.Add(-time.Duration(historyPoints-1-i) * historyEvery)
		switch i {
		case 0:
			w.shopRoles("s1", "s2")
		case 240: // twenty minutes in, the leader changes
			w.shopRoles("s2", "s2")
		}
		day := 1 + 0.35*float64(i)/historyPoints
		for m, share := range map[string]float64{"s1": 260, "s2": 300, "s3": 240, "r1": 130} {
			if i >= 238 && i < 242 && m != "r1" {
				share /= 6
			}
			c := w.gate.counters[m]
			for b, part := range []float64{0.2, 0.3, 0.25, 0.12, 0.06, 0.04, 0.02, 0.007, 0.003} {
				n := share * 5 * day * part * (0.8 + 0.4*dice.Float64())
				c.Reads[pool.Bolt].Buckets[b+1] += uint64(n)
				c.In, c.Out = c.In+uint64(310*n), c.Out+uint64(1900*n)
			}
			w.gate.counters[m] = c
		}
		w.takePoint(at)
	}
}

// shopGoesOn keeps the counters of members moving until the test ends.
func (w *testWorld) shopGoesOn() {
	go func() {
		dice := rand.New(rand.NewPCG(5, 6))
		for w.t.Context().Err() == nil {
			for i, m := range []string{"s1", "s2", "s3", "r1"} {
				if w.current.View().Member(m).Condition != cluster.Ready {
					continue
				}
				w.gate.mu.Lock()
				c := w.gate.counters[m]
				for b, n := range []int{20, 25, 12, 8, 4, 2, 1} {
					c.Reads[pool.Bolt].Buckets[b+1] += uint64(n*(4-i)/4 + dice.IntN(3))
				}
				w.gate.counters[m] = c
				w.gate.mu.Unlock()
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
}

func (w *testWorld) url(path string) string { return "http://" + w.Address().String() + path }

func TestABrowserLogsInAndSeesChangesLive(t *testing.T) {
	ctx := chrome.Start(t)
	w := shop(t, withLogins(t))
	chrome.Do(t, ctx, "the login page", chrome.View(1440, 900, false), chromedp.Navigate(w.url("/")), chromedp.WaitVisible(`input[name=user]`))
	chrome.Screenshot(t, ctx, "login")
	chrome.Do(t, ctx, "a wrong password", chromedp.SendKeys(`input[name=user]`, "ada"), chromedp.SendKeys(`input[name=password]`, "wrong\r"), chromedp.WaitVisible(`.refused`))
	chrome.Do(t, ctx, "the login", chromedp.SendKeys(`input[name=user]`, "ada"), chromedp.SendKeys(`input[name=password]`, "lovelace\r"), chromedp.WaitVisible(`#members`))
	chrome.Until(t, ctx, `document.querySelector("#live-state").textContent === "live"`)
	leader := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#members tbody tr")].some(r => r.querySelector("b").textContent === %q && r.querySelector(".role.leader"))`, name)
	}
	chrome.Until(t, ctx, leader("s2")+` && !`+leader("s3"))
	w.shopRoles("s3", "s3")
	w.world.Log.Info("role changed", "member", "s3", "db", "shop", "from", "follower", "to", "leader")
	chrome.Until(t, ctx, leader("s3")+` && !`+leader("s2"))
	chrome.Until(t, ctx, `document.querySelector("#events li").innerText.includes("s3")`)
	chrome.Until(t, ctx, `document.querySelector("#plots-note").textContent.startsWith("3 elections")`) // that of the hour before, and one of each database
	chrome.Screenshot(t, ctx, "page-role-change")
	if text := chrome.Eval[string](t, ctx, "document.body.innerText"); !strings.Contains(text, "ada, operator") {
		t.Error("the page does not say who looks")
	}
}

func TestABrowserDrawsTheHour(t *testing.T) {
	ctx := chrome.Start(t)
	w := shop(t, Options{})
	chrome.Do(t, ctx, "the page", chrome.View(1440, 900, false), chromedp.Navigate(w.url("/")), chromedp.WaitVisible(`#plots canvas`))
	chrome.Until(t, ctx, `document.querySelectorAll("#plots canvas").length === 4`)
	// drawn: every plot has pixels of many colours
	painted := `[...document.querySelectorAll("#plots canvas")].map(c => new Set(new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer)).size)`
	chrome.Until(t, ctx, painted+`.every(n => n > 10)`)
	if note := chrome.Eval[string](t, ctx, `document.querySelector("#plots-note").textContent`); !strings.HasPrefix(note, "1 election") {
		t.Errorf("the plots say %q", note)
	}
	if wrong := chrome.Eval[[]string](t, ctx, `performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith(location.origin))`); len(wrong) > 0 {
		t.Errorf("the page asked elsewhere: %q", wrong)
	}
	chrome.Until(t, ctx, `document.querySelector("#live-state").textContent === "live"`)
	chrome.Until(t, ctx, `Number(document.querySelector("#members td[data-label='Units/s']").textContent) > 0`)
	// how bright each is: what the page, a tile and a table lie on, and what is written on them
	bright := func(selector, property string) int {
		return chrome.Eval[int](t, ctx, fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).%s.match(/\d+/g).slice(0, 3).reduce((sum, n) => sum + Number(n), 0)`, selector, property))
	}
	for _, selector := range []string{"body", ".tile", "#members .wide"} {
		if back, text := bright(selector, "backgroundColor"), bright(selector, "color"); back < 600 || text > 200 {
			t.Errorf("where light is liked, %s is %d on %d", selector, text, back)
		}
	}
	chrome.Screenshot(t, ctx, "page-light")
	chrome.Do(t, ctx, "dark", chrome.View(1440, 900, true))
	chrome.Until(t, ctx, `document.querySelectorAll("#plots canvas").length === 4`)
	for _, selector := range []string{"body", ".tile", "#members .wide"} {
		if back, text := bright(selector, "backgroundColor"), bright(selector, "color"); back > 200 || text < 600 {
			t.Errorf("where dark is liked, %s is %d on %d", selector, text, back)
		}
	}
	chrome.Screenshot(t, ctx, "page-dark")
}

func TestABrowserOnAPhoneShowsAllWithoutScrollingAside(t *testing.T) {
	ctx := chrome.Start(t)
	w := shop(t, Options{})
	chrome.Do(t, ctx, "the page", chrome.View(390, 844, false), chromedp.Navigate(w.url("/")), chromedp.WaitVisible(`#plots canvas`))
	chrome.Until(t, ctx, `document.querySelectorAll("#plots canvas").length === 4`)
	if wide := chrome.Eval[[]string](t, ctx, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("svg, .u-wrap")).map(e => e.outerHTML.slice(0, 80))`); len(wide) > 0 {
		t.Errorf("wider than a phone: %q", wide)
	}
	if w := chrome.Eval[int](t, ctx, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("the page is %d pixels wide", w)
	}
	chrome.Screenshot(t, ctx, "page-phone")
}

func TestABrowserDrainsAMemberAndKillsASession(t *testing.T) {
	ctx := chrome.Start(t)
	w := shop(t, Options{})
	chrome.Do(t, ctx, "the page", chrome.View(1440, 900, false), chromedp.Navigate(w.url("/")), chromedp.WaitVisible(`#members button[value=drain]`))
	chrome.Do(t, ctx, "drain", chromedp.Click(`//section[@id="members"]//tr[.//b="s3"]//button[@value="drain"]`, chromedp.BySearch))
	chrome.Until(t, ctx, `document.readyState === "complete" && !!document.querySelector("#members")`)
	await(t, func() bool { return w.control.has("drain s3") })
	w.shopDrains("s3")
	chrome.Until(t, ctx, `[...document.querySelectorAll("#members tbody tr")].some(r => r.querySelector("b").textContent === "s3" && r.querySelector(".state.drain"))`)
	chrome.Until(t, ctx, `document.querySelector("#events li").innerText.includes("operator's drain")`)
	chrome.Until(t, ctx, `document.querySelectorAll("#plots canvas").length === 4 && document.querySelector("#live-state").textContent === "live"`)
	chrome.Until(t, ctx, `Number(document.querySelector("#members td[data-label='Units/s']").textContent) > 0`)
	chrome.Screenshot(t, ctx, "page-drained")
	weight := `//section[@id="members"]//tr[.//b="s1"]//details[@class="weight"]`
	chrome.Do(t, ctx, "weight", chromedp.Click(weight+`/summary`, chromedp.BySearch), chromedp.SetValue(weight+`//input[@name="weight"]`, "12", chromedp.BySearch))
	chrome.Until(t, ctx, `document.querySelector("#live-state").textContent === "live"`)
	chrome.Eval[bool](t, ctx, `document.querySelector("#events").dataset.old = true`)
	chrome.Until(t, ctx, `!document.querySelector("#events").dataset.old`) // it was replaced, and the open form was not
	if got := chrome.Eval[string](t, ctx, `document.querySelector("#members details[open] input[name=weight]").value`); got != "12" {
		t.Errorf("the weight that was typed has become %q", got)
	}
	chrome.Do(t, ctx, "set", chromedp.Click(weight+`//button`, chromedp.BySearch))
	await(t, func() bool { return w.control.has("weight s1 12") })
	chrome.Until(t, ctx, `document.readyState === "complete" && !!document.querySelector("#work")`)
	chrome.Do(t, ctx, "kill", chromedp.Click(`#work button[value=kill]`))
	await(t, func() bool { w.gate.mu.Lock(); defer w.gate.mu.Unlock(); return len(w.gate.killed) == 1 })
}

func TestWithoutJavaScriptThePageIsAPlainTable(t *testing.T) {
	ctx := chrome.Start(t)
	w := shop(t, Options{})
	chrome.Do(t, ctx, "the page", chrome.View(1440, 900, false), emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(w.url("/")))
	var text string
	var plots []string
	chrome.Do(t, ctx, "what it says", chromedp.Text(`main`, &text, chromedp.ByQuery), chromedp.Evaluate(`[...document.querySelectorAll("#plots:not([hidden]), #live-state:not([hidden])")].map(e => e.id)`, &plots))
	for _, want := range []string{"s1", "leader", "Queries that take the most time", "MATCH (p:Product {sku: $sku}) RETURN p", "Slow queries", "neo4j-java/5.28.4"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if len(plots) > 0 {
		t.Errorf("shown without a script: %q", plots)
	}
	chrome.Screenshot(t, ctx, "page-no-javascript")
}

// await waits until is is true.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}
