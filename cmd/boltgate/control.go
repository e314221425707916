package main

// This file owns the operator's side of the daemon: its options, and the changes that an operator asks for at run time. They
// are made in the daemon's one goroutine, and answered when new work goes by them.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
)

const inForceWithin = 5 * time.Second // a change of condition, from the order to the View that shows it

// control is what the daemon keeps for its operator.
type control struct {
	events *admin.Events
	server *admin.Server
	orders chan func()   // run by the daemon's goroutine
	over   chan struct{} // closed when it takes no more orders
	certs  *ownCerts
}

// newControl makes what is needed before anything else logs; open makes it listen.
func newControl(log *logger) control {
	c := control{events: new(admin.Events), orders: make(chan func()), over: make(chan struct{}), certs: new(ownCerts)}
	log.Logger = slog.New(c.events.Tee(log.Handler()))
	return c
}

// openControl starts the operator's side.
func (d *daemon) openControl(cfg *configs.Config) error {
	d.control.server = admin.New(admin.World{
		Current: d.current, Monitor: d.monitor, Pools: d.pools, Gate: d.server, Control: d, Events: d.control.events, Log: d.log.Logger, Version: versionText(),
		Certificates: d.control.certs.ends, Backups: d.backups.States,
	})
	d.control.server.Listen = d.line.listeners.Listen // a successor goes on with the address
	err := d.applyControl(cfg)
	if err != nil {
		d.control.server.Close()
	}
	return err
}

func (d *daemon) applyControl(cfg *configs.Config) error {
	o, err := adminOptions(cfg)
	if err != nil {
		return err
	}
	d.control.certs.follow(cfg)
	return d.control.server.Apply(o)
}

var adminRoles = map[string]admin.Role{"viewer": admin.Viewer, "operator": admin.Operator}

func adminOptions(cfg *configs.Config) (admin.Options, error) {
	a := &cfg.Admin
	o := admin.Options{Bind: a.Bind, Optional: a.Bind == configs.Default().Admin.Bind, Probes: a.Probes, MetricsLogin: a.Metrics == "login"}
	for _, u := range a.Users {
		o.Users = append(o.Users, admin.User{Name: u.Name, Role: adminRoles[u.Role], Hash: u.Password.Value()})
	}
	for _, t := range a.Tokens {
		o.Tokens = append(o.Tokens, admin.Token{Name: t.Name, Role: adminRoles[t.Role], Token: t.Token.Value()})
	}
	for _, h := range a.Webhooks {
		o.Webhooks = append(o.Webhooks, admin.Webhook{URL: h.URL.Value(), Secret: h.Secret.Value(), Level: h.Level})
	}
	secure, err := serverTLS(&a.TLS)
	if err != nil {
		return o, fmt.Errorf("admin.tls: %w", err)
	}
	o.TLS = secure
	return o, nil
}

// order has the daemon's goroutine run f.
func (d *daemon) order(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case d.control.orders <- func() { done <- f() }:
		return <-done
	case <-d.control.over:
		return errors.New("the gate is shutting down")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload is SIGHUP with an answer.
func (d *daemon) Reload(ctx context.Context) error { return d.order(ctx, d.reload) }

// SetWeight changes a member's share of reads until the configuration gives it another, or the gate ends.
func (d *daemon) SetWeight(ctx context.Context, member string, weight int) error {
	err := d.order(ctx, func() error {
		if err := d.members.weigh(member, weight); err != nil {
			return err
		}
		d.putMembers()
		return nil
	})
	if err != nil {
		return err
	}
	return d.awaitView(ctx, func(v *cluster.View) bool {
		s := v.Member(member)
		return s == nil || max(s.Weight, 1) == weight
	})
}

// SetCondition changes what a member is given: new work goes elsewhere at once, what runs there ends there. Unless forced it
// refuses (an admin.Refusal) where work would wait then: of a member that leads, or is the last that is up.
func (d *daemon) SetCondition(ctx context.Context, member string, to cluster.Condition, force bool) error {
	if to != cluster.Ready && !force {
		if err := d.mayLeave(member); err != nil {
			return err
		}
	}
	err := d.order(ctx, func() error {
		if err := d.members.ask(member, to); err != nil {
			return err
		}
		d.tellMembers()
		return nil
	})
	if err != nil {
		return err
	}
	err = d.awaitView(ctx, func(v *cluster.View) bool {
		s := v.Member(member)
		return s == nil || s.Condition == to
	})
	if to != cluster.Ready {
		d.pools.Disperse(member)
	}
	return err
}

// awaitView waits until a View shows what was ordered.
func (d *daemon) awaitView(ctx context.Context, shows func(*cluster.View) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, inForceWithin, fmt.Errorf("it was ordered, but is not in force after %v", inForceWithin))
	defer cancel()
	for {
		v := d.current.View()
		if shows(v) {
			return nil
		}
		select {
		case <-v.Replaced():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// mayLeave makes sure that work goes on without the member. A leader cannot be asked to let another lead (docs/design/2026-11-22-leaders-are-not-moved.md).
func (d *daemon) mayLeave(member string) error {
	v := d.current.View()
	s := v.Member(member)
	if s == nil {
		return admin.ErrNoMember
	}
	if s.Condition != cluster.Ready || !s.Up { // it takes no new work already
		return nil
	}
	others := 0
	for o := range v.Up() {
		if o != s {
			others++
		}
	}
	if others == 0 {
		return &admin.Refusal{Why: "no other member takes work now: all of it would wait, and then fail; force it if that is what you want"}
	}
	if leads := led(s); len(leads) > 0 {
		return &admin.Refusal{Why: fmt.Sprintf("it leads %s, and cannot be asked to let another lead: writes would wait until another does; "+
			"force it just before you stop the member, which makes the others elect one", strings.Join(databaseWords(leads), ", "))}
	}
	return nil
}

// led are the databases that a member leads.
func led(s *cluster.Status) (all []string) {
	for db := range s.Roles {
		if s.Role(db) == cluster.Leader {
			all = append(all, db)
		}
	}
	slices.Sort(all)
	return all
}

func databaseWords(dbs []string) []string {
	words := slices.Clone(dbs)
	for i, db := range words {
		if db == cluster.AnyDatabase {
			words[i] = "the cluster"
		}
	}
	return words
}
