package bolt

import (
	"fmt"
	"io"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// authKeys are the keys of an authentication map, in the order in which Auth keeps them (Bolt specification, "LOGON").
var authKeys = [...]string{"scheme", "principal", "credentials", "realm", "parameters"}

// Auth is how a client proves who it is: the entries of INIT's or LOGON's auth map, or those of HELLO up to 5.0. Its zero
// value has no entries, which servers treat like scheme none. Two Auths with equal Entries are the same login.
type Auth struct {
	Scheme    string
	Principal string
	Entries   string // encoded pairs of key and value, in a fixed order; secret
	count     int
}

// Basic returns the Auth of a user with a password.
func Basic(user, password string) Auth {
	return newAuth(map[string][]byte{
		"scheme":      packstream.AppendString(nil, "basic"),
		"principal":   packstream.AppendString(nil, user),
		"credentials": packstream.AppendString(nil, password),
	})
}

// ParseAuth takes the authentication out of an encoded map that may hold other keys too.
func ParseAuth(encoded []byte) (Auth, error) {
	d := packstream.NewDecoder(encoded)
	values := make(map[string][]byte, len(authKeys))
	for range d.Map() {
		key := string(d.String())
		raw := d.Raw()
		for _, k := range authKeys {
			if k == key {
				values[key] = raw
			}
		}
	}
	if d.Err() != nil {
		return Auth{}, fmt.Errorf("bolt: reading authentication: %w", d.Err())
	}
	return newAuth(values), nil
}

func newAuth(values map[string][]byte) Auth {
	var a Auth
	var entries []byte
	for _, key := range authKeys {
		raw, ok := values[key]
		if !ok {
			continue
		}
		entries = append(packstream.AppendString(entries, key), raw...)
		a.count++
		d := packstream.NewDecoder(raw)
		switch {
		case d.Kind() != packstream.KindString:
		case key == "scheme":
			a.Scheme = string(d.String())
		case key == "principal":
			a.Principal = string(d.String())
		}
	}
	a.Entries = string(entries)
	return a
}

// Encoded is the map by which ParseAuth makes this Auth again. It is secret.
func (a Auth) Encoded() []byte { return a.appendMap(nil, nil, 0) }

// Password is the entry credentials, when that is a string. It is secret.
func (a Auth) Password() (password string, ok bool) {
	for d := packstream.NewDecoder([]byte(a.Entries)); d.Len() > 0 && d.Err() == nil; {
		key := string(d.String())
		if key == "credentials" && d.Kind() == packstream.KindString {
			password, ok = string(d.String()), d.Err() == nil
			continue
		}
		d.Skip()
	}
	return password, ok
}

// String names scheme and principal, never the secret.
func (a Auth) String() string { return a.Scheme + " " + a.Principal }

// GoString is String, so that %#v does not print the secret either.
func (a Auth) GoString() string { return a.String() }

// Format is String for every verb: those for numbers would print the fields as they are.
func (a Auth) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) } //nolint:errcheck // fmt ignores it too

// MarshalText is String, for encoders and structured logs.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// appendMap appends the auth map, with extra (encoded pairs, extraCount of them) in front.
func (a Auth) appendMap(b, extra []byte, extraCount int) []byte {
	b = packstream.AppendMap(b, extraCount+a.count)
	return append(append(b, extra...), a.Entries...)
}
