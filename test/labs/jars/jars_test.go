package jars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVerifyNamesTheJar(t *testing.T) {
	list, err := HashList(folder(t, map[string]string{"a.jar": "alpha", "b.jar": "beta"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		list  string
		want  string // part of the error; "" for none
	}{
		{"the same files pass", map[string]string{"a.jar": "alpha", "b.jar": "beta"}, list, ""},
		{"a changed jar is named", map[string]string{"a.jar": "alpha", "b.jar": "other"}, list, "b.jar has SHA-256"},
		{"a missing jar is named", map[string]string{"a.jar": "alpha"}, list, "b.jar is missing"},
		{"an added jar is named", map[string]string{"a.jar": "alpha", "b.jar": "beta", "c.jar": ""}, list, "c.jar is not in"},
		{"an empty list is refused", map[string]string{}, "", "is empty"},
		{"a bad list is refused", map[string]string{}, "x a.jar\n", `bad line "x a.jar"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := verify(folder(t, test.files), test.list)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got %v; want %q", err, test.want)
			}
		})
	}
}

func TestReleaseReadsTheMajorVersion(t *testing.T) {
	for text, want := range map[string]int{
		"JAVA_VERSION=\"17.0.15\"\nOS_NAME=\"Linux\"\n": 17,
		"IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"1.8.0_392\"": 8,
		"JAVA_VERSION=\"25\"":                           25,
		"OS_NAME=\"Linux\"":                             0,
	} {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"bin/javac": "", "release": text} {
			if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := release(home); got != want {
			t.Errorf("%q: got %d; want %d", text, got, want)
		}
	}
}

func TestFindJDKSaysWhatItSaw(t *testing.T) {
	_, err := FindJDK(998, 999)
	if err == nil || !strings.Contains(err.Error(), "no JDK from 998 to 999") {
		t.Fatalf("got %v", err)
	}
}
