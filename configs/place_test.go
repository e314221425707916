package configs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPlacesOfKeys(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml")
	for name, text := range map[string]string{
		one: "cluster:\n  members:\n    - {name: a, bolt: x}\n    - {name: b}\n  check:\n    user: u\n    password_file: p\n",
		two: "cluster:\n  check: {user: v}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := Places(one, two, filepath.Join(dir, "none.yaml"))
	for key, want := range map[string]string{
		"cluster.members[0].bolt": one + ":3:23", "cluster.members[1]": one + ":4:7", "cluster.members[1].bolt": one + ":4:7",
		"cluster.check.user": two + ":2:17", "cluster.check.password": one + ":7:20", "cluster.tls.ca": two + ":2:3",
		"cluster.members[7]": one + ":3:5", "frontends[0].bind": "", "": "",
	} {
		if got := at(key); got != want {
			t.Errorf("%s stands at %q; want %q", key, got, want)
		}
	}
	if got := Places()("cluster"); got != "" {
		t.Errorf("without files: %q", got)
	}
}
