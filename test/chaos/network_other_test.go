//go:build !linux

package chaos

import (
	"errors"
	"testing"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns that partitions want Linux.

var errLinux = errors.New("chaos: partitions want Linux")

const front, back = "front", "back"

type network struct{ hosts []labs.Host }

func enterNetwork(t *testing.T) bool {
	t.Helper()
	t.Skip("SKIPPED: ", errLinux)
	return false
}

func layNetwork(*testing.T, int) *network           { return nil }
func (*network) cut(*labs.Member, ...string) error  { return errLinux }
func (*network) heal(*labs.Member, ...string) error { return errLinux }
