package proxy

import (
	"syscall"
	"unsafe"
)

const (
	pollRDHUP = 0x2000 // the other side sends no more (poll(2))
	pollHUP   = 0x10
	pollERR   = 0x8
)

// pollHangUp tells, without waiting, whether the other side of a socket has closed its sending side (half), and whether the
// connection is broken or closed both ways (gone).
func pollHangUp(fd uintptr) (half, gone bool) {
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollRDHUP}
	var now syscall.Timespec
	n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 || n != 1 {
		return false, false
	}
	return p.revents&pollRDHUP != 0, p.revents&(pollHUP|pollERR) != 0
}
