package main

// This file owns the commands that change a running daemon.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/admin"
)

// drainOptions are the flags of drain and maint.
type drainOptions struct {
	client
	force  bool
	wait   bool
	within time.Duration
}

func newDrainCommand() *cobra.Command {
	return newLeaveCommand("drain", "Give a member no new work, and wait until what runs there has ended",
		`New units of work go to other members at once; transactions that are open on the member end there, and nobody is cut off.
A member that leads is refused, for no version of Neo4j can be asked to let another lead: writes would wait. Force it just before you stop the
member, which makes the others elect a leader; what waits in the gate goes on then. The last member that is up is refused, too.
Ends with 0 when nothing runs on the member any more, with 1 when that is not so within --timeout: the member stays drained.`)
}

func newMaintCommand() *cobra.Command {
	return newLeaveCommand("maint", "As drain, and do not check the member any more",
		"For a member that is to be stopped for longer: it is not checked, and counts as down, until `boltgate ready`.")
}

func newLeaveCommand(verb, short, long string) *cobra.Command {
	o := drainOptions{}
	c := &cobra.Command{
		Use: verb + " MEMBER", Short: short, Long: long, Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeMember,
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, verb, args[0]) },
	}
	o.addFlags(c)
	f := c.Flags()
	f.BoolVar(&o.force, "force", false, "also when writes, or all work, have to wait then")
	f.BoolVar(&o.wait, "wait", true, "wait until nothing runs on the member; --wait=false returns when new work goes elsewhere")
	f.DurationVar(&o.within, "timeout", 30*time.Second, "how long to wait for that")
	return c
}

const busyLook = 100 * time.Millisecond // how often drain looks whether work is done

func (o *drainOptions) run(c *cobra.Command, verb, name string) error {
	var m admin.MemberInfo
	path := "/api/v1/members/" + url.PathEscape(name)
	raw, err := o.call(c.Context(), http.MethodPost, path+"/"+verb, admin.ConditionOrder{Force: o.force}, &m)
	if err != nil {
		return err
	}
	if o.wait {
		if raw, err = o.awaitIdle(c.Context(), path, &m); err != nil {
			return err
		}
	}
	if o.json {
		_, err = c.OutOrStdout().Write(raw)
		return err
	}
	if m.Busy() {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s; %s on it still\n", m.Name, m.Condition, workWords(m))
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s; nothing runs on it\n", m.Name, m.Condition)
	return err
}

// awaitIdle waits until nothing runs on the member.
func (o *drainOptions) awaitIdle(ctx context.Context, path string, m *admin.MemberInfo) ([]byte, error) {
	limit := time.NewTimer(o.within)
	defer limit.Stop()
	look := time.NewTicker(busyLook)
	defer look.Stop()
	for {
		*m = admin.MemberInfo{}
		raw, err := o.call(ctx, http.MethodGet, path, nil, m)
		if err != nil || !m.Busy() {
			return raw, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-limit.C:
			return nil, fmt.Errorf("%s: %s, but %s on it still after %v; it goes on draining: wait longer by the same command, "+
				"or see who it is by `boltgate queries`", m.Name, m.Condition, workWords(*m), o.within)
		}
	}
}

func workWords(m admin.MemberInfo) string {
	return count(m.InFlight, "unit") + " of work and " + count(m.Transactions, "open HTTP transaction")
}

func newReadyCommand() *cobra.Command {
	o := client{}
	c := &cobra.Command{
		Use: "ready MEMBER", Short: "Give a member all work again, after drain or maint", Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeMember,
		RunE: func(c *cobra.Command, args []string) error {
			return o.change(c, args[0], "/ready", admin.ConditionOrder{})
		},
	}
	o.addFlags(c)
	return c
}

func newWeightCommand() *cobra.Command {
	o := client{}
	c := &cobra.Command{
		Use: "weight MEMBER N", Short: "Set a member's share of the reads, from 1 to 256", Args: cobra.ExactArgs(2), ValidArgsFunction: o.completeMember,
		Long: "Set a member's share of the reads, until the configuration gives it another weight or the daemon ends.",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 || n > 256 {
				return usagef("a weight is a number from 1 to 256 (found %q)", args[1])
			}
			return o.change(c, args[0], "/weight", admin.WeightOrder{Weight: n})
		},
	}
	o.addFlags(c)
	return c
}

// change posts an order about a member, and prints what the member is like then.
func (o *client) change(c *cobra.Command, name, what string, order any) error {
	var m admin.MemberInfo
	raw, err := o.call(c.Context(), http.MethodPost, "/api/v1/members/"+url.PathEscape(name)+what, order, &m)
	if err != nil {
		return err
	}
	if o.json {
		_, err = c.OutOrStdout().Write(raw)
		return err
	}
	up := "down"
	if m.Up {
		up = "up"
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s, weight %d\n", m.Name, m.Condition, up, m.Weight)
	return err
}

func newKillCommand() *cobra.Command {
	o := client{}
	c := &cobra.Command{
		Use: "kill SESSION", Short: "Close the connection of a client and end its work", Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeSession,
		Long: "Close the connection of a client and end its work, as if it had left: what is not committed is rolled back.",
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := o.send(c.Context(), http.MethodDelete, "/api/v1/sessions/"+url.PathEscape(args[0]), nil, "application/json")
			if err != nil {
				return err
			}
			answer.Body.Close()
			if o.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{"killed": args[0]})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: killed\n", args[0])
			return err
		},
	}
	o.addFlags(c)
	return c
}

func newReloadCommand() *cobra.Command {
	o := client{}
	c := &cobra.Command{
		Use: "reload", Short: "Have the daemon read its configuration files again", Args: cobra.NoArgs,
		Long: "Have the daemon read its configuration files again. When anything is wrong with them nothing changes, and every fault is said.",
		RunE: func(c *cobra.Command, _ []string) error {
			var s admin.StatusInfo
			raw, err := o.call(c.Context(), http.MethodPost, "/api/v1/reload", nil, &s)
			switch {
			case err != nil:
				return fmt.Errorf("not reloaded; the old configuration stays in force:\n%w", err)
			case o.json:
				_, err = c.OutOrStdout().Write(raw)
			default:
				_, err = fmt.Fprintln(c.OutOrStdout(), "reloaded")
			}
			return err
		},
	}
	o.addFlags(c)
	return c
}
