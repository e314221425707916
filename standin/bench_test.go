package standin

import (
	"testing"

	"github.com/boltgate/boltgate/bolt"
)

// BenchmarkQuery is one auto-commit query over loopback: what the stand-in itself costs a test.
func BenchmarkQuery(b *testing.B) {
	c, err := Start(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	client, err := dialClient(c.Members()[0].Bolt, bolt.V5_8)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for _, text := range []string{"MATCH (n) RETURN n", "CREATE (n)"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, err := client.Query(text, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
