//go:build !linux

package handover

import "os"

// Start fails.
func Start(Program) (*Successor, error) { return nil, ErrUnsupported }

// Predecessor is nil: nobody can have asked.
func Predecessor() (*Link, error) {
	if _, ok := os.LookupEnv(Environment); ok {
		return nil, ErrUnsupported
	}
	return nil, nil
}
