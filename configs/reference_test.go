package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const reference = "boltgate.yaml"

// defaultsOfTheReference is Default with the one member that a file cannot do without.
func defaultsOfTheReference() *Config {
	want := Default()
	want.Cluster.Members = []Member{{Name: "s1", Bolt: "10.0.0.1:7687", HTTP: "10.0.0.1:7474", Weight: 1}}
	return want
}

func TestReferenceIsTheDefaults(t *testing.T) {
	got, err := Load(reference)
	if err != nil {
		t.Fatal(err)
	}
	if want := defaultsOfTheReference(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v\n%v", got, want, Diff(want, got))
	}
}

// behindHash is a key that is not built yet, as the reference writes it: # without a space.
var behindHash = regexp.MustCompile(`(?m)^(\s*)#([a-z])`)

func TestReferenceShowsTheDefaultsOfWhatIsNotBuilt(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(reference, behindHash.ReplaceAll(text, []byte("$1$2")))
	if err != nil {
		t.Fatal(err)
	}
	if want := defaultsOfTheReference(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", Diff(want, got))
	}
}

// emptyByDefault are lists that the reference shows empty, with an entry as a comment.
var emptyByDefault = map[reflect.Type]bool{
	reflect.TypeFor[User](): true, reflect.TypeFor[AdminUser](): true, reflect.TypeFor[AdminToken](): true, reflect.TypeFor[Webhook](): true, reflect.TypeFor[LimitedUser](): true,
}

// schemaKeys returns the dotted keys below a section; a section that is not built stands for all that it will hold.
func schemaKeys(path string, t reflect.Type) (keys []string) {
	for _, f := range fieldsOf(t) {
		at := join(path, f.key)
		if f.secret() {
			keys = append(keys, at+"_file")
			continue
		}
		element := f.goType
		if element.Kind() == reflect.Slice {
			element, at = element.Elem(), at+"[]"
		}
		if f.container() && element.Kind() == reflect.Struct && element != prefixType && f.goType != reflect.TypeFor[Routing]() && !emptyByDefault[element] || at == "routing" {
			keys = append(keys, schemaKeys(at, element)...)
			continue
		}
		keys = append(keys, strings.TrimSuffix(at, "[]"))
	}
	return keys
}

// treeKeys returns the dotted keys that a file has, of mappings that are not empty what is in them.
func treeKeys(path string, n *node, known []string) (keys []string) {
	for _, e := range n.entries {
		at := join(path, e.key)
		if slices.Contains(known, at) {
			keys = append(keys, at)
			continue
		}
		keys = append(keys, treeKeys(at, e.value, known)...)
		for _, item := range e.value.items {
			keys = append(keys, treeKeys(at+"[]", item, known)...)
		}
	}
	return keys
}

func TestReferenceHasEveryKeyLiveOrBehindAHash(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	want := schemaKeys("", reflect.TypeFor[Config]())
	slices.Sort(want)
	all, faults := parseTree(&file{name: reference}, behindHash.ReplaceAll(text, []byte("$1$2")))
	if faults != nil {
		t.Fatal(faults)
	}
	got := treeKeys("", all, want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}

	live, _ := parseTree(&file{name: reference}, text)
	for _, key := range treeKeys("", live, want) {
		if entry := findUnbuilt(key); entry != nil && len(entry.only) < 2 {
			t.Errorf("%s is not built, but it is live in the reference", key)
		}
	}
	for _, key := range want {
		if entry := findUnbuilt(key); entry == nil && !slices.Contains(treeKeys("", live, want), key) {
			t.Errorf("%s is built, but it is behind # in the reference", key)
		}
	}
}

func TestTheSwitchboardNamesKnownKeysAndTheirDefaults(t *testing.T) {
	known := schemaKeys("", reflect.TypeFor[Config]())
	for _, entry := range unbuilt {
		if !slices.Contains(known, entry.key) {
			t.Errorf("%s is no key", entry.key)
		}
	}
}

// TestTheInterfaceIsKnown holds the schema to the whole file format as it was decided: no key of it is unknown, and what is not built says so.
func TestTheInterfaceIsKnown(t *testing.T) {
	_, err := Load("testdata/interface.yaml")
	faults, _ := err.(Faults)
	if len(faults) == 0 {
		t.Fatal("got no faults; is everything built?")
	}
	for _, f := range faults {
		noFile := strings.Contains(f.Key, ".tls.") && strings.Contains(f.Text, "no such file")
		noPassword := f.Key == "admin.users[0].password" // of the interface's empty password_file
		if !strings.HasPrefix(f.Text, "not built yet") && !noFile && !noPassword {
			t.Error(f)
		}
	}
}

func TestThePiClusterExample(t *testing.T) {
	t.Setenv("NEO4J_CHECK_PASSWORD", "test")
	cfg, err := Load(filepath.Join("..", "examples", "pi-cluster", "boltgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`routing.undeclared: "detect" -> "read"`,
		`routing.leader_reads: "fallback" -> "always"`,
		`frontends[main]: removed`,
		`frontends[http-in]: added`,
		`cluster.generation: "auto" -> "ha"`,
		`cluster.members[s1]: added`, `cluster.members[s2]: added`, `cluster.members[s3]: added`,
		`cluster.discover.cluster: true -> false`,
		`cluster.check.user: "" -> "neo4j"`,
		`cluster.check.password: changed`,
		`cluster.check.method: "auto" -> "http"`,
	}
	if got := Diff(Default(), cfg); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	f := cfg.Frontends[0]
	if f.MaxConnections != 60 || f.Timeouts.ClientIdle.Seconds() != 50 || f.Timeouts.Server.Seconds() != 50 || cfg.Pool.ConnectTimeout.Seconds() != 5 ||
		!slices.Equal(f.Protocols, []string{"http"}) || !slices.Equal(f.Bind, []string{":8090"}) || f.Routing.Undeclared != "read" || f.Routing.LeaderReads != "always" {
		t.Errorf("got %+v", f)
	}
	for i, m := range cfg.Cluster.Members {
		if want := (Member{Name: "s" + string(rune('1'+i)), HTTP: "10.0.0." + string(rune('1'+i)) + ":7474", Weight: 1, MaxInFlight: 10}); !reflect.DeepEqual(m, want) {
			t.Errorf("got %+v; want %+v", m, want)
		}
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("got warnings %q", cfg.Warnings)
	}
}
