//go:build !linux

package proxy

import "syscall"

// pollHangUp tells, without waiting, whether the other side of a socket has closed its sending side and nothing lies unread
// before that (half), and whether the connection is broken (gone).
func pollHangUp(fd uintptr) (half, gone bool) {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n == 0, err == syscall.ECONNRESET || err == syscall.EPIPE
}
