package configs

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// theSecret is what testdata and these tests use for every password. It must never be seen again.
const theSecret = "hunter2"

// golden compares got with a file of testdata, or writes the file when -update is given.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	t.Setenv("PORT", "99999")
	t.Setenv("BAD_VALUE", theSecret)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			cfg, err := Load(file)
			faults, ok := err.(Faults)
			if cfg != nil || !ok || len(faults) == 0 {
				t.Fatalf("got %v, %v; want only faults", cfg, err)
			}
			if strings.Contains(err.Error(), theSecret) || strings.Contains(err.Error(), "123456789") {
				t.Errorf("a secret shows in\n%v", err)
			}
			for _, f := range faults {
				if f.File != file || f.Line < 1 || f.Column < 1 {
					t.Errorf("%+v has no place", f)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", strings.ReplaceAll(err.Error(), file+":", "")+"\n")
		})
	}
}

func TestFaultsPointAtWhatIsWrong(t *testing.T) {
	text := "cluster:\n  members: [{bolt: \"10.0.0.1:7687\"}]\n  check: {rise: 1, fal: 2}\nlog:\n  level: lowd\n"
	_, err := Parse("dir/f.yaml", []byte(text))
	faults := err.(Faults)
	lines := strings.Split(text, "\n")
	for i, want := range []string{"fal:", "lowd"} {
		f := faults[i]
		if rest := lines[f.Line-1][f.Column-1:]; !strings.HasPrefix(rest, want) {
			t.Errorf("%v points at %q; want %q", f, rest, want)
		}
	}
	if got, want := faults[1].String(), `dir/f.yaml:5:10: log.level: expected one of debug, info, warn, error (found the text "lowd")`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestFaultsOfSeveralFilesComeInTheirOrder(t *testing.T) {
	dir := t.TempDir()
	first, second := write(t, dir, "z.yaml", "log: {levle: info}\n"), write(t, dir, "a.yaml", "\n\nlog: {formt: text}\ncluster: {members: []}\n")
	_, err := Load(first, filepath.Join(dir, "missing.yaml"), second)
	got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	want := `z.yaml:1:7: log.levle: unknown key; did you mean level?
missing.yaml: no such file or directory
a.yaml:3:7: log.formt: unknown key; did you mean format?`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNoFileOrAFolder(t *testing.T) {
	if _, err := Load(); err == nil || err.Error() != "no configuration file is given" {
		t.Errorf("got %v", err)
	}
	if _, err := Load("testdata"); err == nil || err.Error() != "testdata: it is a folder" {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := byte('b'); c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ",") + "]\n"
	}
	for name, text := range map[string]string{
		"more than 100000 values": bomb,
		"larger than 4 MiB":       strings.Repeat("#\n", maxText/2+1),
	} {
		if cfg, err := Parse("f.yaml", []byte(text)); cfg != nil || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, %.200v", name, cfg, err)
		}
	}
}

// TestSecretsNeverShow writes the secret wherever a value can stand, as every kind of value, and looks for it in the faults.
func TestSecretsNeverShow(t *testing.T) {
	t.Setenv("SECRET", theSecret)
	for _, value := range []string{
		theSecret, "[" + theSecret + "]", "{" + theSecret + ": x}", "!" + theSecret + " x", "*" + theSecret, "&" + theSecret + " [", `"${SECRET}`, `"${` + theSecret + `"`,
		`"` + theSecret + `${SECRET}${"`, "@" + theSecret, "`" + theSecret, "%" + theSecret, "|" + theSecret, "'" + theSecret, `"\q` + theSecret + `"`, "? " + theSecret, "- " + theSecret, "x: " + theSecret,
		"{password: " + theSecret, "{a:" + theSecret + "}", "\"" + theSecret + "\x01\"", "\x00" + theSecret, "\"" + theSecret + "\\0\"",
	} {
		for _, key := range []string{"password: ", "password:", "password_file: ", "- password: "} {
			text := "cluster:\n  members: [{bolt: \"10.0.0.1:7687\"}]\n  check:\n    user: neo4j\n    " + key + value + "\n"
			cfg, err := Parse("f.yaml", []byte(text))
			if err != nil && strings.Contains(err.Error(), theSecret) {
				t.Errorf("%q\n%v", text, err)
			}
			if err == nil && strings.Contains(strings.Join(cfg.Warnings, ""), theSecret) {
				t.Errorf("%q\n%v", text, cfg.Warnings)
			}
		}
	}
	for _, section := range []string{"keepalive", "max_connections", "access", "bind", "protocols", "allow", "advertise", "member", "name", "advertise_read", "tls", "timeouts", "routing"} {
		text := "frontends: [{name: x, " + section + ": \"${SECRET} {{\"}]\ncluster: {members: [{bolt: \"a:1\"}]}"
		if _, err := Parse("f.yaml", []byte(text)); err == nil || strings.Contains(err.Error(), theSecret) {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
