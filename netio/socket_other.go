//go:build !linux || 386 || s390x || race

package netio

import "syscall"

// sysRead reads what lies in the socket, and does not wait. n is -1 with an error. The race detector sees these, and not
// the raw calls of socket_linux.go.
func sysRead(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// sysWrite writes what the socket takes, as sysRead reads.
func sysWrite(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
