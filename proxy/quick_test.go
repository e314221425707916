package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns a member that is nothing but bytes: it answers at once, keeps nothing, and allocates nothing once its
// connections stand, so that memory and allocations which a test sees are the gate's.

// quickMember is such a member. A RUN of "RESULT records bytes" has that many records, each with a text of that length; any
// other text has one small record.
type quickMember struct {
	listener net.Listener
	version  bolt.Version
	sent     atomic.Int64 // bytes of records
	taken    atomic.Int64 // bytes of requests
	conns    sync.WaitGroup
	reader   func(net.Conn) net.Conn // what a connection is read through; nil: itself
}

// startQuick starts a gate before one quickMember member that leads everything.
func startQuick(t testing.TB, change func(*Frontend)) (*gate, *quickMember) {
	t.Helper()
	member := new(quickMember)
	return startBefore(t, member, pool.Options{}, change), member
}

// startBefore starts a gate before a quickMember that is not at work yet.
func startBefore(t testing.TB, member *quickMember, o pool.Options, change func(*Frontend)) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	member.listener, member.version = l, bolt.V5_8
	go member.serve()
	current := new(cluster.Current)
	current.Publish(&cluster.View{
		Generation: cluster.Standalone, Default: "neo4j", Versions: []bolt.Version{bolt.V5_8}, At: time.Now(),
		Members: []*cluster.Status{{
			Member: &cluster.Member{Name: "quick", Bolt: l.Addr().String()}, Up: true, Agent: "Neo4j/5.26.0",
			Roles: map[string]cluster.Role{cluster.AnyDatabase: cluster.Leader}, Versions: []bolt.Version{bolt.V5_8},
		}},
	})
	log := slog.New(slog.DiscardHandler)
	g := &gate{t: t, current: current, pools: pool.NewSet(o, log)}
	g.server = New(Options{Remember: time.Hour}, current, g.pools, log)
	f := &Frontend{Name: "main", Bind: []string{"127.0.0.1:0"}}
	if change != nil {
		change(f)
	}
	if err := g.server.Apply(Options{Remember: time.Hour}, []*Frontend{f}); err != nil {
		t.Fatal(err)
	}
	g.address = g.server.Addresses("main")[0].String()
	t.Cleanup(func() {
		g.shutdown(t)
		g.pools.Close() //nolint:errcheck // never fails
		l.Close()
		member.conns.Wait()
	})
	return g
}

func (i *quickMember) serve() {
	for {
		conn, err := i.listener.Accept()
		if err != nil {
			return
		}
		i.conns.Go(func() {
			defer conn.Close()
			if i.reader != nil {
				conn = i.reader(conn)
			}
			i.serveConn(conn) //nolint:errcheck // ends with the gate
		})
	}
}

// job is an answer: records to be made up, and fixed bytes behind them.
type job struct {
	records int
	bytes   int
	after   []byte
}

func (i *quickMember) serveConn(conn net.Conn) error {
	if _, err := bolt.AcceptHandshake(conn, []bolt.Version{i.version}); err != nil {
		return err
	}
	jobs := make(chan job, 1000)
	var writer sync.WaitGroup
	writer.Go(func() {
		for j := range jobs {
			if i.write(conn, j) != nil {
				conn.Close()
			}
		}
	})
	defer writer.Wait()
	defer close(jobs)
	buf, end := make([]byte, 64<<10), 0
	var walk bolt.Walk
	var records, size int
	var tag byte
	for {
		n, err := conn.Read(buf[end:])
		if err != nil {
			return err
		}
		i.taken.Add(int64(n))
		end += n
		for pos := 0; ; {
			if !walk.Midway() {
				var ok bool
				if tag, _, ok, err = bolt.PeekTag(buf[pos:end]); err != nil {
					return err
				}
				if !ok {
					end = copy(buf, buf[pos:end])
					break
				}
				if tag == bolt.TagRun {
					records, size = resultAsked(buf[pos:end])
				}
			}
			n, done := walk.Next(buf[pos:end])
			pos += n
			if !done {
				end = copy(buf, buf[pos:end])
				break
			}
			jobs <- answerTo(tag, records, size)
		}
	}
}

var (
	instantHello  = bolt.AppendSuccess(nil, m{"server": "Neo4j/5.26.0", "connection_id": "bolt-1"})
	instantRun    = bolt.AppendSuccess(nil, m{"fields": []any{"n"}, "t_first": 0})
	instantRecord = bolt.AppendMessage(nil, bolt.TagRecord, []any{1})
	instantPull   = bolt.AppendSuccess(nil, m{"type": "r", "t_last": 0, "db": "neo4j", "bookmark": "b"})
	instantOne    = append(append([]byte(nil), instantRecord...), instantPull...)
)

func answerTo(tag byte, records, size int) job {
	switch {
	case tag == bolt.TagHello:
		return job{after: instantHello}
	case tag == bolt.TagRun:
		return job{after: instantRun}
	case tag == bolt.TagPull && records == 0:
		return job{after: instantOne}
	case tag == bolt.TagPull:
		return job{records: records, bytes: size, after: instantPull}
	case tag == bolt.TagGoodbye:
		return job{}
	}
	return job{after: bolt.EmptySuccess}
}

// resultAsked reads "RESULT records bytes" from the start of a RUN.
func resultAsked(b []byte) (records, size int) {
	if len(b) < 20 || b[4] == 0 {
		return 0, 0
	}
	head := b[4:min(len(b), 4+60)] // past chunk header, marker and tag
	if head[0] != 0xD0 && head[0]&0xF0 != 0x80 {
		return 0, 0
	}
	d := packstream.NewDecoder(head)
	text := d.String()
	if len(text) < 6 || string(text[:6]) != "RESULT" {
		return 0, 0
	}
	var n, each int
	fmt.Sscanf(string(text), "RESULT %d %d", &n, &each) //nolint:errcheck // zero then
	return n, each
}

var manyBytes = make([]byte, 32<<10)

// write sends the answer; a record is made of chunks of 32 KiB.
func (i *quickMember) write(w io.Writer, j job) error {
	var chunk []byte
	if j.records > 0 {
		chunk = make([]byte, 2+len(manyBytes))
	}
	for range j.records {
		head := []byte{0, 8, 0xB1, bolt.TagRecord, 0x91, 0xD2, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(head[6:], uint32(j.bytes))
		if _, err := w.Write(head); err != nil {
			return err
		}
		for left := j.bytes; left > 0; {
			n := min(left, len(manyBytes))
			binary.BigEndian.PutUint16(chunk, uint16(n))
			if _, err := w.Write(chunk[:2+n]); err != nil {
				return err
			}
			i.sent.Add(int64(n))
			left -= n
		}
		if _, err := w.Write(bolt.Noop); err != nil { // the end of the message looks the same
			return err
		}
	}
	if len(j.after) == 0 {
		return nil
	}
	_, err := w.Write(j.after)
	return err
}
