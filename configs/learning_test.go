package configs

import "testing"

// TestOneMemberIsWhereToBeginAndAListIsAList: whom an operator left out of a list is left out on purpose.
func TestOneMemberIsWhereToBeginAndAListIsAList(t *testing.T) {
	for text, want := range map[string]bool{
		`cluster: {members: [{bolt: "a:1"}]}`:                                                               true,
		`cluster: {members: [{bolt: "a:1"}, {bolt: "b:1"}]}`:                                                false,
		`cluster: {discover: {dns: db.example.org}}`:                                                        false,
		`cluster: {members: [{bolt: "a:1"}], discover: {srv: _bolt._tcp.example.org}}`:                      false,
		`cluster: {members: [{bolt: "a:1"}], discover: {cluster: false}}`:                                   false,
		`cluster: {members: [{bolt: "a:1"}, {bolt: "b:1"}], discover: {cluster: true}}`:                     true,
		`cluster: {discover: {dns: db.example.org, cluster: true}}`:                                         true,
		`cluster: {members: [{bolt: "a:1"}], discover: {dns: "", srv: []}}`:                                 true,
		`cluster: {members: [{bolt: "a:1"}]}` + "\nfrontends: [{name: one, bind: \":1\", member: \"b:1\"}]": true,
	} {
		cfg, err := Parse("test.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := cfg.Cluster.Discover.Cluster; got != want {
			t.Errorf("%s: learning is %v; want %v", text, got, want)
		}
	}
}
