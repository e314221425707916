package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The entry that the reference shows as a comment is one that can be copied.
func TestTheReferencesGateUser(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	from := strings.Index(string(text), "#   - name: dashboard")
	entry, _, found := strings.Cut(string(text[from:]), "\nusers: []\n")
	if !found {
		t.Fatal("the reference has no entry of users")
	}
	dir := t.TempDir()
	for _, name := range []string{"dashboard", "reports"} {
		if err := os.WriteFile(filepath.Join(dir, name+".secret"), []byte("of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "boltgate.yaml")
	entry = regexp.MustCompile(`(?m)^#  `).ReplaceAllString(entry, "")
	if err := os.WriteFile(file, []byte("cluster: {members: [{bolt: \"10.0.0.1:7687\"}]}\nusers:\n"+entry+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []User{{Name: "dashboard", Password: cfg.Users[0].Password, Access: "read-only", MemberUser: "reports", MemberPassword: cfg.Users[0].MemberPassword}}
	if !slices.Equal(cfg.Users, want) || cfg.Users[0].Password.Value() != "of dashboard" || cfg.Users[0].MemberPassword.Value() != "of reports" {
		t.Errorf("got %+v", cfg.Users)
	}
}

func TestAGateUserReadsOnlyUnlessToldOtherwise(t *testing.T) {
	const one = "cluster: {members: [{bolt: \"a:1\"}]}\nusers: [{name: x, password: p, member_user: y, member_password: q"
	for access, want := range map[string]string{"": "read-only", ", access: read-only": "read-only", ", access: any": "any"} {
		cfg, err := Parse("f", []byte(one+access+"}]\n"))
		if err != nil || cfg.Users[0].Access != want {
			t.Errorf("%q: got %+v, %v", access, cfg, err)
		}
	}
}
