package health

import (
	"maps"
	"regexp"
	"strconv"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
)

// answer is what one check of one member brought. It is made by the member's checker and owned by Run once sent.
type answer struct {
	member  string
	from    *checker
	started time.Time // when the check began; what was reported later it cannot have known
	err     error     // the check failed; the rest may be part of an answer then
	silent  bool      // it failed because the member said nothing at all

	evidence    cluster.Generation          // the kind of cluster that it showed; UnknownGeneration: no evidence
	told        bool                        // it told its role, if only that it has none
	roles       map[string]cluster.Role     // its own
	stopped     map[string]bool             // databases that their operator stopped
	closed      map[string]bool             // databases that it hosts and cannot serve now, stopped ones among them
	aliases     map[string]string           // by alias, the database
	composites  map[string]bool             // composite databases and their constituents
	named       map[string]string           // by database, the advertised address that it names as leader
	ids         map[string]string           // by database, the id under which others name it
	namedIDs    map[string]string           // by database, the id that it names as leader
	terms       map[string]int64            // by database, the term of the leader that it knows; nil when it was not asked
	progress    map[string]cluster.Progress // by database, how far it is; without CaughtUp
	def         string                      // the default database
	databaseIDs map[string]string           // by database, the id that it has; nil where members do not tell
	denied      string                      // what it refused to tell, for want of a login or of rights
	addresses   []string                    // all advertised addresses that it mentioned
	servers     []cluster.Server            // of its cluster, as it tells; nil when it was not asked, or did not tell
	overHTTP    bool                        // it answered over HTTP
	discovery   []byte                      // its discovery document; nil when it was not asked for
	identity    *identity                   // nil when it was not asked for
}

// identity is what a member is, as far as it changes only with another server on its address.
type identity struct {
	versions []bolt.Version // newest first; nil while no probe told
	utc      bool           // accepts patch_bolt ["utc"]
	agent    string         // "Neo4j/5.26.0"
	edition  string         // "community", "enterprise"; "" while unknown
	address  string         // the Bolt address that it advertises; "" while unknown
	web      string         // the same for HTTP
	listed   []procedure    // what it can CALL; nil while unknown
}

func (a *answer) setRole(db string, r cluster.Role) {
	a.told = true
	a.roles[db] = r
}

func newAnswer(member string, started time.Time) *answer {
	return &answer{
		member: member, started: started,
		roles: map[string]cluster.Role{}, stopped: map[string]bool{}, closed: map[string]bool{}, aliases: map[string]string{}, composites: map[string]bool{}, named: map[string]string{},
		ids: map[string]string{}, namedIDs: map[string]string{}, progress: map[string]cluster.Progress{},
	}
}

// merge adds what a second source told and the first did not.
func (a *answer) merge(b *answer) {
	fill(a.roles, b.roles)
	fill(a.named, b.named)
	fill(a.ids, b.ids)
	fill(a.namedIDs, b.namedIDs)
	fill(a.aliases, b.aliases)
	fill(a.composites, b.composites)
	for db, p := range b.progress {
		a.addProgress(db, p)
	}
	maps.Copy(a.stopped, b.stopped)
	maps.Copy(a.closed, b.closed)
	if a.databaseIDs == nil {
		a.databaseIDs = b.databaseIDs
	}
	if a.terms == nil {
		a.terms = b.terms
	}
	a.told = a.told || b.told
	a.evidence = orElse(a.evidence, b.evidence)
	a.def = orElse(a.def, b.def)
	a.denied = orElse(a.denied, b.denied)
	a.addresses = append(a.addresses, b.addresses...)
	for db := range a.closed {
		delete(a.roles, db)
	}
}

func fill[V any](dst, src map[string]V) {
	for k, v := range src {
		if _, ok := dst[k]; !ok {
			dst[k] = v
		}
	}
}

var serverVersion = regexp.MustCompile(`^(?:Neo4j/)?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?`)

// parseVersion takes the numbers out of "Neo4j/4.4.48" or "4.4.48"; all zero when it is another kind of server, such as
// Memgraph, whose text begins with Neo4j too.
func parseVersion(agent string) (major, minor, patch int) {
	m := serverVersion.FindStringSubmatch(agent)
	if m == nil {
		return 0, 0, 0
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	patch, _ = strconv.Atoi(m[3])
	return major, minor, patch
}

// firstWithUTC is the first 4.4 that surely accepts patch_bolt ["utc"]: servers with it appeared in the autumn of 2022.
// Saying no of one that does accept it is safe, for the older structures are then used on both sides.
const firstWithUTC = 12

// utcByVersion tells from a server's version alone whether it accepts the patch; 4.3 never by version.
func utcByVersion(agent string) bool {
	major, minor, patch := parseVersion(agent)
	return major >= 5 || major == 4 && minor == 4 && patch >= firstWithUTC
}

// utcByHello tells it from the answer to a HELLO that asked for it.
func utcByHello(hello map[string]any) bool {
	patches, _ := hello["patch_bolt"].([]any)
	for _, p := range patches {
		if p == "utc" {
			return true
		}
	}
	return false
}

// noAuth is scheme none.
var noAuth = func() bolt.Auth {
	auth, err := bolt.ParseAuth(packstream.AppendValue(nil, map[string]string{"scheme": "none"}))
	if err != nil {
		panic(err) // a constant
	}
	return auth
}()
