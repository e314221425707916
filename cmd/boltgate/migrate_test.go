package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/migrate"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
)

// migrated is the daemon of a configuration that was migrated, in front of a stand-in HA cluster that counts what each member runs.
type migrated struct {
	*testDaemon
	mu   sync.Mutex
	runs map[string]int // guarded by mu: by member and text
}

func (m *migrated) ran(q standin.Query) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[q.Member+" "+q.Text]++
}

func (m *migrated) count(member, text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[member+" "+text]
}

// startMigrated migrates a configuration of migrate/testdata with addresses of this machine, by the command, and runs the result.
func startMigrated(t *testing.T, name string) (*migrated, *standin.Cluster) {
	m := &migrated{runs: map[string]int{}}
	var c *standin.Cluster
	m.testDaemon, c = newTestDaemonWith(t, standin.Options{
		Generation: cluster.HA, Seed: 3, Users: map[string]string{"neo4j": "test"}, OnQuery: m.ran,
	})
	text, err := os.ReadFile(filepath.Join("..", "..", "migrate", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	was := string(text)
	for i, member := range c.Members() {
		was = strings.ReplaceAll(was, fmt.Sprintf("10.0.0.%d:7474", i+1), member.HTTP)
	}
	was = strings.NewReplacer("*:8090", m.address, "*:8080", loopback.Reserve(t)).Replace(was)
	in := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(in, []byte(was), 0o600); err != nil {
		t.Fatal(err)
	}
	command := newMigrateCommand()
	command.SetArgs([]string{in, "-o", m.file})
	var said bytes.Buffer
	command.SetErr(&said)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "0 lines not carried over") || !strings.Contains(said.String(), ": valid;") {
		t.Fatal(said.String())
	}
	m.start()
	eventually(t, "writes are taken", func() bool { return m.cypher("RETURN 1 AS ready", "1") == http.StatusOK })
	return m, c
}

// cypher sends one statement; write is X-Write, "" none.
func (m *migrated) cypher(statement, write string) int {
	m.t.Helper()
	body, _ := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": statement}}})
	r, err := http.NewRequestWithContext(m.t.Context(), "POST", "http://"+m.address+"/db/data/transaction/commit", bytes.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.SetBasicAuth("neo4j", "test")
	r.Header.Set("Content-Type", "application/json")
	if write != "" {
		r.Header.Set("X-Write", write)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if !bytes.Contains(text, []byte(`"errors":[]`)) {
		return 0
	}
	return answer.StatusCode
}

// spread holds reads to what HAProxy did with them: in turn over all members, the master too.
func (m *migrated) spread(c *standin.Cluster, read string) {
	m.t.Helper()
	eventually(m.t, "every member serves reads", func() bool {
		for _, member := range c.Members() {
			if m.cypher("RETURN 2 AS warm", ""); m.count(member.Name, "RETURN 2 AS warm") == 0 {
				return false
			}
		}
		return true
	})
	for range 30 {
		if status := m.cypher(read, ""); status != http.StatusOK {
			m.t.Fatalf("a read: %d", status)
		}
	}
	for _, member := range c.Members() {
		if n := m.count(member.Name, read); n != 10 {
			m.t.Errorf("%s answered %d of 30 reads; want 10", member.Name, n)
		}
	}
}

// TestTheClassicConfigurationMigratedDoesTheSame: writes that say so at the master, all others over all members.
func TestTheClassicConfigurationMigratedDoesTheSame(t *testing.T) {
	m, c := startMigrated(t, "classic.cfg")
	const write, read = "CREATE (n:Pi)", "MATCH (n:Pi) RETURN count(n)"
	for range 20 {
		if status := m.cypher(write, "1"); status != http.StatusOK {
			t.Fatalf("a write: %d", status)
		}
	}
	if leader := c.Leader(""); m.count(leader, write) != 20 {
		t.Errorf("the master %s ran %d of 20 writes", leader, m.count(leader, write))
	}
	m.spread(c, read)
	m.statistics()
}

// statistics asks for the page as scrapers of HAProxy do, with the login of stats auth.
func (m *migrated) statistics() {
	cfg, err := configs.Load(m.file)
	if err != nil {
		m.t.Fatal(err)
	}
	for password, want := range map[string]int{"123": http.StatusOK, "1234": http.StatusUnauthorized} {
		r, _ := http.NewRequestWithContext(m.t.Context(), "GET", "http://"+cfg.Admin.Bind+"/stats;csv", nil)
		r.SetBasicAuth("admin", password)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			m.t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			m.t.Errorf("/stats;csv with the password %s: %d; want %d", password, answer.StatusCode, want)
		}
	}
}

// TestTheClassicConfigurationWithoutItsMasterBackend: reads over all members as before; writes, which HAProxy gave to anybody, at the master.
func TestTheClassicConfigurationWithoutItsMasterBackend(t *testing.T) {
	m, c := startMigrated(t, "classic-all.cfg")
	const write, read = "CREATE (n:Pi)", "MATCH (n:Pi) RETURN count(n)"
	for range 20 {
		if status := m.cypher(write, ""); status != http.StatusOK {
			t.Fatalf("a write: %d", status)
		}
	}
	if leader := c.Leader(""); m.count(leader, write) != 20 {
		t.Errorf("the master %s ran %d of 20 writes", leader, m.count(leader, write))
	}
	m.spread(c, read)
}

func TestMigrateKeepsPasswordsToTheOwnerAndOverwritesNothing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "boltgate.yaml")
	run := func(args ...string) error {
		c := newMigrateCommand()
		c.SetArgs(append([]string{filepath.Join("..", "..", "migrate", "testdata", "classic.cfg"), "-o", out}, args...))
		c.SetErr(io.Discard)
		c.SilenceErrors, c.SilenceUsage = true, true
		return c.Execute()
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSuffix(out, ".yaml") + ".check-password"
	info, err := os.Stat(password)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	hash, err := os.ReadFile(strings.TrimSuffix(out, ".yaml") + ".admin-admin.bcrypt")
	if err != nil || bcrypt.CompareHashAndPassword(bytes.TrimSpace(hash), []byte("123")) != nil {
		t.Errorf("the hash %q is not that of stats auth: %v", hash, err)
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("got %v; want a refusal to overwrite", err)
	}
	if err := os.WriteFile(password, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run("--force"); err != nil {
		t.Fatal(err)
	}
	info, err = os.Stat(password)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("overwritten, got %v, %v", info, err)
	}
}

func TestMigrateWithoutAFileToWriteWantsAVariable(t *testing.T) {
	var said bytes.Buffer
	if err := explain(&said, &migrate.Result{NeedsSetting: "NEO4J_CHECK_PASSWORD"}, "haproxy.cfg", ""); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "set NEO4J_CHECK_PASSWORD to") {
		t.Error(said.String())
	}
}
