package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestURIBecomesAConfiguration(t *testing.T) {
	asked := func(user string) (string, error) { return "secret of " + user, nil }
	for text, want := range map[string]struct{ members, user, tls string }{
		"neo4j://neo4j@h1:7688,h2,[::1]": {"s1=h1:7688 s2=h2:7687 s3=[::1]:7687", "neo4j", "off"},
		"bolt://h1":                      {"s1=h1:7687", "", "off"},
		"neo4j+s://a%40b@h1/":            {"s1=h1:7687", "a@b", "verify"},
		"bolt+ssc://h1":                  {"s1=h1:7687", "", "insecure"},
	} {
		cfg, err := configFromURI(text, ":0", asked)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var members []string
		for _, m := range cfg.Cluster.Members {
			members = append(members, m.Name+"="+m.Bolt)
		}
		check := cfg.Cluster.Check
		if got := strings.Join(members, " "); got != want.members || check.User != want.user || cfg.Cluster.TLS.Mode != want.tls {
			t.Errorf("%s: got %s, user %q, tls %s; want %+v", text, got, check.User, cfg.Cluster.TLS.Mode, want)
		}
		if want.user != "" && check.Password.Value() != "secret of "+want.user {
			t.Errorf("%s: the password is not the one that was asked for", text)
		}
	}
}

func TestURIsThatMakeNoSenseAreUsageErrors(t *testing.T) {
	for _, text := range []string{"http://h1", "neo4j+x://h1", "neo4j://user:password@h1"} {
		_, err := configFromURI(text, ":0", func(string) (string, error) { return "", nil })
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: got %v; want a usage error", text, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{
		"version":                  0,
		"nonsense":                 2,
		"run":                      2,
		"run -c /does/not/exist":   1,
		"check --nonsense":         2,
		"http://h1":                2,
		"classify RETURN":          0,
		"demo --generation bronze": 2,
	} {
		root := newRootCommand()
		root.SetArgs(strings.Fields(args))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if got := execute(context.Background(), root, io.Discard); got != want {
			t.Errorf("boltgate %s: exit code %d; want %d", args, got, want)
		}
	}
}
