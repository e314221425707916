package configs

// This file owns the checks of limits.

import "fmt"

const leastMemory Size = 32 << 20

func (c *checker) limits() {
	l := &c.config.Limits
	if l.Memory > 0 && l.Memory < leastMemory {
		c.fault("limits.memory", "must be 0 or at least %v: the gate itself needs some (found %v)", leastMemory, l.Memory)
	}
	names := map[string]int{}
	for i, u := range l.Users {
		key := fmt.Sprintf("limits.users[%d]", i)
		if first, found := names[u.Name]; u.Name == "" {
			c.fault(key+".name", "needs the name of a user")
		} else if found {
			c.fault(key+".name", "limits.users[%d] has this name already (found %s)", first, c.words(key+".name", u.Name))
		} else {
			names[u.Name] = i
		}
	}
	if r := l.Rate; r.Burst > 0 && r.User == 0 && r.Address == 0 && !anyRate(l.Users) {
		c.warn("limits.rate.burst", "there is no rate that it could belong to")
	}
}

func anyRate(users []LimitedUser) bool {
	for _, u := range users {
		if u.Rate > 0 {
			return true
		}
	}
	return false
}
