package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/routing"
)

// TestThePolicyIsWhatRoutingSays: each key of the choice reaches the frontend that it is said of.
func TestThePolicyIsWhatRoutingSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boltgate.yaml")
	text := `frontends:
  - {name: main, bind: "127.0.0.1:0"}
  - {name: own, bind: "127.0.0.1:0", member: s1, routing: {balance: latency, leader_reads: fallback, prefer: [zone-b], max_lag: 7, slow_start: 0s}}
cluster: {members: [{name: s1, bolt: "127.0.0.1:7687"}]}
routing: {balance: random-two, leader_reads: always, prefer: [zone-a, ssd], max_lag: 1000, slow_start: 30s}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	list, err := frontends(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []routing.Policy{
		{Balance: routing.RandomTwo, LeaderAlwaysReads: true, Prefer: []string{"zone-a", "ssd"}, MaxLag: 1000, SlowStart: 30 * time.Second},
		{Balance: routing.Latency, Prefer: []string{"zone-b"}, MaxLag: 7, Member: "s1"},
	} {
		if got := list[i].Policy; !reflect.DeepEqual(got, want) {
			t.Errorf("frontend %s: got %+v; want %+v", list[i].Name, got, want)
		}
	}
}
