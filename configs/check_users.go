package configs

// This file owns the checks of gate users.

import (
	"fmt"
	"strings"
)

func (c *checker) users() {
	names := map[string]int{}
	for i := range c.config.Users {
		u := &c.config.Users[i]
		key := fmt.Sprintf("users[%d]", i)
		first, found := names[u.Name]
		switch {
		case u.Name == "":
			c.fault(key+".name", "needs a name")
		case strings.ContainsAny(u.Name, ":\x00"):
			c.fault(key+".name", "a name has no colon, for HTTP could not tell where it ends (found %s)", c.words(key+".name", u.Name))
		case found:
			c.fault(key+".name", "users[%d] has this name already (found %s)", first, c.words(key+".name", u.Name))
		}
		names[u.Name] = i
		if u.MemberUser == "" || strings.Contains(u.MemberUser, ":") {
			c.fault(key+".member_user", "needs the name, without a colon, of the user at the members by whom its work is done")
		}
		c.secret(key+".password", u.Password)
		c.secret(key+".member_password", u.MemberPassword)
	}
}

// secret checks that there is one.
func (c *checker) secret(key string, s Secret) {
	if s.Value() == "" && !c.faults.under(key) && !c.faults.under(key+"_file") {
		c.fault(key, "needs a password; give %s_file or %s", key, key)
	}
}
