package standin

import (
	"net/http"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

func isRolePath(path string) bool {
	return strings.HasPrefix(path, "/db/manage/server/") || strings.HasPrefix(path, "/dbms/cluster/") ||
		strings.HasPrefix(path, "/db/") && strings.Contains(path, "/cluster/")
}

// roles answers the endpoints that tell a member's role (facts of Neo4j, "Role and health endpoints"); false: the path is
// none of them.
func (h *httpRequest) roles(s []string) bool {
	clustered := h.m.c.opt.Generation != cluster.Standalone
	switch {
	case len(s) >= 5 && s[0] == "db" && s[1] == "manage" && s[2] == "server" && !h.m.release().multi():
		h.oldRoles(s[3], s[4])
	case len(s) == 4 && s[0] == "db" && s[2] == "cluster" && h.m.release().multi() && clustered:
		h.databaseRole(s[1], s[3])
	case strings.Join(s, "/") == "dbms/cluster/status" && h.m.release().multi() && clustered:
		h.dbmsStatus()
	default:
		return false
	}
	return true
}

// verdict is how a role endpoint answers: 200 true or 404 false.
func (h *httpRequest) verdict(yes bool) {
	if yes {
		h.text(http.StatusOK, "text/plain", "true")
		return
	}
	h.text(http.StatusNotFound, "text/plain", "false")
}

// oldRoles answers below /db/manage/server/ on 2.x and 3.x. 403: this is another kind of instance.
func (h *httpRequest) oldRoles(group, what string) {
	role := h.m.c.Role("", h.m.name)
	g := h.m.c.opt.Generation
	switch {
	case group == "jmx":
		h.jmxPage()
	case group == "ha" && g == cluster.HA:
		h.haRole(what, role)
	case g != cluster.Causal, group == "ha":
		h.text(http.StatusForbidden, "text/plain", "")
	case group == "core" && role != cluster.Replica:
		h.causalRole(what, role)
	case group == "read-replica" && role == cluster.Replica && what == "available":
		h.verdict(true)
	case group == "causalclustering" && h.m.release().atLeast(3, 4):
		h.causalRole(what, role)
	case group == "core" || group == "read-replica":
		h.text(http.StatusForbidden, "text/plain", "")
	default:
		h.notFound()
	}
}

func (h *httpRequest) haRole(what string, role cluster.Role) {
	name := map[cluster.Role]string{cluster.Leader: "master", cluster.Follower: "slave"}[role]
	switch {
	case what == "available":
		h.text(http.StatusOK, "text/plain", name)
	case what == "master" || what == "slave":
		h.verdict(what == name)
	default:
		h.notFound()
	}
}

func (h *httpRequest) causalRole(what string, role cluster.Role) {
	switch what {
	case "writable":
		h.verdict(role == cluster.Leader)
	case "read-only":
		h.verdict(role != cluster.Leader)
	case "available":
		h.verdict(true)
	case "status":
		if !h.m.release().atLeast(3, 5) {
			h.notFound()
			return
		}
		h.m.c.mu.Lock()
		status := h.m.status(h.m.c.dbs[0])
		h.m.c.mu.Unlock()
		h.json(http.StatusOK, status)
	default:
		h.notFound()
	}
}

// databaseRole answers below /db/{db}/cluster/ on 4.0 and later.
func (h *httpRequest) databaseRole(db, what string) {
	c := h.m.c
	c.mu.Lock()
	d := c.find(db)
	hosted := d != nil && d.role(h.m) != cluster.Unknown && !d.stopped
	var role cluster.Role
	var status map[string]any
	if hosted {
		role, status = d.role(h.m), h.m.status(d)
	}
	c.mu.Unlock()
	switch {
	case !hosted:
		h.notFound()
	case what == "status":
		h.json(http.StatusOK, status)
	default:
		h.causalRole(what, role)
	}
}

func (h *httpRequest) dbmsStatus() {
	c := h.m.c
	c.mu.Lock()
	list := []any{}
	for _, d := range c.dbs {
		if d.role(h.m) != cluster.Unknown && !d.stopped {
			list = append(list, map[string]any{"databaseName": d.name, "databaseUuid": formatUUID(d.uuid), "databaseStatus": h.m.status(d)})
		}
	}
	c.mu.Unlock()
	h.json(http.StatusOK, list)
}

// status is the status document of a database at a member. Called with the cluster's mu held.
func (m *member) status(d *database) map[string]any {
	voting := []any{}
	for _, v := range d.voters() {
		voting = append(voting, formatUUID(v.id))
	}
	s := map[string]any{
		"lastAppliedRaftIndex": d.applied[m], "votingMembers": voting, "memberId": formatUUID(m.id), "leader": nil,
		"participatingInRaftGroup": !m.replica, "core": !m.replica, "healthy": true,
	}
	if m.release().multi() {
		s["isHealthy"] = true
		s["raftCommandsPerSecond"] = 0.0
	}
	if leader := d.belief[m].leader; leader != nil {
		s["leader"] = formatUUID(leader.id)
	}
	if !m.replica {
		s["millisSinceLastLeaderMessage"] = 0
	}
	return s
}
