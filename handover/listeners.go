package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
)

// This file owns the listening sockets of a process: those that it opened, and those that it was given by its predecessor or
// by a service manager, which are used in place of new ones.

// Listeners are a process's listening sockets. The zero value opens new ones.
type Listeners struct {
	mu   sync.Mutex
	idle []*socket            // guarded by mu: given and not asked for
	open map[*socket]struct{} // guarded by mu
	gate chan struct{}        // guarded by mu: nothing is accepted before it is closed; nil: all is
}

// socket is a listening socket under the name by which it was asked for.
type socket struct {
	net.Listener
	Address
	set    *Listeners
	gate   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Hold makes sockets that are opened or given from here on accept nothing until Release.
func (s *Listeners) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = make(chan struct{})
}

// Release lets them accept.
func (s *Listeners) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
}

// Listen is net.Listen, but for sockets that were given.
func (s *Listeners) Listen(network, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.idle, func(k *socket) bool { return k.Network == network && k.Address.Address == address })
	if i < 0 {
		i = slices.IndexFunc(s.idle, func(k *socket) bool { return sameAddress(k.Addr(), network, address) })
	}
	var k *socket
	if i >= 0 {
		k = s.idle[i]
		s.idle = slices.Delete(s.idle, i, i+1)
	} else {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		k = &socket{Listener: l}
	}
	k.Address, k.set, k.gate, k.closed = Address{network, address}, s, s.gate, make(chan struct{})
	if unix, ok := k.Listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(true)
	}
	if s.open == nil {
		s.open = map[*socket]struct{}{}
	}
	s.open[k] = struct{}{}
	return k, nil
}

// sameAddress tells whether address is another way to write where a socket listens.
func sameAddress(have net.Addr, network, address string) bool {
	switch have := have.(type) {
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		return err == nil && want.Port == have.Port && (want.IP.Equal(have.IP) || len(want.IP) == 0 && have.IP.IsUnspecified())
	case *net.UnixAddr:
		return network == "unix" && have.Name == address
	}
	return false
}

// Give adds a socket that this process was given. An Address that says nothing is that of the socket itself.
func (s *Listeners) Give(a Address, file *os.File) error {
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("handover: a socket for %s %s that does not listen: %w", a.Network, a.Address, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, &socket{Listener: l, Address: a})
	return nil
}

// CloseIdle closes the sockets that were given and that nobody asked for, and returns their addresses.
func (s *Listeners) CloseIdle() (unused []net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.idle {
		unused = append(unused, k.Addr())
		if unix, ok := k.Listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(true)
		}
		k.Listener.Close()
	}
	s.idle = nil
	return unused
}

// Copy is a second descriptor of an open socket: it goes on listening when the first is closed.
type Copy struct {
	Address
	File *os.File
}

// Copies returns a copy of each open socket, by which they can be passed, and brought back by Give.
func (s *Listeners) Copies() (all []Copy, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.open {
		c, ok := k.Listener.(interface{ File() (*os.File, error) })
		if !ok {
			err = errors.Join(err, fmt.Errorf("handover: the listener of %s cannot be passed", k.Address.Address))
			continue
		}
		file, e := c.File()
		if e != nil {
			err = errors.Join(err, fmt.Errorf("handover: the listener of %s: %w", k.Address.Address, e))
			continue
		}
		all = append(all, Copy{k.Address, file})
	}
	if err != nil {
		CloseCopies(all)
		return nil, err
	}
	return all, nil
}

// Keep says whether closing a unix socket leaves its file, for another process listens there.
func (s *Listeners) Keep(files bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.open {
		if unix, ok := k.Listener.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(!files)
		}
	}
}

// CloseCopies closes them.
func CloseCopies(all []Copy) {
	for _, c := range all {
		c.File.Close()
	}
}

// Accept waits for Release first.
func (k *socket) Accept() (net.Conn, error) {
	if k.gate != nil {
		select {
		case <-k.gate:
		case <-k.closed:
			return nil, net.ErrClosed
		}
	}
	return k.Listener.Accept()
}

// Close ends it.
func (k *socket) Close() error {
	k.once.Do(func() { close(k.closed) })
	k.set.mu.Lock()
	delete(k.set.open, k)
	k.set.mu.Unlock()
	return k.Listener.Close()
}
