package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// This file owns who somebody is: tokens, passwords, and logins on the page. Wrong ones are slowed by address, and a password
// that was right is not hashed again for a while, for that is made to be slow.

const (
	rememberFor  = 5 * time.Minute // a right password
	cookieFor    = 12 * time.Hour  // a login on the page
	cookieName   = "boltgate"
	maxKept      = 1000 // logins, right passwords, and addresses with wrong ones, of each
	hashesAtOnce = 4

	freeTries = 3           // wrong ones of an address within slowFor before it has to wait
	slowFor   = time.Minute // what was wrong longer ago does not count
	slowTime  = time.Second // between the tries of such an address
)

var errSlow = errors.New("too many wrong logins from this address; wait a moment")

// guard is what is remembered of logins.
type guard struct {
	key    [32]byte // under which secrets are remembered
	hashes chan struct{}

	mu      sync.Mutex
	right   map[[32]byte]time.Time // guarded by mu: passwords, until when they count as right
	cookies map[string]cookie      // guarded by mu
	wrong   map[string]failures    // guarded by mu: by address
}

type cookie struct {
	user  string
	csrf  string // a form has to carry it
	until time.Time
}

type failures struct {
	n    int
	last time.Time
}

func (g *guard) init() {
	rand.Read(g.key[:]) //nolint:errcheck // never fails (crypto/rand)
	g.hashes = make(chan struct{}, hashesAtOnce)
	g.right, g.cookies, g.wrong = map[[32]byte]time.Time{}, map[string]cookie{}, map[string]failures{}
}

// forget drops remembered passwords: users may be others now. Logins on the page are looked up by user, so they stay.
func (g *guard) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.right)
}

func tokenKey(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// identify finds out who sent a request. The role is Nobody for a wrong login or none; an error says that the address has
// to wait first.
func (s *Server) identify(r *http.Request) (who, error) {
	st := s.state.Load()
	if st.open() {
		return who{name: "local", role: Operator}, nil
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.guard.slowed(r, func(string) (who, error) {
			t := st.tokens[tokenKey(strings.TrimSpace(token))]
			return who{name: t.Name, role: t.Role}, nil
		})
	}
	if name, password, ok := r.BasicAuth(); ok {
		return s.guard.slowed(r, func(from string) (who, error) { return s.guard.password(st, name, password, from) })
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if k, ok := s.guard.cookie(c.Value); ok {
			u := st.logins[k.user]
			return who{name: u.Name, role: u.Role, cookie: c.Value}, nil
		}
	}
	return who{}, nil
}

// slowed runs a check of a login unless the address gave too many wrong ones of late.
func (g *guard) slowed(r *http.Request, check func(from string) (who, error)) (who, error) {
	from := source(r.RemoteAddr)
	if g.mustWait(from, time.Now()) {
		return who{}, errSlow
	}
	w, err := check(from)
	if err != nil {
		return who{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.role != Nobody {
		delete(g.wrong, from)
		return w, nil
	}
	if _, known := g.wrong[from]; !known {
		g.roomForWrong()
	}
	g.wrong[from] = failures{g.wrong[from].n + 1, time.Now()}
	return w, nil
}

// source is what tells addresses apart: an IPv6 network of 64 bits is one.
func source(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		network, _ := ip.Prefix(64) //nolint:errcheck // 64 bits are never too many
		ip = network.Addr()
	}
	return ip.String()
}

// roomForWrong makes room for one more address with wrong logins: what does not count any more goes, else the oldest, so that nobody is
// forgiven because many others come. The caller holds mu.
func (g *guard) roomForWrong() {
	if len(g.wrong) < maxKept {
		return
	}
	oldest := ""
	for from, f := range g.wrong {
		switch {
		case time.Since(f.last) > slowFor:
			delete(g.wrong, from)
		case oldest == "" || f.last.Before(g.wrong[oldest].last):
			oldest = from
		}
	}
	if len(g.wrong) >= maxKept {
		delete(g.wrong, oldest)
	}
}

func (g *guard) mustWait(from string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.wrong[from]
	if now.Sub(f.last) > slowFor {
		delete(g.wrong, from)
		return false
	}
	return f.n >= freeTries && now.Sub(f.last) < slowTime
}

// room makes room in a map that shall not grow beyond maxKept: what is old goes first, else anything.
func room[K comparable, V any](m map[K]V, old func(V) bool) {
	if len(m) < maxKept {
		return
	}
	for k, v := range m {
		if old(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < maxKept {
			return
		}
		delete(m, k)
	}
}

// nobodysHash takes as long as a user's, so that a wrong name is not told by the time.
var nobodysHash = sync.OnceValue(func() []byte {
	h, _ := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost)
	return h
})

// password checks a user's password. Of those that come from one address at once only as many are tried as are being tried already
// when it has to wait.
func (g *guard) password(st *state, name, password, from string) (who, error) {
	u, known := st.logins[name]
	h := hmac.New(sha256.New, g.key[:])
	h.Write([]byte(u.Hash + "\x00" + name + "\x00" + password))
	key := [32]byte(h.Sum(nil))
	g.mu.Lock()
	right := known && time.Now().Before(g.right[key])
	g.mu.Unlock()
	if !right {
		hash := nobodysHash()
		if known {
			hash = []byte(u.Hash)
		}
		g.hashes <- struct{}{}
		if g.mustWait(from, time.Now()) { // because of what was found wrong since this request came
			<-g.hashes
			return who{}, errSlow
		}
		right = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
		<-g.hashes
	}
	if !right {
		return who{}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	room(g.right, func(until time.Time) bool { return time.Now().After(until) })
	g.right[key] = time.Now().Add(rememberFor)
	return who{name: u.Name, role: u.Role}, nil
}

// login starts a login on the page, and returns its cookie.
func (g *guard) login(user string) string {
	value := randomText()
	g.mu.Lock()
	defer g.mu.Unlock()
	room(g.cookies, func(c cookie) bool { return time.Now().After(c.until) })
	g.cookies[value] = cookie{user, randomText(), time.Now().Add(cookieFor)}
	return value
}

func (g *guard) cookie(value string) (cookie, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.cookies[value]
	return c, ok && time.Now().Before(c.until)
}

func randomText() string {
	b := make([]byte, 24)
	rand.Read(b) //nolint:errcheck // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
