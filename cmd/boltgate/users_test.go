package main

import (
	"slices"
	"testing"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/proxy"
)

// What limits a client reaches the proxy as it stands in the file, and what the file leaves out is the stricter.
func TestLimitsReachTheProxy(t *testing.T) {
	cfg, err := configs.Parse("boltgate.yaml", []byte(`
frontends:
  - {name: main, bind: ":7687"}
  - {name: look, bind: ":7688", access: read-only}
  - {name: read, bind: ":7689", access: read}
  - {name: write, bind: ":7690", access: write}
cluster: {members: [{bolt: "10.0.0.1:7687", http: "10.0.0.1:7474"}]}
users:
  - {name: agent, password: a, member_user: reports, member_password: r}
  - {name: limited, password: l, access: read-only, member_user: reports, member_password: r}
  - {name: editor, password: e, access: any, member_user: neo4j, member_password: n}
`))
	if err != nil {
		t.Fatal(err)
	}
	fronts, err := frontends(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []proxy.Access{proxy.AccessAny, proxy.AccessReadOnly, proxy.AccessRead, proxy.AccessWrite} {
		if fronts[i].Access != want {
			t.Errorf("frontend %s has access %v, want %v", fronts[i].Name, fronts[i].Access, want)
		}
	}
	want := []proxy.User{
		{Name: "agent", Password: "a", ReadOnly: true, MemberUser: "reports", MemberPassword: "r"},
		{Name: "limited", Password: "l", ReadOnly: true, MemberUser: "reports", MemberPassword: "r"},
		{Name: "editor", Password: "e", MemberUser: "neo4j", MemberPassword: "n"},
	}
	if got := proxyOptions(cfg).Users; !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
