package loopback

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"
)

func TestAReservedAddressRefusesUntilSomebodyListens(t *testing.T) {
	address := Reserve(t)
	for range 3 {
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("nobody listens: got %v, %v; want a refusal", c, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("who knows the address cannot listen there: %v", err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("somebody listens: %v", err)
		}
		c.Close()
		l.Close()
	}
}

func TestAReservedAddressIsNobodyElses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("outside Linux an address is not reserved")
	}
	mine := map[string]bool{}
	for range 50 {
		mine[Reserve(t)] = true
	}
	if len(mine) != 50 {
		t.Errorf("50 reservations are %d addresses", len(mine))
	}
	for range 40000 { // more than there are ports to choose from
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if mine[l.Addr().String()] {
			t.Fatalf("%v was given to somebody who asked for any port", l.Addr())
		}
		l.Close()
	}
}
