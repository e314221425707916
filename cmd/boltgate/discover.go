package main

// This file owns the way from cluster.discover to discovery's Options, and the DNS servers that the daemon asks.

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/discovery"
)

// resolverOf is the resolver of cfg: the one that there was, when it asks the same servers, for it remembers who answered.
func resolverOf(cfg *configs.Config, was *discovery.Resolver) *discovery.Resolver {
	servers := cfg.Cluster.Discover.Resolvers
	if was != nil && slices.Equal(was.Servers, servers) {
		return was
	}
	return &discovery.Resolver{Servers: servers}
}

func finderOptions(cfg *configs.Config, resolver *discovery.Resolver) discovery.Options {
	d := &cfg.Cluster.Discover
	o := discovery.Options{Lookup: resolver.Lookup}
	for _, text := range d.DNS {
		name, _ := configs.ParseDNS(text, cfg.Cluster.TLS.Mode != "off") // configs checked it
		o.Hosts = append(o.Hosts, discovery.Host{Name: name.Host, Bolt: uint16(name.Bolt), HTTP: uint16(name.HTTP)})
	}
	for _, text := range d.SRV {
		name, _ := configs.ParseSRV(text) // configs checked it
		o.Services = append(o.Services, discovery.Service{Name: name.Name, HTTP: name.HTTP})
	}
	return o
}

// learns tells whether members are learned from members. A standalone server has no others.
func learns(cfg *configs.Config) bool {
	return cfg.Cluster.Discover.Cluster && cfg.Cluster.Generation != "standalone"
}

// addressesOf are the addresses that members advertise, in lower case, and where we reach them.
func addressesOf(cfg *configs.Config) map[string]string {
	all := make(map[string]string, len(cfg.Cluster.Addresses))
	for from, to := range cfg.Cluster.Addresses {
		all[strings.ToLower(from)] = to
	}
	return all
}

// dialer dials members whose hosts are names by the DNS servers of the configuration; nil when there are none.
func dialer(cfg *configs.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	servers := slices.Clone(cfg.Cluster.Discover.Resolvers)
	if len(servers) == 0 {
		return nil
	}
	var turn atomic.Uint32 // the next server, when one does not answer
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := servers[int(turn.Add(1)-1)%len(servers)]
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
	return (&net.Dialer{KeepAlive: 30 * time.Second, Resolver: resolver}).DialContext
}
