package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file has real servers of other releases take each other's place behind one address, while a gate and the sessions of
// drivers stay open before it.

// switchboard is an address that leads to one server after the other.
type switchboard struct {
	address string

	mu    sync.Mutex
	to    string // "" refuses
	conns map[net.Conn]bool
}

func newSwitchboard(t *testing.T) *switchboard {
	s := &switchboard{address: loopback.Reserve(t), conns: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.lead("")
		served.Wait()
	})
	return s
}

// lead leads new connections to address; those that are open end.
func (s *switchboard) lead(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = address
	for conn := range s.conns {
		conn.Close()
	}
}

func (s *switchboard) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	if to == "" {
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	if !s.keep(conn, far, to) {
		return
	}
	defer s.forget(conn, far)
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(conn, far) //nolint:errcheck // the end of either is the end of both
		conn.Close()
	}()
	io.Copy(far, conn) //nolint:errcheck // as above
	far.Close()
	<-back
}

// keep notes two connections, unless they lead to the wrong server by now.
func (s *switchboard) keep(conn, far net.Conn, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != to {
		return false
	}
	s.conns[conn], s.conns[far] = true, true
	return true
}

func (s *switchboard) forget(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range conns {
		delete(s.conns, conn)
	}
}

// TestUpgradeAndRollBack: a 4.4 becomes a 5.26 and then a 4.4 again. Drivers of every stage go on with their transaction
// functions, and each session speaks what the present server does.
func TestUpgradeAndRollBack(t *testing.T) {
	stages := []struct {
		lab    labs.Lab
		newest string // that a driver started at this stage agrees on
		spoken []int  // by each driver, in the order of their stages, as major versions
	}{
		{labs.Community44, "4.4", []int{4}},
		{labs.Community5, "5.8", []int{4, 5}}, // the first one's sessions go on: 5.26 speaks 4.4 too
		{labs.Community44, "4.4", []int{4, 4, 4}},
	}
	for _, s := range stages {
		labs.Require(t, "lab "+s.lab.Name, s.lab.Available())
	}
	bolt, web := newSwitchboard(t), newSwitchboard(t)
	var gate *gate
	var drivers []neo4j.DriverWithContext
	for i, s := range stages {
		ok := t.Run(fmt.Sprintf("%d %s", i+1, s.lab.Name), func(stage *testing.T) {
			c := labs.Start(stage, s.lab)
			c.WaitReady()
			bolt.lead(c.Members[0].Bolt)
			web.lead(c.Members[0].HTTP)
			if gate == nil {
				gate = startGate(t, c, fmt.Sprintf("frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  members:\n    - {name: a, bolt: %q, http: %q}\n"+
					"  check: {interval: 1s, user: %s, password: %q}\n", bolt.address, web.address, c.User, c.Password))
			}
			awaitAgent(stage, gate, c)
			drivers = append(drivers, openDriver(t, gate, c))
			for n, d := range drivers {
				serverOf(stage, d, n, s.spoken[n])
			}
			if v := serverOf(stage, drivers[i], i, s.spoken[i]).ProtocolVersion(); fmt.Sprintf("%d.%d", v.Major, v.Minor) != s.newest {
				stage.Errorf("a driver started now speaks %d.%d; want %s", v.Major, v.Minor, s.newest)
			}
		})
		bolt.lead("")
		web.lead("")
		if !ok {
			return
		}
	}
}

func openDriver(t *testing.T, g *gate, c *labs.Cluster) neo4j.DriverWithContext {
	t.Helper()
	d, err := neo4j.NewDriverWithContext("neo4j://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

// awaitAgent waits until the checks have seen the present release.
func awaitAgent(t *testing.T, g *gate, c *labs.Cluster) {
	t.Helper()
	eventually(t, time.Minute, "the gate knows the release", func() error {
		d, err := neo4j.NewDriverWithContext("bolt://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
		if err != nil {
			return err
		}
		defer d.Close(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		server, err := d.GetServerInfo(ctx)
		if err == nil && server.Agent() != "Neo4j/"+c.Lab.Version() {
			err = fmt.Errorf("got %s, want %s", server.Agent(), c.Lab.Version())
		}
		return err
	})
}

// serverOf has a driver write and read in several sessions at once, and returns what the last said of its server.
func serverOf(t *testing.T, d neo4j.DriverWithContext, number, major int) neo4j.ServerInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var work sync.WaitGroup
	servers := make([]neo4j.ServerInfo, 4)
	for i := range servers {
		work.Go(func() {
			r, err := neo4j.ExecuteQuery(ctx, d, "CREATE (n:Upgrade) RETURN 1", nil, neo4j.EagerResultTransformer)
			if err == nil {
				r, err = neo4j.ExecuteQuery(ctx, d, "MATCH (n:Upgrade) RETURN count(n)", nil, neo4j.EagerResultTransformer, neo4j.ExecuteQueryWithReadersRouting())
			}
			if err != nil {
				t.Errorf("driver %d: %v", number+1, err)
				return
			}
			servers[i] = r.Summary.Server()
			if v := servers[i].ProtocolVersion(); v.Major != major {
				t.Errorf("driver %d speaks %d.%d; want %d.x", number+1, v.Major, v.Minor, major)
			}
		})
	}
	work.Wait()
	if servers[0] == nil {
		t.FailNow()
	}
	return servers[0]
}
