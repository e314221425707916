package cypher

import (
	"strings"
	"testing"
)

// flags is a verdict in the form that the tables use.
func (v Verdict) flags() string {
	s := v.Access.String()
	for _, f := range []struct {
		set  bool
		name byte
	}{{v.SelfCommitting, 's'}, {v.OneMember, 'o'}, {v.UsesUse, 'u'}, {v.System, 'y'}, {v.UserCommand, 'p'}} {
		if f.set {
			if !strings.Contains(s, " ") {
				s += " "
			}
			s += string(f.name)
		}
	}
	return s
}

func TestClassify(t *testing.T) {
	seen := map[string]bool{}
	for _, tc := range append(append([]testCase{}, readCases...), writeCases...) {
		if seen[tc.name] {
			t.Errorf("two cases are called %q", tc.name)
		}
		seen[tc.name] = true
		t.Run(tc.name, func(t *testing.T) {
			v := Classify([]byte(tc.query), nil)
			if got := v.flags(); got != tc.want {
				t.Errorf("got %s; want %s\n%s", got, tc.want, Underline(tc.query, v))
			}
			if s := ClassifyString(tc.query, nil); s != v {
				t.Errorf("Classify and ClassifyString differ: %+v, %+v", v, s)
			}
			if v.Start < 0 || v.End < v.Start || v.End > len(tc.query) || v.Reason == "" {
				t.Errorf("got %+v", v)
			}
		})
	}
}
