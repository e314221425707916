//go:build linux && !386 && !s390x

package netio

import (
	"syscall"
	"unsafe"
)

// readable is the callback of Await: one system call and no stack to speak of, which syscall.Recvfrom is too deep for.
func readable(fd uintptr) bool {
	var one byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return errno != syscall.EAGAIN
}
