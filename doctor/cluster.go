package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what follows from the answers of several members together: who leads, who reads, whether they are one cluster.

// leaders: work that waits in vain.
func leaders(f *facts) (all []Finding) {
	v := f.view
	if s := f.saidOf("roles unknown"); s != nil && v.Leader("") == nil {
		return []Finding{{Level: Error, Code: "roles-unknown", Key: "cluster.check.user", What: "members do not tell the checks who leads: " + s.fields["refusal"], Do: strings.TrimPrefix(s.text, "roles unknown: ")}}
	}
	if v.Generation == cluster.UnknownGeneration && anyUp(v) {
		return []Finding{{Level: Error, Code: "roles-unknown", Key: "cluster.generation", What: "which kind of cluster this is cannot be told, so that all work waits",
			Do: "set cluster.generation, or give cluster.check a user that may see roles"}}
	}
	for _, db := range databases(v) {
		if v.Leader(db) == nil && !stopped(v, db) {
			all = append(all, Finding{Level: Error, Code: "no-leader", Key: "cluster.members", What: word(db) + " has no leader: writes wait for failover.hold, and then fail",
				Do: "see that most members run, and that they reach each other"})
		}
	}
	return all
}

func anyUp(v *cluster.View) bool {
	return slices.ContainsFunc(v.Members, func(s *cluster.Status) bool { return s.Up })
}

func stopped(v *cluster.View, db string) bool {
	return slices.ContainsFunc(v.Members, func(s *cluster.Status) bool { return s.Stopped[db] })
}

func word(db string) string {
	if db == cluster.AnyDatabase {
		return "the cluster"
	}
	return "the database " + db
}

// readers: nobody but the leader serves reads.
func readers(f *facts) (all []Finding) {
	if f.view.Generation == cluster.Standalone || len(f.view.Members) < 2 {
		return nil
	}
	for _, db := range databases(f.view) {
		if db == "system" || f.view.Leader(db) == nil {
			continue
		}
		found := false
		for range f.view.Readers(db) {
			found = true
		}
		if !found {
			all = append(all, Finding{Level: Warning, Code: "no-reader", Key: "cluster.members", What: word(db) + " has no member that serves reads but its leader",
				Do: "add a follower or a replica, or see why those that are listed are not up"})
		}
	}
	return all
}

// saidOf is the first warning of health's that begins so.
func (f *facts) saidOf(prefix string) *saying {
	for i := range f.said {
		if strings.HasPrefix(f.said[i].text, prefix) {
			return &f.said[i]
		}
	}
	return nil
}

// apart: databases of one name that are different ones, and members that health does not use for being of another kind.
func apart(f *facts) (all []Finding) {
	for _, s := range f.said {
		key := f.keyOf(s.fields["member"])
		switch {
		case strings.HasPrefix(s.text, "a member's database is another one"):
			all = append(all, Finding{Level: Error, Code: "other-store", Member: s.fields["member"], Key: key,
				What: fmt.Sprintf("%s is another one than the others' (%s, theirs %s): it came back empty, or belongs to another cluster", strings.TrimSpace("its database "+s.fields["db"]), s.fields["id"], s.fields["cluster's"]),
				Do:   "take it out of cluster.members, or have it join the cluster again with the cluster's store"})
		case strings.HasPrefix(s.text, "the member is of another generation"), strings.HasPrefix(s.text, "the member belongs to no cluster"):
			all = append(all, Finding{Level: Error, Code: "other-cluster", Member: s.fields["member"], Key: key, What: s.text, Do: "take it out of cluster.members, or have it join the cluster"})
		}
	}
	return all
}

func (f *facts) keyOf(member string) string {
	for n, s := range f.view.Members {
		if s.Name == member {
			return memberKey(f, n)
		}
	}
	return "cluster.members"
}

// tokens are what a member tells of the servers of its cluster, in a form that is the same whoever tells.
func tokens(h cluster.Heard) map[string]bool {
	set := map[string]bool{}
	for _, s := range h.Servers {
		switch { // ids of HA are 1, 2, 3 in every cluster
		case s.Peer != "":
			set[s.Peer] = true
		case s.ID != "":
			set[s.ID] = true
		default:
			set[s.Bolt] = true
		}
	}
	return set
}

// otherClusters: members of one cluster tell of the same servers; two that tell of none in common belong to two clusters.
func otherClusters(f *facts) (all []Finding) {
	var told []cluster.Heard
	for _, h := range f.heard {
		if h.Up && len(h.Servers) > 0 {
			told = append(told, h)
		}
	}
	groups := [][]cluster.Heard{}
	for _, h := range told {
		n := slices.IndexFunc(groups, func(g []cluster.Heard) bool { return overlap(tokens(g[0]), tokens(h)) })
		if n < 0 {
			groups = append(groups, []cluster.Heard{h})
		} else {
			groups[n] = append(groups[n], h)
		}
	}
	if len(groups) < 2 {
		return nil
	}
	var words []string
	for _, g := range groups {
		var members []string
		for _, h := range g {
			members = append(members, h.Name)
		}
		words = append(words, strings.Join(members, " and "))
	}
	return []Finding{{Level: Error, Code: "other-cluster", Key: "cluster.members", What: "members belong to different clusters: " + strings.Join(words, "; "),
		Do: "list the members of one cluster; a gate serves one"}}
}

func overlap(a, b map[string]bool) bool {
	for t := range a {
		if b[t] {
			return true
		}
	}
	return false
}

// sameServers: one server under two names gets twice the work, and its loss counts as that of two.
func sameServers(f *facts) (all []Finding) {
	byID, byAddress := map[string]string{}, map[string]string{}
	for _, h := range f.heard {
		what := ""
		switch id, address := h.Self.ID, h.Self.Bolt; {
		case len(id) > 8 && byID[id] != "": // a UUID; those of HA are not
			what = fmt.Sprintf("it is the same server as %s, under another address", byID[id])
		case address != "" && byAddress[address] != "":
			what = fmt.Sprintf("it advertises %s as %s does: one server under two addresses, or two servers that advertise one", address, byAddress[address])
		}
		if what != "" {
			all = append(all, Finding{Level: Error, Code: "same-server", Member: h.Name, Key: f.keyOf(h.Name), What: what, Do: "list each server once, and give each an advertised address of its own"})
		}
		byID[h.Self.ID], byAddress[h.Self.Bolt] = h.Name, h.Name
	}
	return all
}

// stranger is an address that a member advertises and no member of the configuration has.
type stranger struct {
	advertised string
	reach      string // where it is dialled: cluster.addresses
	teller     string
	own        bool // the teller's own
}

// strangers are the advertised Bolt addresses that are not those of the configuration.
func (f *facts) strangers() (all []stranger) {
	configured := map[string]bool{}
	for _, m := range f.view.Members {
		configured[strings.ToLower(m.Bolt)] = true
	}
	seen := map[string]bool{}
	add := func(s stranger) {
		s.reach = s.advertised
		if to := f.o.Health.Addresses[s.advertised]; to != "" {
			s.reach = to
		}
		if s.advertised != "" && !seen[s.advertised] && !configured[strings.ToLower(s.reach)] {
			seen[s.advertised] = true
			all = append(all, s)
		}
	}
	for _, h := range f.heard {
		add(stranger{advertised: h.Self.Bolt, teller: h.Name, own: true})
	}
	for _, h := range f.heard {
		for _, s := range h.Servers {
			add(stranger{advertised: s.Bolt, teller: h.Name})
		}
	}
	return all
}

// advertisedByMembers: addresses that lead nowhere, for the gate when it learns members and for drivers that go past it.
func advertisedByMembers(f *facts) (all []Finding) {
	for _, s := range f.strangers() {
		configured := ""
		if m := f.view.Member(s.teller); m != nil {
			configured = m.Bolt
		}
		own := "it advertises " + s.advertised
		if !s.own {
			own = "it tells of a server at " + s.advertised
		}
		switch err := f.reach[s.reach]; {
		case isLoopback(s.reach) && configured != "" && !isLoopback(configured):
			all = append(all, Finding{Level: Warning, Code: "advertised-loopback", Member: s.teller, Key: f.keyOf(s.teller), What: own + ", which every client takes for itself",
				Do: "set the member's server.default_advertised_address (dbms.default_advertised_address before 5.0), or map the address in cluster.addresses"})
		case err != nil:
			all = append(all, Finding{Level: Warning, Code: "advertised-unreachable", Member: s.teller, Key: f.keyOf(s.teller), What: fmt.Sprintf("%s, where nothing answers from here: %v", own, err),
				Do: "set the member's advertised address to one that clients reach, or map it in cluster.addresses"})
		}
	}
	return all
}
