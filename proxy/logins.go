package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// login is what the gate knows of one credential. All sessions with equal credentials share one.
type login struct {
	key    [sha256.Size]byte
	marks  marks                  // what this user has seen
	home   atomic.Pointer[string] // the user's home database; nil while unknown
	homeAt atomic.Int64           // UnixNano of when home was learned

	shared   bool      // stands for many: it has no home database; set before use, never changed
	sessions int       // guarded by logins.mu
	checked  time.Time // guarded by logins.mu: when a member last accepted it; zero never, or forgotten
	refused  bool      // guarded by logins.mu: a member said since then that it is wrong

	as *pool.Identity // guarded by logins.mu: how a session of it logs on, while there is one that a member accepted; see learn.go
}

// logins remembers credentials by a keyed hash, so that a copy of the table is of no use, for as long as a session uses
// them or auth.remember lasts.
type logins struct {
	remember func() time.Duration
	salt     [32]byte

	mu    sync.Mutex
	known map[[sha256.Size]byte]*login
	crowd *login    // stands for all that found no place: what is known of one of them counts for each
	swept time.Time // guarded by mu: when those that nobody uses were last forgotten

	unknown time.Time // guarded by mu: until when they may have written in another process; see loosen
}

const (
	sweepLogins = time.Minute
	maxLogins   = 50_000
)

func newLogins(remember func() time.Duration) *logins {
	l := &logins{remember: remember, known: map[[sha256.Size]byte]*login{}, crowd: &login{shared: true}}
	rand.Read(l.salt[:]) //nolint:errcheck // never fails (crypto/rand)
	return l
}

func (l *logins) key(auth bolt.Auth) [sha256.Size]byte {
	h := sha256.New()
	h.Write(l.salt[:])
	h.Write([]byte(auth.Entries))
	return [sha256.Size]byte(h.Sum(nil))
}

// enter returns the login of a credential for one more session, and whether a member accepted it so recently that it need
// not be asked again. as is how that session logs on; nil for HTTP.
func (l *logins) enter(auth bolt.Auth, as *pool.Identity) (*login, bool) {
	key := l.key(auth)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep()
	u := l.known[key]
	switch {
	case u == nil && len(l.known) >= maxLogins:
		l.crowd.sessions++
		return l.crowd, false
	case u == nil:
		u = l.newLogin(key)
	}
	u.sessions++
	remembered := !u.checked.IsZero() && time.Since(u.checked) < l.remember()
	if remembered {
		u.lend(as)
	}
	return u, remembered
}

// lend keeps how a session logs on. The caller holds mu.
func (u *login) lend(as *pool.Identity) {
	if as != nil && !as.Single() && !u.shared {
		u.as = as
	}
}

// asker is a login by which members can be asked, the same one as before if that still can be; nil, nil when there is none.
func (l *logins) asker(before *login) (*login, *pool.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before != nil && before.as != nil {
		return before, before.as
	}
	for _, u := range l.known {
		if u.as != nil {
			return u, u.as
		}
	}
	return nil, nil
}

// mute stops asking members by a login that one refused, until a session logs on with it again.
func (l *logins) mute(u *login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.as = nil
}

// leave ends one session's use. useless says that nobody uses the login any more and a member refused it: connections that
// were logged on with it serve nobody.
func (l *logins) leave(u *login) (useless bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.sessions--
	if u.sessions == 0 {
		u.as = nil
	}
	l.dropStale(u)
	return u.refused && u.sessions == 0
}

func (l *logins) dropStale(u *login) {
	if !u.shared && u.sessions == 0 && time.Since(u.checked) >= l.remember() && !u.marks.fresh(time.Now()) {
		delete(l.known, u.key)
	}
}

// sweep forgets, once a minute, the credentials that nobody uses. The caller holds mu.
func (l *logins) sweep() {
	if time.Since(l.swept) < sweepLogins {
		return
	}
	l.swept = time.Now()
	for _, u := range l.known {
		l.dropStale(u)
	}
}

// verified notes that a member has just accepted the login of a session that logs on so.
func (l *logins) verified(u *login, as *pool.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !u.shared {
		u.checked, u.refused = time.Now(), false
		u.lend(as)
	}
}

// forget makes the next log-on ask a member again. refused: a member says that the credential is wrong.
func (l *logins) forget(u *login, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.checked = time.Time{}
	u.refused = u.refused || refused && !u.shared
}

// forgetAll is forget for every credential: a user command went by. Connections that are logged on stay, as they do at the
// members themselves when a password changes: they are lent to sessions that were logged on before, to nobody else, and a
// member that wants a user out ends them or fails the work. Who changed the own password can so go on.
func (l *logins) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.known {
		u.checked = time.Time{}
	}
}

// distrust counts a member's failure, and is what one of the family Security says of the session's login. Which connections go: after a
// change of roles, a token's end, or when a password is due, all that are idle, for each was logged on before; when the
// credential is wrong, they still serve the sessions that are logged on, as at the members, and go with the last of these.
func (s *boltSession) distrust(code string) {
	if s.lease != nil {
		s.lease.Failed(code)
	}
	if !isSecurity(code) {
		return
	}
	s.srv.logins.forget(s.login, code == bolt.CodeUnauthorized)
	switch code {
	case bolt.CodeAuthExpired, bolt.CodeTokenExpired, bolt.CodeCredentialsExpired:
		s.srv.pools.Forget(s.identity)
	}
}

// leaveLogin ends the session's use of its login, if it has one.
func (s *boltSession) leaveLogin() {
	if s.login != nil && s.srv.logins.leave(s.login) {
		s.srv.pools.Forget(s.identity)
	}
	s.login = nil
}

const homeFor = 5 * time.Minute

// homeDatabase is the user's home database as far as it is known; "" while it is not.
func (u *login) homeDatabase(now time.Time) string {
	if h := u.home.Load(); h != nil && now.Sub(time.Unix(0, u.homeAt.Load())) < homeFor {
		return *h
	}
	return ""
}

func (u *login) learnHome(db string, now time.Time) {
	if u.shared {
		return
	}
	u.home.Store(&db)
	u.homeAt.Store(now.UnixNano())
}

func (u *login) forgetHome() { u.home.Store(nil) }

// textSet is a bounded set of query texts, kept as hashes: those that Classify took for reads and a member for writes.
type textSet struct {
	seed maphash.Seed
	mu   sync.RWMutex
	has  map[uint64]struct{}
	n    atomic.Int64 // so that the usual case, an empty set, takes no lock
}

const maxTexts = 10000

func newTextSet() *textSet { return &textSet{seed: maphash.MakeSeed(), has: map[uint64]struct{}{}} }

func (t *textSet) add(text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.has) >= maxTexts {
		clear(t.has)
	}
	t.has[maphash.Bytes(t.seed, text)] = struct{}{}
	t.n.Store(int64(len(t.has)))
}

func (t *textSet) contains(text []byte) bool {
	if t.n.Load() == 0 {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.has[maphash.Bytes(t.seed, text)]
	return ok
}
