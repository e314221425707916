package labs

// This file owns neo4j.conf: the names that settings have in each generation, and the values that make a small lab that elects in seconds.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// settingNames are the names of the settings that every generation has under another name.
type settingNames struct {
	boltListen, boltAdvertised, boltEnabled string
	httpListen, httpAdvertised, httpEnabled string
	pageCache, logs                         string
	authFile                                string // name in data/dbms
	more                                    []string
}

var (
	settings3 = settingNames{
		boltListen: "dbms.connector.bolt.listen_address", boltAdvertised: "dbms.connector.bolt.advertised_address", boltEnabled: "dbms.connector.bolt.enabled",
		httpListen: "dbms.connector.http.listen_address", httpAdvertised: "dbms.connector.http.advertised_address", httpEnabled: "dbms.connector.http.enabled",
		pageCache: "dbms.memory.pagecache.size", logs: "dbms.directories.logs", authFile: "auth.ini",
		more: []string{"dbms.connectors.default_listen_address=127.0.0.1", "dbms.connectors.default_advertised_address=127.0.0.1",
			"dbms.connector.https.enabled=false", "dbms.udc.enabled=false", "metrics.enabled=false"},
	}
	settings4 = settingNames{
		boltListen: "dbms.connector.bolt.listen_address", boltAdvertised: "dbms.connector.bolt.advertised_address", boltEnabled: "dbms.connector.bolt.enabled",
		httpListen: "dbms.connector.http.listen_address", httpAdvertised: "dbms.connector.http.advertised_address", httpEnabled: "dbms.connector.http.enabled",
		pageCache: "dbms.memory.pagecache.size", logs: "dbms.directories.logs", authFile: "auth.ini",
	}
	settings5 = settingNames{
		boltListen: "server.bolt.listen_address", boltAdvertised: "server.bolt.advertised_address", boltEnabled: "server.bolt.enabled",
		httpListen: "server.http.listen_address", httpAdvertised: "server.http.advertised_address", httpEnabled: "server.http.enabled",
		pageCache: "server.memory.pagecache.size", logs: "server.directories.logs", authFile: "auth.ini",
		more: []string{"dbms.usage_report.enabled=false"},
	}
)

// ports of one member, each free when the lab was laid out, and the host that it has them on.
type ports struct {
	bolt, http, discovery, transaction, raft, backup int

	host Host
}

// front is the address of a port for clients, back of one for other members.
func (p ports) front(port int) string { return net.JoinHostPort(p.host.Front, strconv.Itoa(port)) }
func (p ports) back(port int) string  { return net.JoinHostPort(p.host.Back, strconv.Itoa(port)) }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// conf returns the neo4j.conf of the i-th member.
func (l Lab) conf(all []ports, i int, logs string) string {
	n, p := l.dist.settings, all[i]
	lines := []string{
		"dbms.security.auth_enabled=true",
		n.boltEnabled + "=true", n.boltListen + "=" + p.front(p.bolt), n.boltAdvertised + "=" + p.front(p.bolt),
		n.httpEnabled + "=true", n.httpListen + "=" + p.front(p.http), n.httpAdvertised + "=" + p.front(p.http),
		n.pageCache + "=64m", n.logs + "=" + logs,
	}
	lines = append(lines, n.more...)
	if p.host.Back != here.Back { // of two equal keys in a file the last one counts
		lines = append(lines, "dbms.connectors.default_listen_address="+p.host.Back, "dbms.connectors.default_advertised_address="+p.host.Back)
	}
	switch l.Kind {
	case HAMode:
		lines = append(lines, haSettings(all, i)...)
	case CausalMode:
		lines = append(lines, causalSettings(all[:l.Cores], p, i < l.Cores)...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// haSettings lowers the heartbeat: with the default timeout of 40 s a test would wait that long for each election.
func haSettings(all []ports, i int) []string {
	return []string{
		"dbms.mode=HA",
		fmt.Sprintf("ha.server_id=%d", i+1),
		"ha.initial_hosts=" + join(all),
		"ha.host.coordination=" + all[i].back(all[i].discovery),
		"ha.host.data=" + all[i].back(all[i].transaction),
		"ha.pull_interval=500ms",
		"ha.heartbeat_interval=500ms",
		"ha.heartbeat_timeout=5s",
		"dbms.backup.enabled=true", "dbms.backup.address=" + all[i].back(all[i].backup),
	}
}

// founder makes a HA member found a cluster without waiting for others: of two equal keys in a file the last one counts.
func founder(p ports) string { return "ha.initial_hosts=" + p.back(p.discovery) + "\n" }

func causalSettings(cores []ports, p ports, core bool) []string {
	mode := "READ_REPLICA"
	if core {
		mode = "CORE"
	}
	lines := []string{
		"dbms.mode=" + mode,
		"causal_clustering.minimum_core_cluster_size_at_formation=" + strconv.Itoa(len(cores)),
		"causal_clustering.minimum_core_cluster_size_at_runtime=2",
		"causal_clustering.initial_discovery_members=" + join(cores),
		"causal_clustering.leader_election_timeout=1500ms", // a member that joins waits for four of these
		"dbms.backup.enabled=true", "dbms.backup.address=" + p.back(p.backup),
	}
	for name, port := range map[string]int{"discovery": p.discovery, "transaction": p.transaction, "raft": p.raft} {
		for _, side := range []string{"listen", "advertised"} {
			lines = append(lines, fmt.Sprintf("causal_clustering.%s_%s_address=%s", name, side, p.back(port)))
		}
	}
	return lines
}

// join lists where members look for each other.
func join(all []ports) string {
	addresses := make([]string, len(all))
	for i, p := range all {
		addresses[i] = p.back(p.discovery)
	}
	return strings.Join(addresses, ",")
}

// layOut finds free ports for n members. They lie below the range from which Linux and macOS take the ports of outgoing connections: a
// member that was killed must find its port still free when it returns. A port at which a connection of the lab before has ended less than a
// minute ago is not free: the backup service does not share it with that.
func layOut(n int) ([]ports, error) {
	free := make([]int, 0, 6*n)
	for port := 20000; port < 32000 && len(free) < 6*n; port++ {
		if l, err := alone.Listen(context.Background(), "tcp", loopback(port)); err == nil {
			l.Close()
			free = append(free, port)
		}
	}
	if len(free) < 6*n {
		return nil, fmt.Errorf("labs: found only %d of %d free ports between 20000 and 32000 on 127.0.0.1", len(free), 6*n)
	}
	all := make([]ports, n)
	for i := range all {
		f := free[6*i:]
		all[i] = ports{bolt: f[0], http: f[1], discovery: f[2], transaction: f[3], raft: f[4], backup: f[5], host: here}
	}
	return all, nil
}

// alone listens where nothing of an earlier connection is left.
var alone = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = shareNothing(fd) })
	return errors.Join(err, set)
}}
