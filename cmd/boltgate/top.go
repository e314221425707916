package main

// This file owns `boltgate top`: a look at members, the queries that take the time and what runs, again and again on a terminal, once in a pipe. It
// draws by a few control sequences: a library for that would weigh on every start of the daemon, which is the same program.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/querystats"
)

// look is what top sees at one moment.
type look struct {
	At      time.Time          `json:"at"`
	Status  admin.StatusInfo   `json:"status"`
	Members []admin.MemberInfo `json:"members"`
	Top     admin.TopInfo      `json:"top"`
	Running admin.SessionsInfo `json:"running"`
}

const (
	topShapes  = 100 // that are asked for, so that rates are known of those that come up
	topRunning = 10
)

// topOptions are the command's flags, and what keys have changed since.
type topOptions struct {
	client
	order string
	every time.Duration
}

func newTopCommand() *cobra.Command {
	o := topOptions{}
	c := &cobra.Command{
		Use: "top", Short: "Show live which queries take the time, members, and what runs", Args: cobra.NoArgs,
		Long: "Show members, the shapes of query that take the most time since the gate was started, and what runs: live on a terminal, once in a pipe.\n" +
			"Keys: t time, c calls, m mean, p p95, e errors, r rows; q ends.",
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := querystats.ParseOrder(o.order); err != nil {
				return usagef("--order: %v", err)
			}
			if o.every < 100*time.Millisecond {
				return usagef("--every is 100ms at least (found %v)", o.every)
			}
			return o.run(c.Context(), c.OutOrStdout())
		},
	}
	o.addFlags(c)
	c.Flags().StringVar(&o.order, "order", querystats.ByTime, "what comes first: "+strings.Join(querystats.Orders, ", "))
	c.Flags().DurationVar(&o.every, "every", 2*time.Second, "time between two looks")
	c.RegisterFlagCompletionFunc("order", cobra.FixedCompletions(querystats.Orders, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // the flag is there
	return c
}

func (o *topOptions) run(ctx context.Context, w io.Writer) error {
	out, isFile := w.(*os.File)
	if o.json || !isFile || !term.IsTerminal(int(out.Fd())) {
		now, err := o.look(ctx)
		if err != nil {
			return err
		}
		if o.json {
			return json.NewEncoder(w).Encode(now)
		}
		return now.print(w, look{}, o.order, 200, 50)
	}
	return o.live(ctx, out)
}

// look asks the gate.
func (o *topOptions) look(ctx context.Context) (now look, err error) {
	now.At = time.Now()
	for path, v := range map[string]any{
		"/api/v1/status": &now.Status, "/api/v1/members": &now.Members, "/api/v1/queries?limit=" + strconv.Itoa(topRunning): &now.Running,
		"/api/v1/queries/top?limit=" + strconv.Itoa(topShapes) + "&order=" + url.QueryEscape(o.order): &now.Top,
	} {
		if _, err := o.call(ctx, http.MethodGet, path, nil, v); err != nil {
			return now, err
		}
	}
	return now, nil
}

// The control sequences that live uses.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l" // and no cursor
	ownScreen   = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// live looks again and again until a key or ctx ends it.
func (o *topOptions) live(ctx context.Context, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := make(chan byte)
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		was, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("the terminal: %w", err)
		}
		defer term.Restore(in, was) //nolint:errcheck // nothing can be done about it
		go readKeys(ctx, os.Stdin, keys)
	}
	fmt.Fprint(out, otherScreen)
	defer fmt.Fprint(out, ownScreen)
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for before := (look{}); ; {
		now, err := o.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		width, height, sizeErr := term.GetSize(int(out.Fd()))
		if sizeErr != nil || width == 0 || height == 0 {
			width, height = 80, 24
		}
		fmt.Fprint(out, screen(now, before, err, o.order, width, height))
		if err == nil {
			before = now
		}
		select {
		case <-ctx.Done():
			return nil
		case key := <-keys:
			if key == 'q' || key == 3 || key == 27 { // Ctrl-C, Esc
				return nil
			}
			o.order = orderOf(key, o.order)
		case <-tick.C:
		}
	}
}

// readKeys passes on what is typed. It ends with the program: a read from a terminal cannot be interrupted.
func readKeys(ctx context.Context, in io.Reader, keys chan<- byte) {
	for b := make([]byte, 1); ; {
		if n, err := in.Read(b); n == 0 || err != nil {
			return
		}
		select {
		case keys <- b[0]:
		case <-ctx.Done():
			return
		}
	}
}

// orderOf is the order that a key asks for.
func orderOf(key byte, now string) string {
	for _, order := range querystats.Orders {
		if order[0] == key {
			return order
		}
	}
	return now
}

// screen is a look as a terminal shows it, without scrolling.
func screen(now, before look, failed error, order string, width, height int) string {
	var b bytes.Buffer
	if failed != nil {
		fmt.Fprintf(&b, "%v\nasking again; q ends\n", failed)
	} else {
		now.print(&b, before, order, width, height) //nolint:errcheck // a buffer takes everything
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	lines = lines[:min(len(lines), max(height-1, 1))]
	var out strings.Builder
	out.WriteString(home)
	for _, line := range lines {
		out.WriteString(cutText(line, max(width, 20)) + clearLine + "\r\n")
	}
	return out.String() + clearRest
}

// print writes a look: rates are those since the look before, where there was one.
func (l look) print(w io.Writer, before look, order string, width, height int) error {
	if err := printStatus(w, l.Status); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEMBER\tSTATE\tUNITS/S\tIN FLIGHT\tQUEUED\tP50\tP95\tP99\tROLES")
	for _, m := range l.Members {
		state := m.Condition
		if !m.Up {
			state = "down"
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%d\t%d\t%s\t%s\t%s\t%s\n", m.Name, state, m.Rate, m.InFlight, m.Queued, msText(m.Latency.P50), msText(m.Latency.P95), msText(m.Latency.P99), orDash(roleWords(m.Roles)))
	}
	t.Flush() //nolint:errcheck // the next one says so
	room := max(3, height-len(l.Members)-min(len(l.Running.Sessions), topRunning)-13)
	fmt.Fprintf(w, "\n%d shapes of query, by %s\n", l.Top.Shapes, order)
	l.printTop(t, before, room, max(30, width-78))
	fmt.Fprintf(w, "\n%s with work\n", count(l.Running.Total, "client"))
	fmt.Fprintln(t, "SESSION\tFOR\tACCESS\tMEMBER\tUSER\tQUERY")
	for _, s := range l.Running.Sessions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, time.Duration(s.Seconds*float64(time.Second)).Round(time.Millisecond), orDash(s.Access), orDash(s.Member), orDash(printable(s.User)),
			orDash(printable(cutText(s.Query, max(30, width-60)))))
	}
	return t.Flush()
}

func (l look) printTop(t *tabwriter.Writer, before look, room, width int) {
	fmt.Fprintln(t, "SHARE\tCALLS\tCALLS/S\tMEAN\tP95\tLONGEST\tROWS\tERRORS\tQUERY")
	for _, q := range l.Top.Queries[:min(room, len(l.Top.Queries))] {
		rate := "-"
		if i := slices.IndexFunc(before.Top.Queries, func(b admin.QueryInfo) bool { return b.ID == q.ID }); i >= 0 && l.At.After(before.At) && before.Top.Since.Equal(l.Top.Since) {
			rate = fmt.Sprintf("%.1f", float64(q.Calls-before.Top.Queries[i].Calls)/l.At.Sub(before.At).Seconds())
		}
		fmt.Fprintf(t, "%.1f%%\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", q.Share*100, q.Calls, rate, msText(q.Mean), msText(q.Latency.P95), msText(q.Longest), q.Rows, q.Failed, printable(cutText(q.Text, width)))
	}
	t.Flush() //nolint:errcheck // the next one says so
}

// msText is milliseconds for people.
func msText(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.2fms", ms)
	}
	return fmt.Sprintf("%.0fms", ms)
}
