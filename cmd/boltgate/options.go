package main

// This file owns the way from the configuration file to each package's own Options; no other package sees configs.

import (
	"crypto/tls"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/boltgate/boltgate/backup"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/routing"
)

// membersOf makes the members of cfg.
func membersOf(cfg *configs.Config) []*cluster.Member {
	var all []*cluster.Member
	for _, c := range cfg.Cluster.Members {
		all = append(all, &cluster.Member{Name: c.Name, Bolt: c.Bolt, HTTP: c.HTTP, Weight: c.Weight, MaxInFlight: c.MaxInFlight, Tags: c.Tags})
	}
	return all
}

func healthOptions(cfg *configs.Config, members *roster, candidates []*cluster.Member, tls *tls.Config) health.Options {
	generation, _ := cluster.ParseGeneration(cfg.Cluster.Generation) // configs checked it
	c := &cfg.Cluster.Check
	return health.Options{
		Generation: generation, Members: members.all(), Conditions: members.conditions(), Dial: dialer(cfg),
		Interval: c.Interval, FastInterval: c.FastInterval, Timeout: c.Timeout, Rise: c.Rise, Fall: c.Fall,
		User: c.User, Password: c.Password.Value(), Method: c.Method, TLS: tls, Addresses: addressesOf(cfg), Learn: learns(cfg), Candidates: candidates,
	}
}

func backupJobs(cfg *configs.Config) []backup.Job {
	var all []backup.Job
	for name, j := range cfg.Backup {
		all = append(all, backup.Job{Name: name, Files: j.Watch, Every: j.Every})
	}
	return all
}

// never is what 0 means for limits that can be switched off.
const never = time.Duration(math.MaxInt64)

func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return never
	}
	return d
}

// atOnce is what 0 means for waits that can be switched off.
func atOnce(d time.Duration) time.Duration { return max(d, time.Nanosecond) }

// orNone is a share for a field in which 0 means the default.
func orNone(p configs.Percent) float64 {
	if p == 0 {
		return -1
	}
	return float64(p) / 100
}

// orNoLine is the length of a line for a field in which 0 means the default.
func orNoLine(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func poolOptions(cfg *configs.Config, tls *tls.Config) pool.Options {
	p := &cfg.Pool
	return pool.Options{
		MaxPerMember: p.MaxPerMember, MaxQueue: orNoLine(p.MaxQueued), ConnectTimeout: p.ConnectTimeout, IdleTimeout: orNever(p.IdleTimeout),
		HTTPIdle: atOnce(p.HTTPIdle), MaxLifetime: orNever(p.MaxLifetime), TLS: tls, Agent: "boltgate/" + versionText(), Dial: dialer(cfg),
	}
}

// serverOptions are proxyOptions with what this process has for them.
func (d *daemon) serverOptions(cfg *configs.Config) proxy.Options {
	o := proxyOptions(cfg)
	o.Spans, o.Lines = d.spans, d.log.lines
	return o
}

func proxyOptions(cfg *configs.Config) proxy.Options {
	lines, share, _ := cfg.Log.AccessLines() // configs checked it
	return proxy.Options{
		Hold: atOnce(cfg.Failover.Hold), MaxHeld: cfg.Failover.MaxHeld, MaxHeldBytes: int64(cfg.Failover.MaxHeldBytes),
		RetryBudget: orNone(cfg.Failover.RetryBudget), Replay: cfg.Failover.Replay,
		RequestLimit: int(cfg.Limits.Request), Remember: cfg.Auth.Remember, AuthInFlight: cfg.Auth.MaxInFlight, Users: gateUsers(cfg), Limits: limitsOf(cfg), Memory: memoryLimit(cfg),
		AccessLog: lines, AccessShare: share, Slow: cfg.Log.Slow, SlowData: cfg.Log.SlowData == "on",
		Learn: proxy.Learn{Every: cfg.Cluster.Check.Interval, Fast: cfg.Cluster.Check.FastInterval, Timeout: cfg.Cluster.Check.Timeout},
	}
}

func gateUsers(cfg *configs.Config) (all []proxy.User) {
	for _, u := range cfg.Users {
		all = append(all, proxy.User{
			Name: u.Name, Password: u.Password.Value(), ReadOnly: u.Access != "any",
			MemberUser: u.MemberUser, MemberPassword: u.MemberPassword.Value(),
		})
	}
	return all
}

func frontends(cfg *configs.Config) ([]*proxy.Frontend, error) {
	var all []*proxy.Frontend
	for i := range cfg.Frontends {
		f, err := frontendOf(&cfg.Frontends[i])
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func frontendOf(c *configs.Frontend) (*proxy.Frontend, error) {
	secure, err := clientTLS(c)
	if err != nil {
		return nil, err
	}
	procedures := new(cypher.Procedures)
	for name, access := range c.Routing.Procedures {
		if err := procedures.Set(name, access); err != nil {
			return nil, fmt.Errorf("frontend %s: routing.procedures: %w", c.Name, err)
		}
	}
	has := func(p string) bool { return slices.Contains(c.Protocols, p) }
	return &proxy.Frontend{
		Name: c.Name, Bind: c.Bind, TLS: secure, TLSRequired: c.TLS.Mode == "required",
		Protocols: proxy.Protocols{NoBolt: !has("bolt"), NoWebSocket: !has("websocket"), NoHTTP: !has("http")},
		ProxyFrom: c.ProxyProtocol.From, Advertise: c.Advertise, AdvertiseRead: c.AdvertiseRead,
		MaxConnections: c.MaxConnections, MaxPerAddress: c.MaxPerAddress, Priority: c.Priority, MaxRows: c.MaxRows, MaxBytes: int64(c.MaxBytes), Allow: c.Allow, Deny: c.Deny, Keepalive: c.Keepalive,
		Timeouts: proxy.Timeouts{
			Handshake: c.Timeouts.Handshake, ClientIdle: c.Timeouts.ClientIdle, TransactionIdle: c.Timeouts.TransactionIdle,
			Queue: atOnce(c.Timeouts.Queue), Server: c.Timeouts.Server, Transaction: c.Timeouts.Transaction,
		},
		Access:     map[string]proxy.Access{"read": proxy.AccessRead, "write": proxy.AccessWrite, "read-only": proxy.AccessReadOnly}[c.Access],
		Undeclared: map[string]proxy.Undeclared{"leader": proxy.UndeclaredLeader, "read": proxy.UndeclaredRead}[c.Routing.Undeclared],
		Causality:  causalities[c.Routing.Causality], CausalityWait: c.Routing.CausalityWait,
		ServerSide: map[string]proxy.ServerSide{"always": proxy.ServerSideAlways, "never": proxy.ServerSideNever}[c.Routing.ServerSide],
		Policy: routing.Policy{
			LeaderAlwaysReads: c.Routing.LeaderReads == "always", Balance: balances[c.Routing.Balance], Prefer: c.Routing.Prefer,
			SlowStart: c.Routing.SlowStart, MaxLag: int64(c.Routing.MaxLag), Member: c.Member,
		},
		Procedures: procedures,
	}, nil
}

var balances = map[string]routing.Balance{
	"round-robin": routing.RoundRobin, "first": routing.First, "least-busy": routing.LeastBusy,
	"random-two": routing.RandomTwo, "latency": routing.Latency,
}

var causalities = map[string]proxy.Causality{
	"none": proxy.CausalityNone, "session": proxy.CausalitySession, "user": proxy.CausalityUser, "cluster": proxy.CausalityCluster,
}
