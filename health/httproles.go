package health

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file asks the HTTP role endpoints (operations manual, "Status endpoints": HA, causal clusters, 4.x and newer).

// family is which group of role endpoints a server has.
type family uint8

const (
	undetected family = iota
	noFamily          // it has none that we know, or refuses all without a login
	haFamily          // /db/manage/server/ha/…, 1.9-3.5
	ccFamily          // /db/manage/server/causalclustering/…, 3.4-3.5
	coreFamily        // /db/manage/server/core/… and read-replica/…, 3.1-3.5
	dbFamily          // /dbms/cluster/status and /db/{db}/cluster/…, 4.0 and newer
)

const manage = "/db/manage/server/"

// httpRoles asks one member's role endpoints and remembers which of them it has while its connection lives. Not safe for
// concurrent use.
type httpRoles struct {
	client    httpClient
	databases []string // to ask for where the server does not list them
	contested *contested

	family   family
	version  string       // neo4j_version of the discovery document; "" before 4.0
	edition  string       // neo4j_edition of the same
	noStatus bool         // dbFamily: the server has no /dbms/cluster/status
	noBean   bool         // haFamily: the server does not show its beans
	noKernel bool         // before 4.0: the same of the bean Kernel
	core     cluster.Role // ccFamily: Follower for a core, Replica for a read replica, Unknown while not known
	detected int          // client.dials when the family was found out; another server may stand there after another dial
}

// ask puts into a what the member tells over HTTP. An error means that it did not answer, or is not available; a refusal
// for want of a login is no error, but a.denied.
func (h *httpRoles) ask(ctx context.Context, a *answer) error {
	if h.family == undetected || h.client.conn == nil || h.detected != h.client.dials {
		if err := h.detect(ctx, a); err != nil {
			return err
		}
		h.detected = h.client.dials
	} else if h.family == noFamily {
		_, err := h.client.get(ctx, "/") // it has no roles to tell; that it answers is all there is to learn
		a.evidence = h.communityEvidence()
		return err
	}
	switch h.family {
	case haFamily:
		return h.withStore(ctx, a, h.askHA(ctx, a))
	case ccFamily:
		return h.withStore(ctx, a, h.askCausal(ctx, a))
	case coreFamily:
		return h.withStore(ctx, a, h.askCore(ctx, a))
	case dbFamily:
		return h.askDatabases(ctx, a)
	}
	a.evidence = h.communityEvidence()
	return nil
}

// communityEvidence: Community Edition cannot form a cluster.
func (h *httpRoles) communityEvidence() cluster.Generation {
	if h.edition == "community" {
		return cluster.Standalone
	}
	return cluster.UnknownGeneration
}

// detect reads the discovery document and finds the family.
func (h *httpRoles) detect(ctx context.Context, a *answer) error {
	h.family, h.version, h.edition, h.noStatus, h.noBean, h.noKernel, h.core = undetected, "", "", false, false, false, cluster.Unknown
	r, err := h.client.get(ctx, "/")
	if err != nil {
		return err
	}
	if r.status >= 500 {
		return fmt.Errorf("GET http://%s/: status %d", h.client.host, r.status)
	}
	var doc struct {
		Version string `json:"neo4j_version"`
		Edition string `json:"neo4j_edition"`
	}
	if r.status == http.StatusOK && json.Unmarshal(r.body, &doc) == nil && strings.HasPrefix(strings.TrimSpace(string(r.body)), "{") {
		h.version, h.edition = doc.Version, doc.Edition
		a.discovery = r.body
	}
	switch major, _, _ := parseVersion(h.version); {
	case h.edition == "community":
		h.family = noFamily
	case major >= 4:
		h.family = dbFamily
	default:
		h.family, err = h.detectBefore4(ctx, a)
	}
	return err
}

// detectBefore4 tries the groups of 3.x and 2.x. In each of them 403 says that the server is of another kind.
func (h *httpRoles) detectBefore4(ctx context.Context, a *answer) (family, error) {
	for _, probe := range [...]struct {
		path string
		family
	}{{"ha/available", haFamily}, {"causalclustering/available", ccFamily}, {"core/available", coreFamily}, {"read-replica/available", coreFamily}} {
		r, err := h.client.get(ctx, manage+probe.path)
		if err != nil {
			return undetected, err
		}
		switch {
		case r.status == http.StatusUnauthorized || r.status == http.StatusTooManyRequests:
			a.denied = fmt.Sprintf("GET %s answered %d", manage+probe.path, r.status)
			return undetected, nil
		case r.status == http.StatusOK, r.status == http.StatusNotFound && spoken(r.body):
			return probe.family, nil
		}
	}
	return noFamily, nil
}

// spoken tells whether a 404's body is an answer of a role endpoint, not that of a missing page.
func spoken(body []byte) bool {
	switch strings.TrimSpace(string(body)) {
	case "true", "false", "UNKNOWN":
		return true
	}
	return false
}

// role asks a group's pair of endpoints: Leader, reader, or an error for a member that serves neither.
func (h *httpRoles) role(ctx context.Context, a *answer, base, write, read string, reader cluster.Role) (cluster.Role, error) {
	for _, q := range [...]struct {
		path string
		role cluster.Role
	}{{base + write, cluster.Leader}, {base + read, reader}} {
		r, err := h.client.get(ctx, q.path)
		if err != nil {
			return cluster.Unknown, err
		}
		switch r.status {
		case http.StatusOK:
			return q.role, nil
		case http.StatusNotFound:
		default:
			return cluster.Unknown, h.refused(a, q.path, r)
		}
	}
	return cluster.Unknown, unavailable{fmt.Sprintf("neither %s nor %s of http://%s%s says yes", write, read, h.client.host, base)}
}

// errDenied stops an asking that needs a login; the answer's denied says more.
type deniedError string

func (e deniedError) Error() string { return string(e) }

// refused makes an error of a status that is no answer. 401 and 429 are a refusal to tell; 403 means another kind of
// server, so the family is looked for again.
func (h *httpRoles) refused(a *answer, path string, r reply) error {
	text := fmt.Sprintf("GET http://%s%s answered %d", h.client.host, path, r.status)
	switch r.status {
	case http.StatusUnauthorized, http.StatusTooManyRequests:
		a.denied = text
		return deniedError(text)
	case http.StatusForbidden, http.StatusNotFound:
		h.family = undetected
	}
	return fmt.Errorf("%s", text)
}

// askHA reads available, whose body is the role (facts: master, slave, or 404 UNKNOWN while it starts or elects).
func (h *httpRoles) askHA(ctx context.Context, a *answer) error {
	a.evidence = cluster.HA
	r, err := h.client.get(ctx, manage+"ha/available")
	if err != nil {
		return err
	}
	switch body := strings.TrimSpace(string(r.body)); {
	case r.status == http.StatusOK && body == "master":
		a.setRole(cluster.AnyDatabase, cluster.Leader)
	case r.status == http.StatusOK && body == "slave":
		a.setRole(cluster.AnyDatabase, cluster.Follower)
	case r.status == http.StatusOK:
		role, err := h.role(ctx, a, manage+"ha/", "master", "slave", cluster.Follower)
		if err != nil {
			return undenied(err)
		}
		a.setRole(cluster.AnyDatabase, role)
	case r.status == http.StatusNotFound && spoken(r.body):
		return unavailable{fmt.Sprintf("GET http://%s%sha/available answered %s", h.client.host, manage, body)}
	default:
		return undenied(h.refused(a, manage+"ha/available", r))
	}
	contested := len(h.contested.list()) > 0
	if h.noBean && !contested {
		return nil
	}
	v, ok, err := h.askInstances(ctx)
	h.noBean = err == nil && !ok
	a.addProgress(cluster.AnyDatabase, cluster.Progress{Tx: v.tx})
	if contested { // two masters: whom do the others follow?
		v.addTo(a)
	}
	return err
}

// undenied drops the error of a refused login: the member is there, it only does not tell.
func undenied(err error) error {
	if _, ok := err.(deniedError); ok {
		return nil
	}
	return err
}

func (h *httpRoles) askCausal(ctx context.Context, a *answer) error {
	a.evidence = cluster.Causal
	const base = manage + "causalclustering/"
	role, err := h.role(ctx, a, base, "writable", "read-only", cluster.Follower)
	if err != nil {
		return undenied(err)
	}
	if !h.noStatus {
		r, err := h.client.get(ctx, base+"status")
		if err != nil {
			return err
		}
		if s, ok := parseStatus(r); ok {
			h.core = s.kind()
			a.addStatus(cluster.AnyDatabase, s)
		} else {
			h.noStatus = r.status == http.StatusNotFound // 3.4
		}
	}
	if h.core == cluster.Unknown {
		r, err := h.client.get(ctx, manage+"read-replica/available")
		if err != nil {
			return err
		}
		h.core = cluster.Follower
		if r.status == http.StatusOK {
			h.core = cluster.Replica
		}
	}
	if role == cluster.Follower {
		role = h.core
	}
	a.setRole(cluster.AnyDatabase, role)
	return nil
}

// askCore is for 3.1-3.3, whose read replicas answer 403 on core/… and 200 on read-replica/available.
func (h *httpRoles) askCore(ctx context.Context, a *answer) error {
	a.evidence = cluster.Causal
	r, err := h.client.get(ctx, manage+"read-replica/available")
	if err != nil {
		return err
	}
	role := cluster.Replica
	if r.status != http.StatusOK {
		if role, err = h.role(ctx, a, manage+"core/", "writable", "read-only", cluster.Follower); err != nil {
			return undenied(err)
		}
	}
	a.setRole(cluster.AnyDatabase, role)
	return nil
}

// status is a cluster status document, of one database. Servers name healthy in two ways.
type status struct {
	MemberID string  `json:"memberId"`
	Leader   *string `json:"leader"`
	Core     *bool   `json:"core"`
	Healthy  *bool   `json:"healthy"`
	Healthy4 *bool   `json:"isHealthy"`
	Applied  int64   `json:"lastAppliedRaftIndex"`
}

func parseStatus(r reply) (s status, ok bool) {
	ok = r.status == http.StatusOK && json.Unmarshal(r.body, &s) == nil && (s.MemberID != "" || s.Core != nil)
	return s, ok
}

// kind is the role of a member that does not lead: Replica unless it is a core, that is, a primary.
func (s status) kind() cluster.Role {
	if s.Core != nil && !*s.Core {
		return cluster.Replica
	}
	return cluster.Follower
}

func (s status) role() cluster.Role {
	unhealthy := func(b *bool) bool { return b != nil && !*b }
	switch {
	case unhealthy(s.Healthy) || unhealthy(s.Healthy4):
		return cluster.Unknown
	case s.Leader != nil && *s.Leader == s.MemberID && s.MemberID != "":
		return cluster.Leader
	}
	return s.kind()
}

// addStatus keeps whom the member names as leader, by id, its own id, and how far it is.
func (a *answer) addStatus(db string, s status) {
	a.addProgress(db, cluster.Progress{Index: s.Applied})
	if s.MemberID != "" {
		a.ids[db] = s.MemberID
	}
	if s.Leader != nil && *s.Leader != "" {
		a.namedIDs[db] = *s.Leader
	}
}

// askDatabases reads the roles of all databases at once where the server has /dbms/cluster/status, else one by one.
func (h *httpRoles) askDatabases(ctx context.Context, a *answer) error {
	if !h.noStatus {
		r, err := h.client.get(ctx, "/dbms/cluster/status")
		if err != nil {
			return err
		}
		var all []struct {
			Name   string `json:"databaseName"`
			Status status `json:"databaseStatus"`
		}
		switch {
		case r.status == http.StatusOK && json.Unmarshal(r.body, &all) == nil:
			for _, db := range all {
				a.setRole(db.Name, db.Status.role())
				a.addStatus(db.Name, db.Status)
			}
			a.evidence = h.databasesEvidence(a)
			return nil
		case r.status == http.StatusNotFound || r.status == http.StatusForbidden:
			h.noStatus = true // 4.0 and 4.1, or a server that is in no cluster
		default:
			return undenied(h.refused(a, "/dbms/cluster/status", r))
		}
	}
	for _, db := range h.databases {
		if err := h.askDatabase(ctx, a, db); err != nil {
			return undenied(err)
		}
	}
	a.evidence = h.databasesEvidence(a)
	return nil
}

func (h *httpRoles) databasesEvidence(a *answer) cluster.Generation {
	switch major, _, _ := parseVersion(h.version); {
	case len(a.roles) == 0:
		return cluster.UnknownGeneration
	case major == 4:
		return cluster.Causal
	}
	return cluster.Autonomous
}

// askDatabase asks for one database; a database that the server does not host (404 without a word) leaves no role.
func (h *httpRoles) askDatabase(ctx context.Context, a *answer, db string) error {
	base := "/db/" + url.PathEscape(db) + "/cluster/"
	r, err := h.client.get(ctx, base+"status")
	if err != nil {
		return err
	}
	s, ok := parseStatus(r)
	if !ok && r.status != http.StatusOK {
		if r.status == http.StatusNotFound || r.status == http.StatusForbidden {
			return nil
		}
		return h.refused(a, base+"status", r)
	}
	a.addStatus(db, s)
	role, err := h.role(ctx, a, base, "writable", "read-only", s.kind())
	if _, denied := err.(deniedError); denied || ctx.Err() != nil {
		return err
	}
	a.setRole(db, role) // Unknown when it serves neither: it is there, but that database is not
	return nil
}
