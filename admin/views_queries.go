package admin

import (
	"fmt"
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// This file owns what the page shows of queries: those that take the most time, and the slow ones. Texts are in normal form.

func topView(d *pageData) g.Node {
	columns := []column{{name: "Query"}, {"Share of time", true}, {"Calls", true}, {"Mean", true}, {"p95", true}, {"Longest", true}, {"Rows", true}, {"Errors", true}}
	list := h.P(h.Class("none"), g.Text("No query has come yet."))
	if len(d.Top.Queries) > 0 {
		list = tableView(columns, g.Map(d.Top.Queries, func(q QueryInfo) g.Node {
			return rowView(columns, []g.Node{queryText(q.Text), shareView(q.Share), countView(q.Calls), g.Text(milliseconds(q.Mean)), g.Text(milliseconds(q.Latency.P95)),
				g.Text(milliseconds(q.Longest)), countView(q.Rows), errorsView(q.Failed)})
		}))
	}
	return section("top", "Queries that take the most time", fmt.Sprintf("%d of %d shapes; %s queries since %s", len(d.Top.Queries), d.Top.Shapes, thousands(d.Top.Calls), d.Top.Since.Format("2 Jan 15:04")), list)
}

func slowView(d *pageData) g.Node {
	columns := []column{{name: "Ended"}, {"Took", true}, {name: "Query"}, {name: "Member"}, {name: "Database"}, {name: "User"}, {name: "Session"}}
	list := h.P(h.Class("none"), g.Text("No query was slow."))
	if len(d.Slow) > 0 {
		list = tableView(columns, g.Map(d.Slow[:min(len(d.Slow), shownSlow)], func(q SlowInfo) g.Node {
			took := time.Duration(q.Took * float64(time.Millisecond)).Round(time.Millisecond).String()
			return rowView(columns, []g.Node{g.Text(q.Time.Format(time.TimeOnly)), g.Group{h.B(g.Text(took)), g.If(q.Failed, h.Span(h.Class("failed"), g.Text(" failed")))}, queryText(q.Text),
				g.Group{g.Text(q.Member), h.Small(g.Text(" " + q.Access))}, g.Text(q.Database), g.Text(q.User), g.Text(q.Session)})
		}))
	}
	return section("slow", "Slow queries", "the last that took longer than log.slow", list)
}

// queryText is a text on two lines at most, which opens.
func queryText(text string) g.Node {
	const short = 110
	if len([]rune(text)) <= short {
		return h.Code(g.Text(text))
	}
	return h.Details(h.Summary(h.Code(g.Text(string([]rune(text)[:short])+"…"))), h.Code(g.Text(text)))
}

// shareView is a share as a bar and a number. The bar is a drawing: no style may stand in the page.
func shareView(share float64) g.Node {
	return g.Group{
		g.El("svg", h.Class("bar"), g.Attr("viewBox", "0 0 100 8"), g.Attr("preserveAspectRatio", "none"), g.Attr("aria-hidden", "true"),
			g.El("rect", g.Attr("width", strconv.FormatFloat(share*100, 'f', 1, 64)), g.Attr("height", "8"))),
		g.Text(strconv.FormatFloat(share*100, 'f', 1, 64) + " %"),
	}
}

func errorsView(n uint64) g.Node {
	if n == 0 {
		return g.Text("0")
	}
	return h.Span(h.Class("failed"), countView(n))
}

func countView(n uint64) g.Node { return g.Text(thousands(n)) }

// thousands is a number with thin spaces between its thousands.
func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// plotsView is where the page's script draws the last hour; without it there is nothing to see.
func plotsView() g.Node {
	plot := func(id, title string) g.Node {
		return h.Div(h.Class("plot"), h.H3(g.Text(title)), h.Div(h.ID(id), h.Class("canvas")))
	}
	return h.Section(h.ID("plots"), g.Attr("hidden"), h.H2(g.Text("The last hour "), h.Small(h.ID("plots-note"))),
		h.Div(h.Class("plots"), plot("plot-rate", "Units of work a second, by member"), plot("plot-latency", "Latency in ms"), plot("plot-flight", "Units in flight, by member"),
			plot("plot-roles", "Roles over time")))
}

func section(id, title, note string, body g.Node) g.Node {
	return h.Section(h.ID(id), h.H2(g.Text(title+" "), h.Small(g.Text(note))), body)
}

func clientsView(d *pageData) g.Node {
	columns := []column{{name: "Driver"}, {name: "Protocol"}, {name: "Frontend"}, {"Clients", true}, {"Working", true}}
	list := h.P(h.Class("none"), g.Text("There are no clients."))
	if len(d.Clients) > 0 {
		list = tableView(columns, g.Map(d.Clients, func(c ClientsInfo) g.Node {
			agent := c.Agent
			if agent == "" {
				agent = "–"
			}
			return rowView(columns, []g.Node{g.Text(agent), g.Text(c.Protocol), g.Text(c.Frontend), number(c.Clients), number(c.Working)})
		}))
	}
	return section("clients", "Clients", "by driver and version", list)
}
