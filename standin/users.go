package standin

import (
	"encoding/json"
	"net/http"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// SetPassword adds a user or changes its password; connections that are logged on stay.
func (c *Cluster) SetPassword(user, password string) {
	c.change(func() { c.setPassword(user, password) })
}

// setPassword is called with mu held.
func (c *Cluster) setPassword(user, password string) {
	c.users[user] = password
	delete(c.expired, user)
}

// DropUser takes a user away; connections that are logged on stay.
func (c *Cluster) DropUser(user string) { c.change(func() { delete(c.users, user) }) }

// ExpirePassword makes a user have to change the password before anything else.
func (c *Cluster) ExpirePassword(user string) { c.change(func() { c.expired[user] = true }) }

// LimitUser takes from a user the right to see servers and settings.
func (c *Cluster) LimitUser(user string) { c.change(func() { c.limited[user] = true }) }

// mayNotSee refuses a limited user what only administrators see: procedures by upper-case name, and what stands behind SHOW.
func (t *transaction) mayNotSee(what string) *bolt.Failure {
	t.m.c.mu.Lock()
	defer t.m.c.mu.Unlock()
	switch what {
	case "SERVERS", "SERVER", "SETTINGS", "DBMS.CLUSTER.OVERVIEW", "DBMS.LISTCONFIG":
		if t.m.c.limited[t.user] {
			return failure(bolt.CodeForbidden, "Permission denied for user '%s'.", t.user)
		}
	}
	return nil
}

func (c *Cluster) isExpired(user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expired[user]
}

func unauthorized(format string, args ...any) *bolt.Failure {
	return failure(bolt.CodeUnauthorized, format, args...)
}

// TurnAway has a member answer every log-on over Bolt with a failure of this code, whoever it is, as one does that has no threads left or is about
// to stop; "" ends that.
func (c *Cluster) TurnAway(name, code string) error {
	if _, err := c.known(name); err != nil {
		return err
	}
	c.change(func() { c.turnsAway[name] = code })
	return nil
}

// logsOn is authenticate at a member.
func (m *member) logsOn(login map[string]any) (string, *bolt.Failure) {
	m.c.mu.Lock()
	code := m.c.turnsAway[m.name]
	m.c.mu.Unlock()
	if code != "" {
		return "", failure(code, "This member takes no log-ons.")
	}
	return m.c.authenticate(login)
}

// authenticate checks an auth map and returns the user's name.
func (c *Cluster) authenticate(login map[string]any) (string, *bolt.Failure) {
	scheme, _ := login["scheme"].(string)
	principal, _ := login["principal"].(string)
	credentials, _ := login["credentials"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch scheme {
	case "", "none":
		if c.opt.NoAuth {
			return principal, nil
		}
		return "", unauthorized("Unsupported authentication token, scheme '%s' is only allowed when auth is disabled.", orElse(scheme, "none"))
	case "bearer":
		if user, ok := c.opt.Tokens[credentials]; ok {
			return user, nil
		}
	default:
		if password, ok := c.users[principal]; c.opt.NoAuth || ok && password == credentials {
			return principal, nil
		}
	}
	return "", unauthorized("The client is unauthorized due to authentication failure.")
}

// The two ways to change one's own password: the command of 4.0 and later, and the procedure before it.
var (
	alterPassword  = lazyregexp.New(`(?is)^\s*ALTER\s+CURRENT\s+USER\s+SET\s+PASSWORD\s+FROM\s+(\S+)\s+TO\s+(\S+?)\s*;?\s*$`)
	changePassword = lazyregexp.New(`(?is)^\s*CALL\s+dbms\.(?:security\.)?changePassword\(\s*(\S+?)\s*\)\s*;?\s*$`)
)

// ownPassword carries out a change of the user's own password; known is false for every other text, which an expired
// password forbids.
func (t *transaction) ownPassword(text string, params map[string]any) (r *result, f *bolt.Failure, known bool) {
	c := t.m.c
	if m := alterPassword.FindStringSubmatch(text); m != nil && t.m.release().multi() {
		old, next := textOf(m[1], params), textOf(m[2], params)
		c.mu.Lock()
		same := c.users[t.user] == old
		c.mu.Unlock()
		if !same {
			return nil, failure(codeArgumentError, "User '%s' failed to alter their own password: Invalid principal or credentials.", t.user), true
		}
		r, f = t.onSystem(text, func(c *Cluster) { c.setPassword(t.user, next) })
		return r, f, true
	}
	if m := changePassword.FindStringSubmatch(text); m != nil && !t.m.release().multi() {
		next := textOf(m[1], params)
		c.change(func() { c.setPassword(t.user, next) })
		return table([]string{}), nil, true
	}
	if c.isExpired(t.user) {
		return nil, failure(bolt.CodeCredentialsExpired, "The credentials you provided were valid, but must be changed before you can use this instance."), true
	}
	return nil, nil, false
}

func textOf(literalText string, params map[string]any) string {
	text, _ := literal(literalText, params).(string)
	return text
}

// passwordDue answers a request of 3.x and before whose user must change the password; true: it was answered.
func (h *httpRequest) passwordDue() bool {
	if h.m.release().multi() || h.user == "" || !h.m.c.isExpired(h.user) || h.r.URL.Path == h.passwordPath() {
		return false
	}
	h.json(http.StatusForbidden, map[string]any{
		"password_change": h.base() + h.passwordPath(),
		"errors":          errorList(failure(bolt.CodeForbidden, "User is required to change their password.")),
	})
	return true
}

func (h *httpRequest) passwordPath() string { return "/user/" + h.user + "/password" }

// changePassword answers POST /user/{name}/password of 3.x and before.
func (h *httpRequest) changePassword() {
	var body struct {
		Password string `json:"password"`
	}
	if err := json.NewDecoder(h.r.Body).Decode(&body); err != nil || body.Password == "" {
		h.failure(http.StatusBadRequest, failure(bolt.CodeInvalidFormat, "Required parameter 'password' is missing."))
		return
	}
	h.m.c.SetPassword(h.user, body.Password)
	h.w.WriteHeader(http.StatusOK)
}
