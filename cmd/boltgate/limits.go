package main

// This file owns the way of limits from the configuration to package proxy.

import (
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/proxy"
)

func limitsOf(cfg *configs.Config) proxy.Limits {
	c := &cfg.Limits
	l := proxy.Limits{
		PerUser: proxy.UserLimits{
			Rate: float64(c.Rate.User), MaxInFlight: c.PerUser.MaxInFlight, Transaction: c.PerUser.Transaction, MaxRows: c.PerUser.MaxRows, MaxBytes: int64(c.PerUser.MaxBytes),
		},
		AddressRate: float64(c.Rate.Address), Burst: c.Rate.Burst,
		UserQueue: c.PerUser.MaxQueued, PerDatabase: c.PerDatabase.MaxInFlight, DatabaseQueue: c.PerDatabase.MaxQueued,
	}
	if len(c.Users) > 0 {
		l.Users = map[string]proxy.UserLimits{}
	}
	for _, u := range c.Users {
		l.Users[u.Name] = proxy.UserLimits{Rate: float64(u.Rate), MaxInFlight: u.MaxInFlight, Priority: u.Priority, Transaction: u.Transaction, MaxRows: u.MaxRows, MaxBytes: int64(u.MaxBytes)}
	}
	return l
}
