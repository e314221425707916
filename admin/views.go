package admin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
)

// This file owns what the stats page looks like. Its elements are Go functions and not a template, because text/template finds what it calls by name: with it in the program the linker
// keeps every exported method of everything, 2 MB that a Pi holds in memory. All texts of clients and members go through g.Text or an attribute, which escape them.

// document is a whole page. Nothing of it may come from elsewhere.
func document(title, class string, script bool, body ...g.Node) g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(g.Text(title)),
			h.Link(h.Rel("stylesheet"), h.Href("/page/page.css")),
			g.If(script, g.Group{h.Link(h.Rel("stylesheet"), h.Href("/page/vendor/uplot.css")), h.Script(h.Src("/page/vendor/uplot.js"), h.Defer()),
				h.Script(h.Src("/page/plots.js"), h.Defer()), h.Script(h.Src("/page/page.js"), h.Defer())}),
		),
		h.Body(g.If(class != "", h.Class(class)), g.Group(body)),
	))
}

// loginView asks for user and password; why says what was wrong with the last ones.
func loginView(why string) g.Node {
	return document("boltgate: log in", "login", false, h.Form(h.Method("post"), h.Action("/login"),
		h.H1(g.Text("boltgate")),
		refusal(why),
		h.Label(g.Text("User "), h.Input(h.Name("user"), h.AutoComplete("username"), h.Required(), h.AutoFocus())),
		h.Label(g.Text("Password "), h.Input(h.Name("password"), h.Type("password"), h.AutoComplete("current-password"), h.Required())),
		h.Button(g.Text("Log in")),
	))
}

func refusal(why string) g.Node {
	return g.If(why != "", h.P(h.Class("refused"), g.Attr("role", "alert"), g.Text(why)))
}

func pageView(d *pageData) g.Node {
	return document("boltgate", "", true,
		h.Header(
			h.H1(g.Text("boltgate")),
			h.Div(h.Class("by"), h.Span(h.ID("live-state"), g.Attr("hidden"), g.Text("live")),
				g.If(d.Who.Name != "local", g.Group{
					h.Span(g.Textf("%s, %s", d.Who.Name, d.Who.Role)),
					h.Form(h.Method("post"), h.Action("/logout"), d.token(), h.Button(g.Text("Log out"))),
				})),
		),
		refusal(d.Refused),
		g.Iff(d.Force != nil, func() g.Node {
			return h.Form(h.Method("post"), h.Action("/act"), h.Class("force"), d.token(), hidden("member", d.Force.Member), hidden("was", d.Force.Was), hidden("force", "yes"),
				action(d.Force.Action, d.Force.Action+" "+d.Force.Member+" all the same"))
		}),
		h.Main(h.Div(h.ID("state"), tilesView(d)), plotsView(), h.Div(h.ID("live"), liveView(d))),
	)
}

// liveView is the part of the page below the plots that is sent again and again: sections, each with an id.
func liveView(d *pageData) g.Node {
	return g.Group{membersView(d), topView(d), workView(d), slowView(d), frontendsView(d), clientsView(d), backupsView(d), eventsView(d)}
}

func tilesView(d *pageData) g.Node {
	tile := func(class, big, small string) g.Node {
		return h.Div(h.Class(strings.TrimSpace("tile "+class)), h.B(g.Text(big)), h.Span(g.Text(small)))
	}
	s := d.Status
	ready := tile("good", "ready", "version "+s.Version+", up "+d.Uptime)
	if !s.Ready {
		ready = tile("bad", "not ready", "version "+s.Version+", up "+d.Uptime)
	}
	databases := tile("", strconv.Itoa(s.Databases), "databases, each with a leader")
	if len(s.Leaderless) > 0 {
		var names []string
		for _, db := range s.Leaderless {
			names = append(names, databaseName(db))
		}
		databases = tile("bad", strconv.Itoa(s.Databases), "databases; without a leader: "+strings.Join(names, ", "))
	}
	return h.Section(h.ID("tiles"), h.Class("tiles"), ready,
		tile(when(s.Taking < s.Members, "warn"), fmt.Sprintf("%d of %d", s.Taking, s.Members), "members take work"),
		databases,
		tile("", strconv.Itoa(s.Clients), "clients"),
		tile(when(s.Held > 0, "warn"), strconv.FormatInt(s.Held, 10), "units of work held"),
		tile(when(s.InDoubt > 0, "warn"), strconv.FormatInt(s.InDoubt, 10), "in doubt since the start"),
	)
}

func membersView(d *pageData) g.Node {
	columns := []column{{name: "Member"}, {name: "State"}}
	for _, db := range d.Databases {
		columns = append(columns, column{name: databaseName(db.Name)})
	}
	for _, name := range []string{"In flight", "Queued", "Bolt connections", "Units/s", "p50", "p95", "p99", "Bytes in", "Bytes out", "Failures"} {
		columns = append(columns, column{name, true})
	}
	if d.Acts {
		columns = append(columns, column{name: "Set"})
	} else {
		columns = append(columns, column{"Weight", true})
	}
	return section("members", "Members", d.Status.Generation+" cluster",
		tableView(columns, g.Map(d.Members, func(m MemberInfo) g.Node { return rowView(columns, memberCells(d, &m)) })))
}

// memberCells are a member's cells, in the order of membersView's columns.
func memberCells(d *pageData, m *MemberInfo) []g.Node {
	state, since := stateOf(m)
	address := m.Bolt
	if address == "" {
		address = m.HTTP
	}
	cells := []g.Node{
		g.Group{h.B(g.Text(m.Name)), h.Small(g.Text(" "+address), g.If(m.Agent != "", g.Group{h.Br(), g.Text(m.Agent)}))},
		g.Group{h.Span(h.Class("state "+state), g.Text(state)), h.Small(g.Text(" for "+shortTime(time.Since(since))), checkView(m))},
	}
	for _, db := range d.Databases {
		role, lag := m.Roles[db.Name], m.Lag[db.Name]
		cells = append(cells, g.Group{
			g.If(role != "", h.Span(h.Class("role "+role), g.Text(role))),
			g.If(lag != 0, h.Small(g.Textf(" %d behind", lag))),
		})
	}
	cells = append(cells,
		g.Group{number(m.InFlight), h.Small(g.Textf(" of %d", m.Slots))}, number(m.Queued), number(m.Connections), g.Text(rate(m.Rate)),
		g.Text(milliseconds(m.Latency.P50)), g.Text(milliseconds(m.Latency.P95)), g.Text(milliseconds(m.Latency.P99)), g.Text(size(m.BytesIn)), g.Text(size(m.BytesOut)), failuresView(m.Failures))
	if d.Acts {
		cells = append(cells, g.Group{
			h.Form(h.Method("post"), h.Action("/act"), d.token(), hidden("member", m.Name), hidden("was", m.Condition),
				g.Map(actions(m.Condition), func(name string) g.Node { return action(name, name) })),
			d.weightView(m),
		})
	} else {
		cells = append(cells, number(m.Weight))
	}
	return cells
}

// checkView is what the member's checks came to, the last one first.
func checkView(m *MemberInfo) g.Node {
	c := m.Check
	if c.Result == health.NotChecked.String() {
		return g.Group{h.Br(), g.Text(c.Result)}
	}
	said := fmt.Sprintf("check %s in %s, %s ago", c.Result, milliseconds(c.Took), shortTime(time.Since(c.At)))
	if m.LastError != "" {
		said += ": " + firstLine(m.LastError)
	}
	return g.Group{h.Br(), g.Text(said),
		g.If(c.Falls > 0, g.Group{h.Br(), g.Textf("down %d times, %s in all", c.Falls, shortTime(time.Duration(c.Down*float64(time.Second))))})}
}

// weightView opens into a form: a number that is being typed is not replaced by what is live.
func (d *pageData) weightView(m *MemberInfo) g.Node {
	was := strconv.Itoa(m.Weight)
	return h.Details(h.Class("weight"), h.Summary(g.Text("weight "+was)),
		h.Form(h.Method("post"), h.Action("/act"), d.token(), hidden("member", m.Name), hidden("was", was),
			h.Input(h.Type("number"), h.Name("weight"), h.Value(was), h.Min("1"), h.Max(strconv.Itoa(maxWeight)), h.Required(), h.Aria("label", "weight of "+m.Name)),
			action("weight", "set")))
}

func frontendsView(d *pageData) g.Node {
	columns := []column{{name: "Frontend"}, {"Clients", true}, {"Working", true}, {"Units/s", true}, {"Units", true}, {"Bytes in", true}, {"Bytes out", true}, {"Not let in", true}, {"Failures of the gate", true}}
	return section("frontends", "Frontends", "", tableView(columns, g.Map(d.Frontends, func(f FrontendInfo) g.Node {
		return rowView(columns, []g.Node{
			g.Group{h.B(g.Text(f.Name)), h.Small(g.Text(" " + strings.Join(f.Bind, ", ")))},
			g.Group{number(f.Open), g.If(f.Max > 0, h.Small(g.Textf(" of %d", f.Max)))},
			number(f.Working), g.Text(rate(f.Rate)), number(f.Units), g.Text(size(f.BytesIn)), g.Text(size(f.BytesOut)), number(f.Refused), failuresView(f.Failures),
		})
	})))
}

func workView(d *pageData) g.Node {
	columns := []column{{name: "Session"}, {name: "Query"}, {name: "State"}, {"For", true}, {name: "Member"}, {name: "Database"}, {name: "User"}, {name: "Client"}}
	if d.Acts {
		columns = append(columns, column{name: "Set"})
	}
	list := h.P(h.Class("none"), g.Text("No client has work."))
	if len(d.Working.Sessions) > 0 {
		list = tableView(columns, g.Map(d.Working.Sessions, func(s SessionInfo) g.Node { return rowView(columns, workCells(d, &s)) }))
	}
	return section("work", "Running", fmt.Sprintf("the oldest of %d", d.Working.Total), list)
}

// workCells are a client's cells, in the order of workView's columns.
func workCells(d *pageData, s *SessionInfo) []g.Node {
	state, lasts := s.State, "–"
	if s.Access != "" {
		state += ", " + s.Access
	}
	if s.Member != "" {
		lasts = time.Duration(s.Seconds * float64(time.Second)).Round(time.Millisecond).String()
	}
	cells := []g.Node{
		g.Group{g.Text(s.ID), h.Small(g.Text(" " + s.Protocol))}, queryText(s.Query), g.Text(state), g.Text(lasts), g.Text(s.Member), g.Text(s.Database), g.Text(s.User),
		g.Group{g.Text(s.Address), h.Small(g.Text(" " + s.Agent))},
	}
	if d.Acts {
		cells = append(cells, h.Form(h.Method("post"), h.Action("/act"), d.token(), hidden("session", s.ID), action("kill", "kill")))
	}
	return cells
}

func eventsView(d *pageData) g.Node {
	list := h.P(h.Class("none"), g.Text("Nothing has happened yet."))
	if len(d.Events) > 0 {
		list = h.Ol(h.Class("events"), g.Map(d.Events, func(e Event) g.Node {
			return h.Li(h.Class(e.Level), h.Time(h.DateTime(e.Time.Format(time.RFC3339)), g.Text(e.Time.Format(time.TimeOnly))), g.Text(" "), h.B(g.Text(e.Event)),
				g.Map(slices.Sorted(maps.Keys(e.Fields)), func(key string) g.Node { return h.Span(h.I(g.Text(key)), g.Text(" "+e.Fields[key])) }))
		}))
	}
	return section("events", "Events", "", list)
}

// column is one of a table; a number is set to the right.
type column struct {
	name   string
	number bool
}

func tableView(columns []column, rows g.Node) g.Node {
	head := g.Map(columns, func(c column) g.Node { return h.Th(g.If(c.number, h.Class("n")), g.Text(c.name)) })
	return h.Div(h.Class("wide"), h.Table(h.THead(h.Tr(head)), h.TBody(rows)))
}

// rowView sets the column's name beside each cell, which a narrow screen shows in place of the head.
func rowView(columns []column, cells []g.Node) g.Node {
	var tds g.Group
	for i, cell := range cells {
		tds = append(tds, h.Td(g.If(columns[i].number, h.Class("n")), h.Data("label", columns[i].name), cell))
	}
	return h.Tr(tds)
}

// failuresView is a number that opens into its codes.
func failuresView(by map[string]uint64) g.Node {
	if len(by) == 0 {
		return g.Text("0")
	}
	return h.Details(h.Summary(number(sum(by))), g.Map(slices.Sorted(maps.Keys(by)), func(code string) g.Node { return h.Div(g.Textf("%d %s", by[code], code)) }))
}

func (d *pageData) token() g.Node { return hidden("csrf", d.CSRF) }

func hidden(name, value string) g.Node {
	return h.Input(h.Type("hidden"), h.Name(name), h.Value(value))
}

func action(name, text string) g.Node {
	return h.Button(h.Name("action"), h.Value(name), g.Text(text))
}

func number[N int | uint64](n N) g.Node { return g.Text(fmt.Sprint(n)) }

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func databaseName(db string) string {
	if db == cluster.AnyDatabase {
		return "Role"
	}
	return db
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return cut(first, 120)
}

// stateOf is the one word that says most of how a member is, and since when it holds.
func stateOf(m *MemberInfo) (word string, since time.Time) {
	switch {
	case m.Condition == "maint":
		return "maint", m.Asked
	case !m.Up:
		return "down", m.Since
	case m.Condition == "drain":
		return "drain", m.Asked
	}
	return "up", m.Since
}

// actions are what may be asked of a member.
func actions(condition string) []string {
	return slices.DeleteFunc([]string{"ready", "drain", "maint"}, func(a string) bool { return a == condition })
}

func rate(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

func milliseconds(ms float64) string {
	switch {
	case ms == 0:
		return "–"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
}

// size is a number of bytes in the largest unit of which there is one.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64) + " " + units[i]
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[i]
}

// shortTime is a duration in its two largest units at most.
func shortTime(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
}
