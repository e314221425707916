//go:build !linux || 386 || s390x

package netio

import "syscall"

// readable is the callback of Await.
func readable(fd uintptr) bool {
	var one [1]byte
	_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
	return err != syscall.EAGAIN
}
