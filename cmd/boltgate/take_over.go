package main

// This file owns what a daemon does that was started to take the place of a running one: it takes over the sockets, finds out
// whether it could serve, and only then has the old process stop. Until then an error ends this process, and the old one goes on.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/boltgate/boltgate/handover"
	"github.com/boltgate/boltgate/proxy"
)

// How long a successor looks for members before it gives up, and for the leader before it goes on without.
const (
	membersTime = 15 * time.Second
	leaderTime  = 5 * time.Second
)

// inheritance is what a process has from the one before it.
type inheritance struct {
	*handover.Link
	version string
	format  int      // of clients; 0: listening sockets alone
	known   heritage // when it began
	orders  orders   // in force since; written before entering is
	ended   chan struct{}
}

// gone tells whether nobody is before this process, any more.
func (b *inheritance) gone() bool {
	if b == nil {
		return true
	}
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// inherit takes over the sockets of whoever started this process: a running daemon, or systemd.
func (l *line) inherit(server *proxy.Server) (err error) {
	if l.program, err = handover.Self(); err != nil {
		return err
	}
	for _, file := range activation.Files(true) {
		if err := l.listeners.Give(handover.Address{Network: "systemd", Address: file.Name()}, file); err != nil {
			return err
		}
	}
	link, err := handover.Predecessor()
	if link == nil || err != nil {
		return err
	}
	l.before = &inheritance{Link: link, ended: make(chan struct{})}
	l.listeners.Hold()
	if err := l.before.receive(&l.listeners); err != nil {
		return fmt.Errorf("taking over: %w", err)
	}
	server.Share(true)
	if l.before.format == 0 {
		return nil
	}
	var known proxy.Heritage
	if err := decode(l.before.known.Server, &known); err != nil {
		return err
	}
	return server.Inherit(known)
}

// receive takes what is needed to begin.
func (b *inheritance) receive(listeners *handover.Listeners) error {
	if err := b.Send(handover.Hello, greeting(), nil); err != nil {
		return err
	}
	theirs, err := b.AwaitGreeting()
	if err != nil {
		return err
	}
	b.version, b.format = theirs.Version, formats.Common(theirs.Formats)
	for {
		p, err := b.Receive()
		switch {
		case err != nil:
			return err
		case p.Kind == handover.Sockets:
			return decode(p.Body, &b.known)
		}
		if err := p.Expect(handover.Listening); err != nil {
			return err
		}
		var a handover.Address
		if err := errors.Join(decode(p.Body, &a), listeners.Give(a, p.File)); err != nil {
			return err
		}
	}
}

// enter begins to serve: at once, or when the process before this one has stopped accepting, which d.line.entering tells.
func (d *daemon) enter(ctx context.Context) {
	b := d.line.before
	if b == nil {
		d.serves()
		return
	}
	entering := make(chan error, 1)
	d.line.entering = entering
	context.AfterFunc(ctx, func() { b.Close() })
	go func() { entering <- d.askToServe(ctx, b) }()
}

// entered is the end of that wait.
func (d *daemon) entered(err error) error {
	b := d.line.before
	if err != nil {
		return fmt.Errorf("taking over from boltgate %s: %w", b.version, err)
	}
	d.line.entering = nil
	d.members.asked, d.members.weights = b.orders.Conditions, b.orders.Weights
	if len(b.orders.Conditions)+len(b.orders.Weights) > 0 {
		d.putMembers()
	}
	d.line.listeners.Release()
	go b.follow(d.server)
	d.log.Info("took over", "from", b.version, "frontends", len(d.cfg.Frontends))
	d.serves()
	return nil
}

// serves is called when the listening sockets are this process's.
func (d *daemon) serves() {
	for _, a := range d.line.listeners.CloseIdle() {
		d.log.Warn("a socket that this process was given is of no frontend; it is closed", "address", a.String())
	}
	notify("READY=1")
}

// askToServe waits until this process knows the cluster as well as the one before it did, and then for its turn.
func (d *daemon) askToServe(ctx context.Context, b *inheritance) error {
	if err := d.knowMembers(ctx, b.known); err != nil {
		return err
	}
	if err := b.Send(handover.Ready, nil, nil); err != nil {
		return err
	}
	p, err := b.Await(handover.Go)
	if err != nil {
		return err
	}
	return decode(p.Body, &b.orders)
}

// knowMembers waits for what the checks find.
func (d *daemon) knowMembers(ctx context.Context, known heritage) error {
	begun := time.Now()
	for known.Members {
		v := d.current.View()
		answered := v.Versions != nil
		left := membersTime - time.Since(begun)
		if answered {
			if !known.Leader || v.Blind || v.Leader("") != nil {
				return nil
			}
			left = leaderTime - time.Since(begun)
		}
		select {
		case <-v.Replaced():
		case <-time.After(max(left, 0)):
			if answered {
				d.log.Warn("no leader is known yet; taking over all the same")
				return nil
			}
			return fmt.Errorf("no member answered within %v, though some answer the running process: look at cluster and at cluster.check", membersTime)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// leave tells the process before this one, if it is still there, that this one ends because it was asked to, and service
// managers which process is the service.
func (l *line) leave() {
	switch {
	case l.entering != nil: // it never served
		return
	case l.attempt != nil:
		l.attempt()
	}
	if l.before != nil {
		l.before.Send(handover.Leaving, nil, nil) //nolint:errcheck // it has ended
	}
	if l.look != nil {
		l.settle()
		return
	}
	notify("STOPPING=1")
}
