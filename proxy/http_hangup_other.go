//go:build !linux

package proxy

import "syscall"

// pollHangUp tells, without waiting, whether the other side of a socket has closed it and nothing lies unread before that.
func pollHangUp(fd uintptr) bool {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n == 0
}
