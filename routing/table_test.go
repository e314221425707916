package routing

import (
	"reflect"
	"testing"

	"github.com/boltgate/boltgate/bolt"
)

func TestTable(t *testing.T) {
	for _, v := range bolt.Versions {
		for _, db := range []string{"", "neo4j"} {
			got := Table([]string{"gate:7687", "gate2:7687"}, db, v)
			all := []any{"gate:7687", "gate2:7687"}
			want := map[string]any{"ttl": int64(300), "servers": []any{
				map[string]any{"addresses": all, "role": "WRITE"},
				map[string]any{"addresses": all, "role": "READ"},
				map[string]any{"addresses": all, "role": "ROUTE"},
			}}
			if db != "" && v >= bolt.V4_4 {
				want["db"] = db
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v, database %q: got %v; want %v", v, db, got, want)
			}
		}
	}
}

func TestServersWithReadersOfTheirOwn(t *testing.T) {
	want := []any{
		map[string]any{"addresses": []any{"gate:7687"}, "role": "WRITE"},
		map[string]any{"addresses": []any{"gate:7688"}, "role": "READ"},
		map[string]any{"addresses": []any{"gate:7687"}, "role": "ROUTE"},
	}
	if got := Servers([]string{"gate:7687"}, []string{"gate:7688"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}
