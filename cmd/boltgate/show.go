package main

// This file owns the commands that show a running daemon.

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/admin"
)

// newShowCommand makes a command that prints what a path of the API answers.
func newShowCommand[T any](use, short, path string, print func(io.Writer, T) error) *cobra.Command {
	o := client{}
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v T
			raw, err := o.call(c.Context(), http.MethodGet, path, nil, &v)
			if err != nil {
				return err
			}
			if o.json {
				_, err = c.OutOrStdout().Write(raw)
				return err
			}
			return print(c.OutOrStdout(), v)
		},
	}
	o.addFlags(c)
	return c
}

func newStatusCommand() *cobra.Command {
	return newShowCommand("status", "Say how the gate and its cluster are", "/api/v1/status", printStatus)
}

func printStatus(w io.Writer, s admin.StatusInfo) error {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	held := ""
	if s.Held > 0 {
		held = fmt.Sprintf(", %d units of work held", s.Held)
	}
	leaders := "each has a leader"
	if len(s.Leaderless) > 0 {
		leaders = "without a leader: " + strings.Join(databaseWords(s.Leaderless), ", ")
	}
	_, err := fmt.Fprintf(w, "boltgate %s, %s, up %v, %s%s\n%s cluster: %s, %d up, %d taking work; %s, %s\n",
		s.Version, ready, time.Since(s.Started).Round(time.Second), count(s.Clients, "client"), held, s.Generation, count(s.Members, "member"), s.Up, s.Taking, count(s.Databases, "database"), leaders)
	return err
}

func newMembersCommand() *cobra.Command {
	return newShowCommand("members", "List the members", "/api/v1/members", printMembers)
}

func printMembers(w io.Writer, all []admin.MemberInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tCONDITION\tWEIGHT\tIN FLIGHT\tQUEUED\tCONNECTIONS\tROLES\tVERSION\tERROR")
	for _, m := range all {
		state := "up"
		if !m.Up {
			state = "down"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", m.Name, state, m.Condition, m.Weight, m.InFlight, m.Queued, m.Connections,
			orDash(roleWords(m.Roles)), orDash(m.Agent), orDash(firstLine(m.LastError)))
	}
	return t.Flush()
}

// roleWords joins roles by role: "leader of neo4j; follower of sales, system".
func roleWords(roles map[string]string) string {
	by := map[string][]string{}
	for db, role := range roles {
		by[role] = append(by[role], db)
	}
	var words []string
	for _, role := range []string{"leader", "follower", "replica", "unknown"} {
		if dbs := by[role]; len(dbs) > 0 {
			slices.Sort(dbs)
			word := role
			if !slices.Equal(dbs, []string{""}) {
				word += " of " + strings.Join(dbs, ", ")
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, "; ")
}

func newSessionsCommand() *cobra.Command {
	return newShowCommand("sessions", "List the clients, those with the oldest work first", "/api/v1/sessions", printSessions)
}

func newQueriesCommand() *cobra.Command {
	return newShowCommand("queries", "List the clients with work, the oldest first", "/api/v1/queries", printSessions)
}

func printSessions(w io.Writer, s admin.SessionsInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tSTATE\tFOR\tACCESS\tDATABASE\tMEMBER\tUSER\tPROTOCOL\tFRONTEND\tCLIENT\tDRIVER\tQUERY")
	for _, one := range s.Sessions {
		age := "-"
		if one.Member != "" {
			age = time.Duration(one.Seconds * float64(time.Second)).Round(time.Millisecond).String()
		}
		fields := []string{one.ID, one.State, age, one.Access, one.Database, one.Member, one.User, one.Protocol, one.Frontend, one.Address, one.Agent, cutText(one.Query, shownQuery)}
		for i, f := range fields {
			fields[i] = orDash(printable(f))
		}
		fmt.Fprintln(t, strings.Join(fields, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := s.Total - len(s.Sessions); more > 0 {
		_, err := fmt.Fprintf(w, "and %d more\n", more)
		return err
	}
	return nil
}

const shownQuery = 100 // characters of a text

// cutText cuts a text to so many characters.
func cutText(text string, limit int) string {
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// printable makes of what a client says something that cannot move the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func newEventsCommand() *cobra.Command {
	o, follow := client{}, false
	c := &cobra.Command{
		Use: "events", Short: "List what happened lately, or follow it", Args: cobra.NoArgs,
		Long: "List what happened lately; -f goes on until it is interrupted. With --json each event is a line.",
		RunE: func(c *cobra.Command, _ []string) error {
			show := func(ev admin.Event) error { return printEvent(c.OutOrStdout(), ev, o.json) }
			if follow {
				return o.follow(c.Context(), show)
			}
			var all []admin.Event
			if _, err := o.call(c.Context(), http.MethodGet, "/api/v1/events", nil, &all); err != nil {
				return err
			}
			for _, ev := range all {
				if err := show(ev); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.addFlags(c)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events come")
	return c
}

func printEvent(w io.Writer, ev admin.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(ev)
	}
	var fields strings.Builder
	for _, key := range slices.Sorted(maps.Keys(ev.Fields)) {
		fmt.Fprintf(&fields, " %s=%s", key, quoted(ev.Fields[key]))
	}
	_, err := fmt.Fprintf(w, "%s %-5s %s%s\n", ev.Time.Local().Format("2006-01-02 15:04:05.000"), ev.Level, ev.Event, fields.String())
	return err
}

// quoted quotes a value with a space or anything unprintable in it, so that a line stays one.
func quoted(s string) string {
	if q := fmt.Sprintf("%q", s); s == "" || strings.ContainsAny(s, " =\"") || len(q) != len(s)+2 {
		return q
	}
	return s
}
