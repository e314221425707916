package health

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file asks members which servers their cluster has: dbms.cluster.overview (3.1 to 4.4), SHOW SERVERS (5.0 and newer), the
// JMX bean of HA members, and, where these are not for the user of checks, the addresses in SHOW DATABASES. It also owns what
// Run keeps of the answers.

// peersEvery is how many ordinary intervals lie between two such questions.
const peersEvery = 5

// maxServers bounds what is kept of one answer; a longer one is no answer.
const maxServers = 256

// listPeers asks now and then, where somebody wants to learn members. It has a quarter of the check's time; when it fails the
// check has not.
func (c *checker) listPeers(ctx context.Context, a *answer) {
	if !c.o.Learn || time.Now().Before(c.peersDue) {
		return
	}
	c.peersDue = time.Now().Add(peersEvery * c.o.Interval)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout/4)
	defer cancel()
	var servers []cluster.Server
	var err error
	if c.member.Bolt != "" {
		servers, err = c.bolt.askPeers(ctx, a, c.http.family == haFamily, c.o.TLS != nil)
	} else {
		servers, err = c.http.askPeers(ctx, a)
	}
	if err == nil && len(servers) > 0 && len(servers) <= maxServers {
		a.servers = servers
	}
}

// askPeers asks over Bolt. What the user may not see is made up for by what SHOW DATABASES has told already.
func (b *boltRoles) askPeers(ctx context.Context, a *answer, ha, secure bool) (servers []cluster.Server, err error) {
	if err := b.login(ctx); err != nil {
		return nil, err
	}
	switch major, _, _ := parseVersion(b.client.Server); {
	case b.id.edition == "community", major == 0:
		return nil, nil
	case major >= 5:
		servers, err = b.askServers(ctx, secure)
	case major == 3 && (ha || b.bolt3 == cluster.HA):
		return b.askInstances(ctx, a)
	default:
		servers, err = b.askOverview(ctx, secure)
	}
	if isRefusal(err) {
		return advertisedServers(a.addresses), nil
	}
	return servers, err
}

// askServers reads SHOW SERVERS. A server that was dropped has left.
func (b *boltRoles) askServers(ctx context.Context, secure bool) ([]cluster.Server, error) {
	res, err := b.query(ctx, "SHOW SERVERS YIELD *", nil)
	if err != nil {
		return nil, err
	}
	get := column(res)
	text := func(row []any, name string) string { s, _ := get(row, name).(string); return s }
	var servers []cluster.Server
	for _, row := range res.Rows {
		s := cluster.Server{ID: text(row, "serverId"), Bolt: address(text(row, "address")), HTTP: address(text(row, "httpAddress")), Tags: texts(get(row, "tags"))}
		if secure {
			s.HTTP = address(text(row, "httpsAddress"))
		}
		if s.Bolt != "" && text(row, "state") != "Dropped" {
			servers = append(servers, s)
		}
	}
	return servers, nil
}

// askOverview reads dbms.cluster.overview(), whose addresses are URIs.
func (b *boltRoles) askOverview(ctx context.Context, secure bool) ([]cluster.Server, error) {
	res, err := b.query(ctx, "CALL dbms.cluster.overview()", nil)
	if err != nil {
		return nil, err
	}
	get := column(res)
	web := map[bool]string{false: "http://", true: "https://"}[secure]
	var servers []cluster.Server
	for _, row := range res.Rows {
		s := cluster.Server{Tags: texts(get(row, "groups"))}
		s.ID, _ = get(row, "id").(string)
		for _, uri := range texts(get(row, "addresses")) {
			switch {
			case strings.HasPrefix(uri, "bolt"):
				s.Bolt = address(uri)
			case strings.HasPrefix(uri, web):
				s.HTTP = address(uri)
			}
		}
		if s.Bolt != "" {
			servers = append(servers, s)
		}
	}
	return servers, nil
}

// askInstances reads the JMX bean over Bolt.
func (b *boltRoles) askInstances(ctx context.Context, a *answer) ([]cluster.Server, error) {
	res, err := b.query(ctx, haBean, nil)
	if err != nil || len(res.Rows) == 0 {
		return nil, err
	}
	return haOverBolt(beanValues(res)).servers(a), nil
}

// askPeers asks over HTTP, for servers without Bolt.
func (h *httpRoles) askPeers(ctx context.Context, a *answer) ([]cluster.Server, error) {
	if h.family != haFamily {
		return nil, nil
	}
	v, ok, err := h.askInstances(ctx)
	if err != nil || !ok {
		return nil, err
	}
	return v.servers(a), nil
}

// servers are the instances that are heard; the member's own id is noted too.
func (h haView) servers(a *answer) (servers []cluster.Server) {
	a.ids[cluster.AnyDatabase] = h.id
	for _, i := range h.instances {
		if i.alive && i.host != "" {
			servers = append(servers, cluster.Server{ID: i.id, Peer: lower(i.host)})
		}
	}
	return servers
}

// advertisedServers makes servers of addresses alone.
func advertisedServers(addresses []string) (servers []cluster.Server) {
	for _, a := range slices.Compact(slices.Sorted(slices.Values(addresses))) {
		servers = append(servers, cluster.Server{Bolt: address(a)})
	}
	return servers
}

// address is what a member advertises, as host:port in lower case; "" for what is none.
func address(text string) string {
	if text == "" || text == "<nil>" {
		return ""
	}
	return bare(text)
}

func texts(v any) (list []string) {
	values, _ := v.([]any)
	for _, v := range values {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// self is what the member said of itself.
func (s *memberState) self() cluster.Server {
	self := cluster.Server{Bolt: address(s.id.address), HTTP: address(s.id.web)}
	if s.last != nil {
		self.ID = orElse(s.last.ids[cluster.AnyDatabase], orElse(s.ownID, s.last.ids["system"]))
	}
	return self
}

// tell makes what was heard known to whoever learns from it, when it is something new.
func (m *Monitor) tell() {
	if !m.o.Learn {
		return
	}
	heard := make([]cluster.Heard, 0, len(m.members)+len(m.candidates))
	for _, list := range [...][]*memberState{m.members, m.candidates} {
		for _, s := range list {
			h := cluster.Heard{Name: s.member.Name, Up: s.streak.Up, Good: s.streak.Good, Self: s.self(), Servers: s.servers}
			h.HTTP = s.last != nil && s.last.overHTTP
			heard = append(heard, h)
		}
	}
	if old := m.heard.Load(); old != nil && slices.EqualFunc(*old, heard, cluster.Heard.Equal) {
		return
	}
	m.heard.Store(&heard)
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// Heard is what the checks know now of the members and candidates of the options, where Learn is on. It never changes.
func (m *Monitor) Heard() []cluster.Heard {
	if h := m.heard.Load(); h != nil {
		return *h
	}
	return nil
}

// News receives after Heard has become another.
func (m *Monitor) News() <-chan struct{} { return m.news }

// keepPeers keeps what an answer told of the cluster; what a member told that is down is of no use.
func (s *memberState) keepPeers(a *answer) {
	switch {
	case !s.streak.Up:
		s.servers, s.ownID = nil, ""
	case a.servers != nil:
		s.servers = a.servers
		s.ownID = a.ids[cluster.AnyDatabase]
	}
}

// listedAddresses asks a server before 5.6 which addresses it advertises.
const listedAddresses = "CALL dbms.listConfig('advertised_address') YIELD name, value RETURN name, value"

// askOwnAddresses learns which addresses such a server advertises; none where the user may not know.
func (b *boltRoles) askOwnAddresses(ctx context.Context) error {
	res, err := b.query(ctx, listedAddresses, nil)
	if err != nil {
		if isRefusal(err) {
			return nil
		}
		return err
	}
	get := column(res)
	for _, row := range res.Rows {
		value, _ := get(row, "value").(string)
		switch get(row, "name") {
		case "dbms.connector.bolt.advertised_address", "server.bolt.advertised_address":
			b.id.address = value
		case "dbms.connector.http.advertised_address", "server.http.advertised_address":
			b.id.web = value
		}
	}
	return nil
}
