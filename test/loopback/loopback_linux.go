// Package loopback hands out addresses on the loopback interface to tests that have to know one before anybody listens
// there, or that need one where nobody ever does.
package loopback

import (
	"net"
	"strconv"
	"syscall"
	"testing"
)

// Reserve returns an address that is the caller's until the test ends. Connections to it are refused as long as nobody
// listens, and nobody who leaves the choice of a port to the system is given it; who names it can listen on it, as often
// as he likes. (The address of a listener that was closed promises none of that: the next listener may get it.)
func Reserve(t testing.TB) string {
	t.Helper()
	port, release, err := reserve()
	if err != nil {
		t.Fatal("no loopback address to be had: ", err)
	}
	t.Cleanup(release)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// reserve binds a socket that never listens. Linux lets another socket with SO_REUSEADDR, which Go and Java set on
// listeners, have the same port beside it when it asks for that port, but never offers it to those who ask for any.
func reserve() (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	release = func() { syscall.Close(fd) } //nolint:errcheck // nothing was sent on it
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		release()
		return 0, nil, err
	}
	return name.(*syscall.SockaddrInet4).Port, release, nil
}
