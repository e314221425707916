package main

// This file owns the daemon's life: wiring, reload, and the order of the end.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/boltgate/boltgate/backup"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/discovery"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
)

// logger is a log whose level can change.
type logger struct {
	*slog.Logger
	level *slog.LevelVar
	lines *proxy.LineWriter // of the access log
}

func newLogger(c configs.Log, w io.Writer) logger {
	l := logger{level: new(slog.LevelVar)}
	l.apply(c)
	inJSON := c.Format == "json" || c.Format == "auto" && !textWanted(w)
	w = &oneAtATime{to: w}
	l.lines = proxy.NewLineWriter(w, inJSON, func() bool { return l.level.Level() <= slog.LevelInfo })
	o := &slog.HandlerOptions{Level: l.level, ReplaceAttr: spellDurations}
	if inJSON {
		l.Logger = slog.New(slog.NewJSONHandler(w, o))
	} else {
		l.Logger = slog.New(slog.NewTextHandler(w, o))
	}
	return l
}

// oneAtATime keeps what two write apart.
type oneAtATime struct {
	mu sync.Mutex
	to io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}

// apply sets the level.
func (l logger) apply(c configs.Log) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil { // configs checked it
		level = slog.LevelInfo
	}
	l.level.Set(level)
}

// spellDurations writes "485ms" where JSON would have a number of nanoseconds.
func spellDurations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// textWanted tells a terminal, or the journal of systemd, from a pipe or file.
func textWanted(w io.Writer) bool {
	f, ok := w.(*os.File)
	return os.Getenv("JOURNAL_STREAM") != "" || ok && term.IsTerminal(int(f.Fd()))
}

// daemon is everything that runs.
type daemon struct {
	cfg      *configs.Config
	tls      *tls.Config // to members, of cfg
	tlsFiles tlsFiles    // of cfg
	members  *roster     // of cfg and finder
	load     func() (*configs.Config, error)
	log      logger
	current  *cluster.Current
	resolve  *discovery.Resolver
	finder   *discovery.Finder
	learner  *discovery.Learner
	monitor  *health.Monitor
	pools    *pool.Set
	server   *proxy.Server
	spans    *otlp.Exporter
	backups  *backup.Watch
	line     line
	control  control
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // to members; nil as cfg says
}

// runDaemon serves until ctx ends, then shuts down in the order that clients feel. load reads the configuration again for
// SIGHUP; nil when there are no files.
func runDaemon(ctx context.Context, cfg *configs.Config, load func() (*configs.Config, error), log logger) error {
	asked, stopAsking := watchSignals()
	defer stopAsking()
	hangups := make(chan os.Signal, 1) // before anything runs: a hangup that nobody waits for would end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	d, err := newDaemon(cfg, load, log)
	if err != nil {
		return err
	}
	d.line.asked = asked
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
	checks, stopChecks := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { d.monitor.Run(checks) }) //nolint:errcheck // it ends with its context
	running.Go(func() { d.finder.Run(checks) })
	running.Go(func() { d.backups.Run(checks) })
	log.Info("boltgate serves", "version", versionText(), "frontends", len(cfg.Frontends), "members", len(cfg.Cluster.Members), "names", len(cfg.Cluster.Discover.DNS)+len(cfg.Cluster.Discover.SRV))
	d.enter(ctx)
	err = d.followUntil(ctx, hangups)
	close(d.control.over)
	err = errors.Join(err, d.shutdown(ctx))
	d.spans.Close()
	d.log.lines.Flush()
	d.control.server.Close()
	stopChecks()
	running.Wait()
	return errors.Join(err, d.pools.Close())
}

func newDaemon(cfg *configs.Config, load func() (*configs.Config, error), log logger) (*daemon, error) {
	tls, err := memberTLS(cfg.Cluster.TLS)
	if err != nil {
		return nil, err
	}
	operator := newControl(&log)
	d := &daemon{control: operator, load: load, log: log, current: new(cluster.Current), tls: tls, members: new(roster)}
	d.resolve = resolverOf(cfg, nil)
	d.finder = discovery.New(finderOptions(cfg, d.resolve), log.Logger)
	d.learner = &discovery.Learner{Log: log.Logger}
	d.members.set(merge(membersOf(cfg), nil), nil, time.Now())
	d.monitor = health.New(healthOptions(cfg, d.members, nil, tls), d.current, log.Logger)
	d.pools = pool.NewSet(poolOptions(cfg, tls), log.Logger)
	d.spans = otlp.New(versionText(), log.Logger)
	d.backups = backup.New(log.Logger)
	d.server = proxy.New(d.serverOptions(cfg), d.current, d.pools, log.Logger)
	d.server.Listen = d.line.listeners.Listen
	err = d.line.inherit(d.server)
	var fronts []*proxy.Frontend
	if err == nil {
		fronts, err = frontends(cfg)
	}
	if err == nil {
		err = d.server.Apply(d.serverOptions(cfg), fronts)
	}
	if err == nil {
		err = d.openControl(cfg)
	}
	if err != nil {
		return nil, errors.Join(err, d.pools.Close())
	}
	d.cfg = cfg
	d.tlsFiles.inForce(cfg)
	limitCollector(cfg)
	d.spans.Apply(cfg.Log.OTLP)
	d.backups.Update(backupJobs(cfg))
	return d, nil
}

// followUntil reads the configuration again at each hangup and takes over what discovery finds, until ctx ends or, after a
// hand-over, there is nothing left to do. An error says that the process before this one does not let it serve.
func (d *daemon) followUntil(ctx context.Context, hangups <-chan os.Signal) error {
	seconds := time.NewTicker(time.Second)
	defer seconds.Stop()
	files := time.NewTicker(tlsLook)
	defer files.Stop()
	for {
		var tick <-chan time.Time
		if d.members.anyLeaves() {
			tick = seconds.C
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.line.entering:
			if err := d.entered(err); err != nil {
				return err
			}
		case <-hangups:
			if err := d.reload(); err != nil {
				d.log.Error("the configuration was not reloaded; the old one stays in force", "error", err)
			}
		case <-d.finder.Changed():
			d.setMembers()
		case <-d.monitor.News():
			if d.hear() {
				d.putMembers()
			}
		case f := <-d.control.orders:
			f()
		case now := <-tick:
			d.letGo(now)
		case <-files.C:
			d.renewTLS()
		case <-d.line.asked:
			d.startSuccessor(ctx)
		case err := <-d.line.trying:
			d.attempted(err)
		case err := <-d.line.gone():
			if d.heirGone(err) {
				return nil
			}
		case now := <-d.line.looks():
			if d.looked(now) {
				return nil
			}
		}
	}
}

// reload puts a new configuration in force, or nothing of it.
func (d *daemon) reload() error {
	if d.load == nil {
		return errors.New("this daemon runs without a configuration file")
	}
	if d.line.heir != nil {
		return errors.New("this process hands over: its successor reads the configuration")
	}
	cfg, err := d.load()
	if err != nil {
		return err
	}
	tls, err := memberTLS(cfg.Cluster.TLS)
	if err != nil {
		return err
	}
	fronts, err := frontends(cfg)
	if err != nil {
		return err
	}
	before := d.cfg
	if err := d.applyControl(cfg); err != nil {
		return err
	}
	if err := d.server.Apply(d.serverOptions(cfg), fronts); err != nil {
		return errors.Join(err, d.applyControl(before))
	}
	d.cfg, d.tls = cfg, tls
	d.tlsFiles.inForce(cfg)
	limitCollector(cfg)
	d.resolve = resolverOf(cfg, d.resolve)
	d.finder.Update(finderOptions(cfg, d.resolve))
	d.pools.Apply(poolOptions(cfg, tls))
	d.setMembers()
	d.log.apply(cfg.Log)
	d.spans.Apply(cfg.Log.OTLP)
	d.backups.Update(backupJobs(cfg))
	d.log.Info("configuration reloaded", "changed", strings.Join(configs.Diff(before, cfg), " "))
	if cfg.Log.Format != before.Log.Format {
		d.log.Warn("log.format changes at the next start", "from", before.Log.Format, "to", cfg.Log.Format)
	}
	return nil
}

// shutdown ends the daemon: other balancers look elsewhere for shutdown.delay, then no new connections, units of work end
// within shutdown.timeout, idle sessions are closed last.
func (d *daemon) shutdown(ctx context.Context) error {
	d.line.leave()
	d.control.server.Ending()
	if d.line.look == nil {
		d.log.Info("shutting down", "delay", d.cfg.Shutdown.Delay, "timeout", d.cfg.Shutdown.Timeout, "clients", d.server.Sessions())
		time.Sleep(d.cfg.Shutdown.Delay)
	} else if n := d.server.Sessions(); n > 0 {
		d.log.Info("the clients that stayed with this process are ended", "clients", n, "timeout", d.cfg.Shutdown.Timeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.Shutdown.Timeout)
	defer cancel()
	err := d.server.Shutdown(ctx)
	if d.line.look != nil {
		d.line.heir.farewell(d.server)
	}
	d.log.Info("shut down", "error", err)
	return err
}
