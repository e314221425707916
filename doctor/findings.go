package doctor

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what follows from the answers about members one by one, logins and passwords. Each function finds one kind of mistake.

var finders = []func(*facts) []Finding{
	down, logins, rights, passwords, operators, certificates, ownCertificates, advertisedByFrontends,
	leaders, readers, apart, otherClusters, sameServers, advertisedByMembers, clocks, versions,
}

// memberKey is the key of the n-th member of the view, which may have been found by DNS.
func memberKey(f *facts, n int) string {
	if n < len(f.o.Health.Members) {
		return fmt.Sprintf("cluster.members[%d]", n)
	}
	return "cluster.discover"
}

func down(f *facts) (all []Finding) {
	for n, s := range f.view.Members {
		if s.Up || s.Condition == cluster.Maint || len(f.members[n].wantsTLS) > 0 || strings.Contains(s.LastError, "TLS with") && len(f.members[n].certs) > 0 {
			continue
		}
		if f.members[n].refused != 0 || f.members[n].boltLogin != nil {
			continue
		}
		all = append(all, Finding{Level: Error, Code: "member-down", Member: s.Name, Key: memberKey(f, n),
			What: "the checks find it down: " + orNoAnswer(s.LastError), Do: "see that Neo4j runs there and that its addresses are right and reachable from here"})
	}
	return all
}

func orNoAnswer(text string) string {
	if text == "" {
		return "it has not answered"
	}
	return text
}

// logins: the checks are refused.
func logins(f *facts) (all []Finding) {
	for _, i := range f.members {
		user, what, do := f.o.Health.User, "", ""
		switch {
		case i.expired:
			what, do = fmt.Sprintf("the password of %s has to be changed before anything else", user), "log in as that user and change it; then set cluster.check.password_file"
		case i.boltLogin != nil:
			what, do = fmt.Sprintf("it refuses the login of %s: %v", user, i.boltLogin), "correct cluster.check.user and cluster.check.password_file"
		case i.refused != 0 && user == "":
			what, do = fmt.Sprintf("its role endpoints answer %d to checks without a login", i.refused), "set cluster.check.user and cluster.check.password_file"
		case i.refused != 0:
			what, do = fmt.Sprintf("its role endpoints answer %d to the login of %s", i.refused, user), "correct cluster.check.user and cluster.check.password_file; give that user the right to see the role endpoints"
		default:
			continue
		}
		code := "login-refused"
		if i.expired {
			code = "password-expired"
		}
		all = append(all, Finding{Level: Error, Code: code, Member: i.member.Name, Key: "cluster.check.user", What: what, Do: do})
	}
	return all
}

// rights: the user of the checks sees too little.
func rights(f *facts) (all []Finding) {
	for _, i := range f.members {
		if i.mayNotList != nil {
			all = append(all, Finding{Level: Warning, Code: "no-rights", Member: i.member.Name, Key: "cluster.check.user",
				What: fmt.Sprintf("the user %s may not list the servers of the cluster: %v", f.o.Health.User, i.mayNotList),
				Do:   "GRANT SHOW SERVERS ON DBMS to a role of that user (5.x), or use an administrator (4.4 and older): else members cannot be learned from members"})
		}
	}
	return all
}

// passwords: the one that Neo4j is installed with, or none.
func passwords(f *facts) (all []Finding) {
	if h := f.o.Health; h.User == factoryUser && h.Password == factoryPassword {
		all = append(all, Finding{Level: Error, Code: "default-password", Key: "cluster.check.password", What: "the checks log in with the password that Neo4j is installed with", Do: "change it at the members, and here"})
	}
	for _, i := range f.members {
		switch {
		case i.noAuth:
			all = append(all, Finding{Level: Warning, Code: "no-authentication", Member: i.member.Name, What: "it takes work from everybody: authentication is off",
				Do: "set dbms.security.auth_enabled=true, unless everybody who reaches the gate may do everything"})
		case i.factory:
			all = append(all, Finding{Level: Error, Code: "default-password", Member: i.member.Name, What: "it takes the password that Neo4j is installed with (neo4j)", Do: "log in as neo4j and change it"})
		}
	}
	return all
}

// guesses are what people take for passwords of pages of statistics.
var guesses = []string{"admin", "password", "123", "neo4j"}

// operators: passwords of the operator's side that anybody would guess.
func operators(f *facts) (all []Finding) {
	for n, u := range f.o.Users {
		for _, guess := range append([]string{u.Name}, guesses...) {
			if bcrypt.CompareHashAndPassword([]byte(u.Hash), []byte(guess)) == nil {
				all = append(all, Finding{Level: Warning, Code: "weak-password", Key: fmt.Sprintf("admin.users[%d].password", n),
					What: fmt.Sprintf("the password of %s on the operator's side is one that everybody tries first", u.Name), Do: "choose another; `boltgate hash` makes its hash"})
				break
			}
		}
	}
	return all
}

// advertisedByFrontends: where drivers are sent.
func advertisedByFrontends(f *facts) (all []Finding) {
	for n, front := range f.o.Frontends {
		for m, address := range front.Advertise {
			err := f.reach[address]
			if err == nil {
				continue
			}
			one := Finding{Level: Warning, Code: "advertise-unreachable", Key: fmt.Sprintf("frontends[%d].advertise[%d]", n, m),
				What: fmt.Sprintf("drivers are sent to %s, where nothing answers from here: %v", address, err), Do: "see that it is an address of this gate, or of another, that clients reach; when no gate runs yet, look again later"}
			if strings.Contains(err.Error(), "no such host") {
				one.Level, one.Do = Error, "advertise a name that clients can look up"
			}
			all = append(all, one)
		}
	}
	return all
}

// clocksApart and clocksFar are when clocks that differ are a warning, and an error.
const clocksApart, clocksFar = 2 * time.Second, 30 * time.Second

// clocks: members' clocks, against each other and ours.
func clocks(f *facts) (all []Finding) {
	var known []*interview
	for _, i := range f.members {
		if i.precision > 0 && i.precision < clocksApart {
			known = append(known, i)
		}
	}
	if len(known) == 0 {
		return nil
	}
	slices.SortFunc(known, func(a, b *interview) int { return int(a.offset - b.offset) })
	middle := known[len(known)/2].offset
	if len(known) < 3 {
		middle = 0 // ours decides between two
	}
	for _, i := range known {
		off := i.offset - middle
		if off.Abs() <= clocksApart+i.precision {
			continue
		}
		level := Warning
		if off.Abs() > clocksFar {
			level = Error
		}
		all = append(all, Finding{Level: level, Code: "clocks-apart", Member: i.member.Name, What: fmt.Sprintf("its clock is %s the others'", ahead(off)), Do: "keep all clocks by NTP"})
	}
	if middle.Abs() > clocksApart+time.Second {
		all = append(all, Finding{Level: Warning, Code: "clocks-apart", What: fmt.Sprintf("the members' clocks are %s this machine's", ahead(middle)), Do: "keep all clocks by NTP"})
	}
	return all
}

func ahead(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead of"
}

// versions: members of different releases.
func versions(f *facts) []Finding {
	by := map[string][]string{}
	for _, s := range f.view.Members {
		if s.Agent != "" {
			by[s.Agent] = append(by[s.Agent], s.Name)
		}
	}
	if len(by) < 2 {
		return nil
	}
	var words []string
	for agent, members := range by {
		words = append(words, agent+" on "+strings.Join(members, ", "))
	}
	slices.Sort(words)
	return []Finding{{Level: Warning, Code: "versions-apart", Key: "cluster.members", What: "members run different versions: " + strings.Join(words, "; "),
		Do: "finish the upgrade: clients are offered only what all members speak"}}
}

// isLoopback tells whether an address leads nowhere but to the machine that uses it.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}
