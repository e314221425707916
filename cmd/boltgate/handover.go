package main

// This file owns a daemon's place in the line of processes that serve one address: how it hands over to a successor, which
// SIGUSR2 makes it start, and what becomes of it then. take_over.go owns the successor's side.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/handover"
)

const (
	successorTime = time.Minute      // for a successor to be ready to serve
	probation     = 10 * time.Second // how long this process can still take the sockets back from a successor that dies
	retiredLook   = 100 * time.Millisecond
)

// formats are what this version can pass and take of clients.
var formats = handover.Formats{First: 1, Last: 1}

// heritage is the body of Sockets: what a successor has to know before it serves.
type heritage struct {
	Members bool `json:"members"` // some member answered: a successor that finds none is worse
	Leader  bool `json:"leader"`  // the default database's leader is known

	Server json.RawMessage `json:"server"` // proxy.Heritage, when there is a common format
}

// orders is the body of Go: what the operator asked for while the old process ran, as far as that outlives it.
type orders struct {
	Conditions map[string]cluster.Condition `json:"conditions"` // of members
	Weights    map[string]reweighed         `json:"weights"`
}

// line is a daemon's place in the line. All fields belong to followUntil.
type line struct {
	program   handover.Program
	listeners handover.Listeners
	before    *inheritance // nil: nobody was before this process
	entering  chan error   // how the wait for its turn ended; nil: it serves

	asked   chan os.Signal     // for a successor; nil: it cannot be asked
	attempt context.CancelFunc // ends the attempt that is under way; nil: there is none
	trying  chan error         // how it ended
	heir    *heir              // who shall take over, or has; nil: nobody
	look    *time.Ticker       // of a process that has handed over; nil before
}

// watchSignals returns where the signals arrive that ask for a successor, until stop is called.
func watchSignals() (asked chan os.Signal, stop func()) {
	asked = make(chan os.Signal, 1)
	if len(handover.Signals) > 0 { // none would mean all
		signal.Notify(asked, handover.Signals...)
	}
	return asked, func() { signal.Stop(asked) }
}

// looks and gone are nil, on which nobody waits, while there is nothing to see.
func (l *line) looks() <-chan time.Time {
	if l.look == nil {
		return nil
	}
	return l.look.C
}

func (l *line) gone() <-chan error {
	if l.look == nil {
		return nil
	}
	return l.heir.gone
}

// startSuccessor begins an attempt, which ends in d.line.trying.
func (d *daemon) startSuccessor(ctx context.Context) {
	l := &d.line
	switch {
	case l.entering != nil:
		d.log.Warn("this process has not taken over yet itself")
		return
	case l.attempt != nil:
		d.log.Warn("a successor is being started already")
		return
	case l.heir != nil:
		d.log.Warn("a successor serves already; ask that one", "pid", l.heir.Process.Pid)
		return
	case d.load == nil:
		d.log.Error("cannot start a successor: this daemon runs without a configuration file")
		return
	}
	d.log.Info("starting a successor", "program", l.program.Path)
	ctx, l.attempt = context.WithTimeout(ctx, successorTime)
	h, known, ended := newHeir(), d.heritage(), make(chan error, 1)
	l.heir, l.trying = h, ended
	go func() { ended <- h.raise(ctx, l, known) }()
}

func (d *daemon) heritage() heritage {
	v := d.current.View()
	server, err := json.Marshal(d.server.Heritage())
	if err != nil { // bytes and a number
		server = nil
	}
	return heritage{Members: v.Versions != nil, Leader: v.Leader("") != nil, Server: server}
}

// raise starts the process and brings it to where it could serve. In case of an error the process is gone.
func (h *heir) raise(ctx context.Context, l *line, known heritage) (err error) {
	if h.sockets, err = l.listeners.Copies(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			handover.CloseCopies(h.sockets)
		}
	}()
	if h.Successor, err = handover.Start(l.program); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { h.Close() })
	defer stop()
	if err = h.prepare(known); err == nil {
		return nil
	}
	h.Close()
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("it was not ready within %v: %w", successorTime, cause)
	}
	return h.bury(err)
}

// prepare tells the process what it needs and waits for its word that it could serve.
func (h *heir) prepare(known heritage) error {
	theirs, err := h.AwaitGreeting()
	if err != nil {
		return err
	}
	h.version, h.format = theirs.Version, formats.Common(theirs.Formats)
	if err := h.Send(handover.Hello, greeting(), nil); err != nil {
		return err
	}
	for _, s := range h.sockets {
		if err := h.Send(handover.Listening, s.Address, s.File); err != nil {
			return err
		}
	}
	if err := h.Send(handover.Sockets, known, nil); err != nil {
		return err
	}
	_, err = h.Await(handover.Ready)
	return err
}

func greeting() handover.Greeting {
	return handover.Greeting{Protocol: handover.Protocol, Version: versionText(), Formats: formats}
}

// bury makes sure that the process is gone, and says how it ended.
func (h *heir) bury(err error) error {
	select {
	case <-h.Exited():
	case <-time.After(time.Second):
		h.Process.Kill() //nolint:errcheck // it may have ended meanwhile
		<-h.Exited()
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it ended before it could serve; what it said stands in this log")
	}
	return fmt.Errorf("%w (%v)", err, h.Process.Pid)
}

// attempted deals with the end of an attempt.
func (d *daemon) attempted(err error) {
	l := &d.line
	l.attempt()
	l.attempt = nil
	if err != nil {
		l.heir = nil
		d.log.Error("the successor does not serve; this process goes on", "error", err)
		return
	}
	d.retire()
}

// retire lets the successor accept and stops accepting here.
func (d *daemon) retire() {
	l, h := &d.line, d.line.heir
	l.listeners.Keep(true)
	d.server.Share(true)
	d.server.Retire()
	d.control.server.Close()
	h.since = time.Now()
	l.look = time.NewTicker(retiredLook)
	h.Send(handover.Go, orders{d.members.asked, d.members.weights}, nil) //nolint:errcheck // follow sees that it is gone
	go h.follow()
	if h.format != 0 {
		go h.remember(d.server, true) //nolint:errcheck // as above
		h.stop = d.server.PassOn(h.pass)
	}
	d.log.Info("handed over; this process serves the clients that it has", "pid", h.Process.Pid, "version", h.version, "clients", d.server.Sessions(), "at_most", d.cfg.Shutdown.Handover)
}

// looked is true when a process that has handed over is done: its clients are gone, or their time is.
func (d *daemon) looked(now time.Time) (done bool) {
	l := &d.line
	served := now.Sub(l.heir.since)
	if served >= min(probation, d.cfg.Shutdown.Handover) {
		l.settle()
	}
	return len(l.heir.sockets) == 0 && (served >= d.cfg.Shutdown.Handover || d.server.Sessions() == 0 && l.before.gone())
}

// settle ends the successor's probation: it is the service now.
func (l *line) settle() {
	if l.heir == nil || len(l.heir.sockets) == 0 {
		return
	}
	handover.CloseCopies(l.heir.sockets)
	l.heir.sockets = nil
	notify(fmt.Sprintf("MAINPID=%d", l.heir.Process.Pid))
}

// heirGone deals with the end of a successor while this process is still there. It is true when this process is to end as well.
func (d *daemon) heirGone(err error) (end bool) {
	l := &d.line
	l.heir.gone = nil
	l.heir.stop()
	switch {
	case err == nil:
		d.log.Info("the successor was asked to end, and so does this process")
		return true
	case len(l.heir.sockets) == 0:
		d.log.Error("the successor is gone, and this process cannot take its place any more: start boltgate", "error", err)
	default:
		d.resume(err)
	}
	return false
}

// resume takes the sockets back.
func (d *daemon) resume(cause error) {
	l := &d.line
	var faults []error
	for _, c := range l.heir.sockets {
		faults = append(faults, l.listeners.Give(c.Address, c.File))
	}
	fronts, err := frontends(d.cfg)
	if err == nil {
		err = d.server.Apply(d.serverOptions(d.cfg), fronts)
	}
	if err == nil {
		err = d.applyControl(d.cfg)
	}
	if err = errors.Join(append(faults, err)...); err != nil {
		d.log.Error("the successor is gone, and this process could not take its place: start boltgate", "error", err)
		l.heir.sockets = nil
		return
	}
	d.server.Unknown()
	d.server.Share(!l.before.gone())
	l.look.Stop()
	l.look, l.heir = nil, nil
	d.log.Error("the successor is gone; this process accepts again", "error", cause)
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", handover.ErrFormat, err)
	}
	return nil
}

func notify(state string) { sd.SdNotify(false, state) } //nolint:errcheck // who is not there need not know
