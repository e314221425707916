package standin

import (
	"slices"

	"github.com/boltgate/boltgate/bolt"
)

// hello answers INIT (1-2), HELLO with a login (3-5.0) and HELLO without one (5.1+).
func (c *boltConn) hello(m message) *bolt.Failure {
	extra := m.mapField(0)
	login := extra
	if c.v < bolt.V3 {
		login = m.mapField(1)
		if _, ok := m.field(0).(string); !ok {
			c.fatal(invalidRequest("Expected the user agent to be a text."))
			return nil
		}
	} else if f := c.checkHello(extra); f != nil {
		c.fatal(f)
		return nil
	}
	if c.v < bolt.V5_1 {
		user, f := c.m.logsOn(login)
		if f != nil {
			c.fatal(f)
			return nil
		}
		c.asker.user, c.state = user, ready
		c.loggedIn()
	} else {
		c.state = authentication
	}
	if c.v >= bolt.V4_1 {
		c.asker.routed = extra["routing"] != nil
	}
	g := c.greeting(extra)
	if c.state == ready && c.m.c.isExpired(c.asker.user) {
		g["credentials_expired"] = true
	}
	c.out.success(g)
	return nil
}

func (c *boltConn) checkHello(extra map[string]any) *bolt.Failure {
	if _, ok := extra["user_agent"].(string); !ok {
		return invalidRequest("Illegal value for field \"user_agent\": Expected value to be non-null")
	}
	if c.v < bolt.V5_3 {
		return nil
	}
	agent, _ := extra["bolt_agent"].(map[string]any)
	if _, ok := agent["product"].(string); !ok {
		return invalidRequest("Illegal value for field \"bolt_agent\": Expected map to contain key: 'product'.")
	}
	return nil
}

// greeting is HELLO's SUCCESS (facts of Neo4j, "Answers: metadata").
func (c *boltConn) greeting(extra map[string]any) map[string]any {
	g := map[string]any{"server": "Neo4j/" + c.m.release().text}
	if c.v >= bolt.V3 {
		g["connection_id"] = c.connectionID()
	}
	if c.m.release().atLeast(4, 3) {
		hints := make(map[string]any)
		if c.m.release().atLeast(5, 0) {
			hints["connection.recv_timeout_seconds"] = int64(120)
		}
		if c.v >= bolt.V5_8 {
			hints["ssr.enabled"] = c.m.c.opt.SSR
		}
		g["hints"] = hints
	}
	if patches, ok := extra["patch_bolt"].([]any); ok && (c.v == bolt.V4_3 || c.v == bolt.V4_4) && c.m.release().knowsUTC() && slices.Contains(patches, any("utc")) {
		c.utc = true
		g["patch_bolt"] = []any{"utc"}
	}
	if c.manifest {
		g["protocol_version"] = c.v.String()
	}
	return g
}

func (c *boltConn) logon(m message) *bolt.Failure {
	user, f := c.m.logsOn(m.mapField(0))
	if f != nil {
		c.fatal(f)
		return nil
	}
	c.asker.user, c.state = user, ready
	c.loggedIn()
	meta := make(map[string]any)
	if c.v >= bolt.V5_8 {
		meta["advertised_address"] = c.m.bolt()
	}
	if c.m.c.isExpired(user) {
		meta["credentials_expired"] = true
	}
	c.out.success(meta)
	return nil
}

func (c *boltConn) logoff(message) *bolt.Failure {
	c.asker.user, c.state = "", authentication
	c.out.success(nil)
	return nil
}
