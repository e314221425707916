package proxy

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns gate users: names whose passwords the gate verifies itself, and whose work members see as that of another
// user. They give a limited user to servers that have no roles. Over HTTP see gate_users_http.go.

// User is a gate user. Its name hides a user of that name at the members.
type User struct {
	Name     string
	Password string // secret; never empty
	ReadOnly bool   // refused writes on every frontend

	MemberUser     string // by whom its work is done at the members
	MemberPassword string // secret
}

// Format shows who it is, never a password.
func (u User) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s as %s", u.Name, u.MemberUser) }

// MarshalText is Format, for encoders and structured logs.
func (u User) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(u)), nil }

// gateUser is a User as it is kept. It never changes: a reload keeps those that stay the same, and makes others anew, so that
// a session can tell by the pointer whether it is still welcome.
type gateUser struct {
	name     string
	readOnly bool
	password [sha256.Size]byte // keyed
	auth     bolt.Auth         // for members
	header   string            // the same as a line of an HTTP head
}

// gateUsers is all of them.
type gateUsers struct {
	key    []byte // of this process
	byName map[string]*gateUser
}

// newGateUsers takes over from old, which may be nil, what has not changed. Without users it is nil, as most gates have none.
func newGateUsers(list []User, old *gateUsers) *gateUsers {
	if len(list) == 0 {
		return nil
	}
	g := &gateUsers{byName: map[string]*gateUser{}}
	if old != nil {
		g.key = old.key
	} else {
		g.key = make([]byte, sha256.Size)
		rand.Read(g.key) //nolint:errcheck // never fails (crypto/rand)
	}
	for _, u := range list {
		member := u.MemberUser + ":" + u.MemberPassword
		made := &gateUser{
			name: u.Name, readOnly: u.ReadOnly, password: g.sum(u.Password), auth: bolt.Basic(u.MemberUser, u.MemberPassword),
			header: "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(member)) + "\r\n",
		}
		if old != nil && old.byName[u.Name] != nil && *old.byName[u.Name] == *made {
			made = old.byName[u.Name]
		}
		g.byName[u.Name] = made
	}
	if old != nil && maps.Equal(g.byName, old.byName) {
		return old
	}
	return g
}

// sum is a keyed hash, for comparisons whose time says nothing about the secret.
func (g *gateUsers) sum(secret string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, g.key)
	h.Write([]byte(secret))
	h.Sum(sum[:0])
	return sum
}

// has tells whether u is still one of them, unchanged.
func (g *gateUsers) has(u *gateUser) bool { return g != nil && g.byName[u.name] == u }

var errWrongPassword = errors.New("proxy: a gate user's password was wrong")

// verifyUser tells whether password is that of the user, after the wait that the address has earned. A name that is none of
// them is nil without an error.
func (s *Server) verifyUser(ctx context.Context, g *gateUsers, name, password, remote string) (*gateUser, error) {
	u := g.byName[name]
	if u == nil {
		return nil, nil
	}
	if err := s.throttle.turn(ctx, remote); err != nil {
		return nil, err
	}
	given := g.sum(password)
	if !hmac.Equal(given[:], u.password[:]) {
		s.throttle.bad(remote)
		s.log.Warn("a gate user's password was wrong", "user", name, "client", remote)
		return nil, errWrongPassword
	}
	s.throttle.good(remote)
	return u, nil
}

// admit replaces the login of a gate user by that for the members. Other logins are left as they are.
func (s *boltSession) admit(ctx context.Context, auth bolt.Auth) (bolt.Auth, error) {
	s.gateUser = nil
	users := s.srv.users.Load()
	if users == nil || users.byName[auth.Principal] == nil {
		return auth, nil
	}
	password, ok := auth.Password()
	u, err := s.srv.verifyUser(ctx, users, auth.Principal, password, s.remote)
	if err == nil && (!ok || auth.Scheme != "basic") { // by another scheme it is no user of the members' either
		err = errWrongPassword
	}
	switch {
	case errors.Is(err, errWrongPassword):
		s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeUnauthorized, unauthorized)
	case errors.Is(err, errTooMany):
		s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeAuthRate, tooMany)
	}
	if err != nil {
		return auth, fmt.Errorf("%w (session %s)", err, s.id)
	}
	s.gateUser = u
	return u.auth, nil
}

// What servers say of a wrong password, and of the next after too many, word for word.
const (
	unauthorized = "The client is unauthorized due to authentication failure."
	tooMany      = "The client has provided incorrect authentication details too many times in a row."
)

// userChanged ends the session of a gate user that a reload changed or took away. Drivers come back with a
// new connection, which is judged anew.
func (s *boltSession) userChanged() error {
	s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeAuthExpired, "boltgate: the user has changed since this connection was logged on; please log on again")
	return fmt.Errorf("%w: the gate user %s has changed", errClosed, s.gateUser.name)
}

// memberRefused is what the client of a gate user is told when the members do not take the login that the operator gave it.
func (s *boltSession) memberRefused(f *bolt.Failure) error {
	s.srv.log.Error("members refuse the login that users gives a gate user: put member_user and member_password right",
		"user", s.gateUser.name, "code", f.Code)
	s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeUnauthorized,
		"boltgate: the members do not accept the login that the gate has for this user; its operator has to put that right")
	return fmt.Errorf("proxy: a member refused the login of a gate user: %s", f.Code)
}

// userName is for logs: a gate user's name, else nothing.
func (s *boltSession) userName() string {
	if s.gateUser == nil {
		return ""
	}
	return s.gateUser.name
}

// basicLogin reads an Authorization header of scheme Basic, in any of the spellings that a server may take. ok is false for
// other schemes; a header of this one that cannot be read has an error.
func basicLogin(header []byte) (user, password string, ok bool, err error) {
	if len(header) < 5 || !equalFold(header[:5], "basic") {
		return "", "", false, nil
	}
	text := bytes.TrimRight(bytes.Trim(header[5:], " \t"), "=")
	for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		plain, err := coding.DecodeString(string(text))
		if err != nil {
			continue
		}
		if user, password, found := bytes.Cut(plain, []byte(":")); found {
			return string(user), string(password), true, nil
		}
	}
	return "", "", true, errors.New("proxy: a Basic Authorization header that cannot be read")
}
