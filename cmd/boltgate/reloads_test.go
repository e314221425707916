package main

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/loopback"
	"github.com/boltgate/boltgate/test/reloads"
)

// TestReloadsUnderLoad reloads a hundred times, in front of stand-ins, while drivers and HTTP clients work. The same on real servers is
// in test/e2e.
func TestReloadsUnderLoad(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	d, _ := newTestDaemonWith(t, standin.Options{Seed: 1, Replicas: 1})
	go func() { // the log, which is long
		for range d.log.text {
		}
	}()
	w := &reloads.World{
		User: standin.DefaultUser, Password: standin.DefaultPassword, Writing: "CREATE (n {mark: $mark})", Reading: "MATCH (n) RETURN n LIMIT 1",
		File: d.file, Dir: t.TempDir(), Main: d.address, Extra: loopback.Reserve(t), Admin: loopback.Reserve(t), Optional: "r1", Pause: time.Millisecond,
	}
	for _, m := range d.members {
		w.Members = append(w.Members, reloads.Member{Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP})
	}
	w.Put(t, 0)
	d.start()
	w.Ready(t)
	w.Run(t, rounds)
	d.stop()
	d.end()
}
