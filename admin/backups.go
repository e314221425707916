package admin

import (
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// This file owns what API and page tell of the backup jobs that are watched.

func (s *Server) backupInfos() []BackupInfo {
	now := time.Now()
	all := []BackupInfo{}
	for _, b := range s.world.Backups() {
		all = append(all, BackupInfo{Job: b.Job, Last: b.Last, Due: b.Due, Overdue: b.Overdue(now), Problem: b.Problem})
	}
	return all
}

// backupsView stays hidden where there is no job, so that it has its place when a reload brings one.
func backupsView(d *pageData) g.Node {
	if len(d.Status.Backups) == 0 {
		return h.Section(h.ID("backups"), g.Attr("hidden"))
	}
	columns := []column{{name: "Job"}, {name: "Last"}, {name: "Due"}}
	return section("backups", "Backups", "", tableView(columns, g.Map(d.Status.Backups, func(b BackupInfo) g.Node {
		last := g.Text("none found")
		if !b.Last.IsZero() {
			last = g.Group{g.Text(dayAndTime(b.Last)), h.Small(g.Text(" " + shortTime(time.Since(b.Last)) + " ago"))}
		}
		due := h.Small(g.Text(" in " + shortTime(time.Until(b.Due))))
		if b.Overdue {
			due = g.Group{g.Text(" "), h.Span(h.Class("state overdue"), g.Text("overdue")), h.Small(g.Text(" for " + shortTime(time.Since(b.Due))))}
		}
		return rowView(columns, []g.Node{h.B(g.Text(b.Job)), g.Group{last, g.If(b.Problem != "", h.Small(h.Br(), g.Text(firstLine(b.Problem))))}, g.Group{g.Text(dayAndTime(b.Due)), due}})
	})))
}

func dayAndTime(t time.Time) string { return t.Format("2 Jan 15:04") }
