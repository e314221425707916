//go:build linux && !386 && !s390x && !race

package netio

import (
	"syscall"
	"unsafe"
)

// sysRead reads what lies in the socket. It does not wait, so the scheduler need not hear of it, and it goes to the socket
// without the detour that read(2) takes through the file system's layer. n is -1 with an error.
func sysRead(fd uintptr, p []byte) (n int, err error) {
	return sysSocket(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
}

// sysWrite writes what the socket takes, as sysRead reads.
func sysWrite(fd uintptr, p []byte) (n int, err error) {
	return sysSocket(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

func sysSocket(call, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, errno
		}
	}
}
