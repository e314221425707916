package migrate

import (
	"fmt"
	"strings"
	"testing"
)

// TestWhomAChecksFinds plays a leader's and a follower's answers to each kind of check.
func TestWhomACheckFinds(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"option httpchk GET /db/manage/server/ha/master", "ha leader"},
		{"option httpchk HEAD /db/manage/server/ha/master HTTP/1.0", "ha leader"},
		{"option httpchk /db/manage/server/ha/slave", "ha others"},
		{"option httpchk GET /db/manage/server/ha/available", "ha leader others"},
		{"option httpchk GET /db/manage/server/ha/available|http-check expect string master", "ha leader"},
		{"option httpchk GET /db/manage/server/ha/available|http-check expect ! string master", "ha others"},
		{"option httpchk GET /db/manage/server/ha/available|http-check expect rstring ^(master|slave)$", "ha leader others"},
		{"option httpchk GET /db/manage/server/ha/available|http-check expect rstring slave", "ha others"},
		{"option httpchk GET /db/manage/server/ha/master|http-check expect status 404", "ha others"},
		{"option httpchk GET /db/manage/server/ha/master|http-check expect ! rstatus ^2", "ha others"},
		{"option httpchk GET /db/manage/server/ha/master|http-check expect status 200-204,404", "ha leader others"},
		{"option httpchk GET /db/manage/server/causalclustering/writable", "causal leader"},
		{"option httpchk GET /db/manage/server/causalclustering/read-only", "causal others"},
		{"option httpchk GET /db/manage/server/causalclustering/available", "causal leader others"},
		{"option httpchk GET /db/manage/server/core/writable|http-check expect string true", "causal leader"},
		{"option httpchk GET /db/manage/server/read-replica/available", "causal others"},
		{"option httpchk GET /db/neo4j/cluster/writable", " leader"},
		{"option httpchk|http-check send meth GET uri /db/neo4j/cluster/read-only hdr Host x", " others"},
		{"option httpchk GET /", " leader others"},
		{"balance roundrobin", " leader others"},
	} {
		text := "backend b\n"
		for _, l := range strings.Split(c.lines, "|") {
			text += " " + l + "\n"
		}
		sections, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		n := new(notes)
		s := sort(sections, n).backends["b"].checkOf(n).selects(n)
		got := s.generation
		for word, is := range map[string]bool{" leader": s.leader} {
			if is {
				got += word
			}
		}
		if s.others {
			got += " others"
		}
		if got != c.want {
			t.Errorf("%s: got %q; want %q", c.lines, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`  server s1 10.0.0.1:7474 # the first`, `["server" "s1" "10.0.0.1:7474"]`},
		{`option httpchk GET / HTTP/1.0\r\nAuthorization:\ Basic\ x==`, `["option" "httpchk" "GET" "/" "HTTP/1.0\r\nAuthorization: Basic x=="]`},
		{`a "b c" 'd\n' e\#f ""`, `["a" "b c" "d\\n" "e#f" ""]`},
		{`rstring ^\d+\.x$`, `["rstring" "^\\d+\\.x$"]`},
		{"\tx\ty\\", `["x" "y\\"]`},
		{"# nothing", `[]`},
	} {
		words, err := split(c.text)
		if got := fmt.Sprintf("%q", words); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.text, got, err, c.want)
		}
	}
}
