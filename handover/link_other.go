//go:build !linux

package handover

import "syscall"

// Link is the way to the other process, which there is on Linux only.
type Link struct{}

// Send fails.
func (*Link) Send(Kind, any, syscall.Conn) error { return ErrUnsupported }

// Receive fails.
func (*Link) Receive() (Packet, error) { return Packet{}, ErrUnsupported }

// Close does nothing.
func (*Link) Close() error { return nil }
