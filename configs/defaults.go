package configs

// This file owns the default of every key, as the reference boltgate.yaml writes them.

import "time"

// Default returns the daemon of `boltgate URI` before the URI's members are added: one frontend "main" on :7687 with every protocol.
// It is not valid by itself, for it has no member; Validate says whether it has become so.
func Default() *Config {
	cfg := &Config{
		Routing: Routing{
			Undeclared:    "detect",
			Balance:       "round-robin",
			LeaderReads:   "fallback",
			Causality:     "user",
			CausalityWait: 500 * time.Millisecond,
			ServerSide:    "when-needed",
			Oversize:      "refuse",
		},
		Cluster: Cluster{
			Generation: "auto",
			Discover:   Discover{Cluster: true},
			Check: Check{
				Interval:     2 * time.Second,
				FastInterval: 200 * time.Millisecond,
				Timeout:      time.Second,
				Rise:         1,
				Fall:         2,
				Method:       "auto",
			},
			TLS: ClusterTLS{Mode: "off"},
		},
		Failover: Failover{Hold: 20 * time.Second, MaxHeld: 10_000, MaxHeldBytes: 64 << 20, RetryBudget: 20},
		Auth:     Auth{Remember: 30 * time.Second, MaxInFlight: 8},
		Pool: Pool{
			MaxPerMember:   100,
			MaxQueued:      10_000,
			ConnectTimeout: 5 * time.Second,
			IdleTimeout:    5 * time.Minute,
			HTTPIdle:       20 * time.Second,
			MaxLifetime:    time.Hour,
		},
		Admin:    Admin{Bind: "127.0.0.1:8474", Metrics: "open", TLS: FrontendTLS{Mode: "off"}},
		Log:      Log{Level: "info", Format: "auto", Access: "off", Slow: 500 * time.Millisecond, SlowData: "off"},
		Shutdown: Shutdown{Timeout: 30 * time.Second, Handover: time.Hour},
		Limits:   Limits{Request: 16 << 20, PerUser: UserLimits{MaxQueued: 1000}, PerDatabase: DatabaseLimits{MaxQueued: 1000}},
	}
	main := defaultFrontend(cfg.Routing)
	main.Name, main.Bind = "main", []string{":7687"}
	cfg.Frontends = []Frontend{main}
	return cfg
}

// defaultFrontend is what an entry of frontends starts from; TLS.Mode becomes optional where a certificate is given without a mode.
func defaultFrontend(routing Routing) Frontend {
	return Frontend{
		Protocols:      []string{"bolt", "websocket", "http"},
		TLS:            FrontendTLS{Mode: "off"},
		MaxConnections: 10_000,
		Timeouts:       Timeouts{Handshake: 5 * time.Second, Queue: 10 * time.Second},
		Keepalive:      60 * time.Second,
		Access:         "any",
		Routing:        routing,
	}
}

// defaultUser is what an entry of users starts from: one that forgets its access cannot do too much.
func defaultUser() User { return User{Access: "read-only"} }

// defaultRole is what an entry of admin.users and admin.tokens starts from: one that forgets its role cannot do too much.
const defaultRole = "viewer"

// defaultLimitedUser is what an entry of limits.users starts from: what all others have.
func defaultLimitedUser(l *Limits) LimitedUser {
	u := &l.PerUser
	return LimitedUser{Rate: l.Rate.User, MaxInFlight: u.MaxInFlight, Transaction: u.Transaction, MaxRows: u.MaxRows, MaxBytes: u.MaxBytes}
}

// defaultMember is what an entry of cluster.members starts from.
func defaultMember() Member { return Member{Weight: 1} }
