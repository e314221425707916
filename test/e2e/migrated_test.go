package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/migrate"
	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file owns the configurations of HAProxy in migrate/testdata, migrated and run in front of a real HA cluster: whatever they did
// there, writes go to the master and reads to whom they did.

// asBefore is one of them. An address is the bind of the file that is meant.
type asBefore struct {
	file        string
	change      []string // old, new: what makes it one of a HA cluster whose members serve alike
	write, read string
	bolt        bool
	header      map[string]string // of a write
	masterReads bool
}

var migratedFiles = []asBefore{
	{file: "classic.cfg", write: "*:8090", read: "*:8090", header: declareWrite, masterReads: true},
	{file: "classic-all.cfg", write: "*:8090", read: "*:8090", masterReads: true},
	{file: "ha-ports.cfg", write: "*:7474", read: "*:7475"},
	{file: "ha-bolt.cfg", write: "*:7680", read: "*:7681", bolt: true},
	{file: "payload.cfg", write: "*:8090", read: "*:8090", masterReads: true, change: []string{" weight 2", ""}}, // with leastconn the heavier one gets all that comes one by one
	{file: "methods.cfg", write: "*:80", read: "*:80", change: []string{"causalclustering/read-only", "ha/slave", "causalclustering/writable", "ha/master"}},
}

func migratedHA(t *testing.T, c *labs.Cluster) {
	begun := time.Now()
	for _, m := range migratedFiles {
		t.Run(m.file, func(t *testing.T) { m.run(t, c) })
	}
	t.Logf("%d configurations in %.1fs", len(migratedFiles), time.Since(begun).Seconds())
}

var serverLine = regexp.MustCompile(`(?m)^(\s*server\s+\S+\s+)(\d+\.\d+\.\d+\.\d+):(\d+)(.*)$`)

// inTheLab is the file with the lab's members in the place of its servers, and free addresses in that of its binds. members are those of the lab by
// the names that they have in the file.
func (m asBefore) inTheLab(t testing.TB, c *labs.Cluster) (text string, binds map[string]string, members map[string]*labs.Member) {
	b, err := os.ReadFile(filepath.Join("..", "..", "migrate", "testdata", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer(m.change...).Replace(string(b))
	byHost := map[string]*labs.Member{}
	members = map[string]*labs.Member{}
	text = serverLine.ReplaceAllStringFunc(text, func(l string) string {
		part := serverLine.FindStringSubmatch(l)
		if part[3] != "7474" && part[3] != "7687" {
			return l // of something else in the file
		}
		if byHost[part[2]] == nil {
			byHost[part[2]] = c.Members[len(byHost)]
		}
		at := byHost[part[2]]
		members[strings.Fields(part[1])[1]] = at
		_, web, _ := net.SplitHostPort(at.HTTP)
		address := map[string]string{"7474": at.HTTP, "7687": at.Bolt}[part[3]]
		return part[1] + address + strings.Replace(part[4], "check port 7474", "check port "+web, 1)
	})
	binds = map[string]string{}
	text = regexp.MustCompile(`(?m)^(\s*bind\s+)(\S+)`).ReplaceAllStringFunc(text, func(l string) string {
		words := strings.Fields(l)
		binds[words[1]] = loopback.Reserve(t)
		return strings.Replace(l, words[1], binds[words[1]], 1)
	})
	return text, binds, members
}

func (m asBefore) run(t *testing.T, c *labs.Cluster) {
	text, binds, members := m.inTheLab(t, c)
	r, err := migrate.Convert(text, migrate.Options{Name: m.file, Hash: func(string) (string, error) {
		return "$2a$10$YaDJIc4WtKdLCnEe3by2jeSOLR7ip4XhzSVFSvkIn.djFSRwwKoze", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := startGate(t, c, string(r.YAML)+"log: {access: on}\n")
	write := m.asker(t, g, c, binds[m.write], m.header)
	read := m.asker(t, g, c, binds[m.read], nil)
	master := c.Leader()
	const create, match = "CREATE (n:Migrated)", "MATCH (n:Migrated) RETURN count(n)"
	eventually(t, 20*time.Second, "a write", func() error { _, err := write(create); return err })
	for range 20 {
		if at, err := write(create); err != nil || members[at] != master {
			t.Fatalf("a write was carried out at %q, %v; want the master, %s", at, err, master.Name)
		}
	}
	nothingWrong(t, g, c)
	want := 2
	if m.masterReads {
		want = 3
	}
	eventually(t, 20*time.Second, "reads on all that serve them", func() error {
		seen := map[*labs.Member]bool{}
		for range 12 {
			at, err := read(match)
			if err != nil {
				return err
			}
			seen[members[at]] = true
		}
		if len(seen) != want || seen[master] != m.masterReads {
			return fmt.Errorf("reads were answered by %d members, by the master: %v; want %d and %v", len(seen), seen[master], want, m.masterReads)
		}
		return nil
	})
}

// nothingWrong has doctor look at the configuration and the cluster.
func nothingWrong(t *testing.T, g *gate, c *labs.Cluster) {
	bin, err := gates.Program()
	if err != nil {
		t.Fatal(err)
	}
	doctor := exec.Command(bin, "doctor", "-c", g.Config)
	doctor.Env = append(os.Environ(), "NEO4J_CHECK_PASSWORD="+c.Password)
	out, err := doctor.CombinedOutput()
	t.Logf("doctor:\n%s", out)
	if err != nil || !strings.Contains(string(out), "3 of 3 members up") {
		t.Errorf("doctor finds fault: %v", err)
	}
}

// lastAccess returns how many access lines there are, and the member of the last.
func lastAccess(g *gate) (n int, member string) {
	for l := range strings.Lines(g.Log()) {
		var line struct{ Msg, Member string }
		if json.Unmarshal([]byte(l), &line) == nil && line.Msg == "access" {
			n, member = n+1, line.Member
		}
	}
	return n, member
}

// asker sends a statement and returns the name of the member that carried it out, by the gate's access log: who a member is, it only says to
// procedures that go to the leader.
func (m asBefore) asker(t *testing.T, g *gate, c *labs.Cluster, address string, header map[string]string) func(statement string) (string, error) {
	send := m.sender(t, c, address, header)
	return func(statement string) (member string, err error) {
		before, _ := lastAccess(g)
		if err := send(statement); err != nil {
			return "", err
		}
		eventually(t, 10*time.Second, "the access line of "+statement, func() error {
			n := 0
			if n, member = lastAccess(g); n == before {
				return errors.New("there is none yet")
			}
			return nil
		})
		return member, nil
	}
}

// sender sends a statement.
func (m asBefore) sender(t *testing.T, c *labs.Cluster, address string, header map[string]string) func(statement string) error {
	if !m.bolt {
		web := &gate{&gates.Gate{Address: address}}
		return func(statement string) error {
			_, err := web.cypherHTTP(t.Context(), c, "/db/data/transaction/commit", statement, header)
			return err
		}
	}
	return func(statement string) error {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // shows in use
		if _, err := bolt.Handshake(conn, bolt.V3); err != nil {
			return err
		}
		client := bolt.NewClient(conn, bolt.V3)
		if err := client.Logon(bolt.HelloOptions{}, bolt.Basic(c.User, c.Password)); err != nil {
			return err
		}
		_, err = client.Query(statement, nil, nil)
		return err
	}
}
