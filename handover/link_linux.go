package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// This file owns the socket between the two processes.

// Link is the way to the other process. Any number of goroutines may send, one may receive.
type Link struct {
	conn    *net.UnixConn
	sending sync.Mutex
	in      []byte // the receiver's
	rights  []byte // as in
}

// newLink takes over a socket of type SOCK_SEQPACKET.
func newLink(fd int) (*Link, error) {
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("handover: the file descriptor in " + Environment + " is no unix socket")
	}
	// Best effort: a packet has to fit into the buffer, and one of the usual size does.
	unix.SetWriteBuffer(4 * maxPacket) //nolint:errcheck // as said
	return &Link{conn: unix, in: make([]byte, maxPacket+1), rights: make([]byte, syscall.CmsgSpace(2*4))}, nil
}

// pair makes the two ends of a link. The one for the other process is a bare file.
func pair() (*Link, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("handover: socketpair: %w", err)
	}
	l, err := newLink(fds[0])
	if err != nil {
		syscall.Close(fds[1]) //nolint:errcheck // the first error says it
		return nil, nil, err
	}
	return l, os.NewFile(uintptr(fds[1]), "handover"), nil
}

// peer is who made the socket.
func (l *Link) peer() (cred *syscall.Ucred, err error) {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil {
		return nil, e
	}
	return cred, err
}

// Send sends a packet. body is nil, bytes, or what JSON can hold; file is nil or what the other process gets a copy of, and
// keeps its mode: nothing else of it changes here. ErrTooLarge: it was not sent.
func (l *Link) Send(k Kind, body any, file syscall.Conn) error {
	text, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("handover: %w", err)
		}
	}
	if len(text) > maxBody {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(text))
	}
	packet := append([]byte{byte(k)}, text...)
	if file == nil {
		return l.write(packet, nil)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	// Within Control the descriptor cannot be closed and given to something else.
	if e := raw.Control(func(fd uintptr) { err = l.write(packet, syscall.UnixRights(int(fd))) }); e != nil {
		return fmt.Errorf("handover: %w", e)
	}
	return err
}

func (l *Link) write(packet, rights []byte) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	_, _, err := l.conn.WriteMsgUnix(packet, rights, nil)
	switch {
	case errors.Is(err, syscall.EMSGSIZE):
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(packet))
	case err != nil:
		return fmt.Errorf("handover: sending: %w", err)
	}
	return nil
}

// Receive waits for the next packet. io.EOF says that the other process is gone, or has closed the link; whatever it sent
// before that has been received then.
func (l *Link) Receive() (Packet, error) {
	n, m, flags, _, err := l.conn.ReadMsgUnix(l.in, l.rights)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
			err = io.EOF
		}
		return Packet{}, err
	}
	file, err := oneFile(l.rights[:m])
	if err == nil && (n == 0 && file != nil || n > maxPacket || flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0) {
		err = fmt.Errorf("%w: cut off", ErrFormat)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		Packet{File: file}.Drop()
		return Packet{}, err
	}
	return Packet{Kind: Kind(l.in[0]), Body: l.in[1:n], File: file}, nil
}

// oneFile takes the file out of what came beside a packet.
func oneFile(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var all []int
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err == nil {
			all = append(all, fds...)
		}
	}
	if len(all) == 1 {
		return os.NewFile(uintptr(all[0]), "passed"), nil
	}
	for _, fd := range all {
		syscall.Close(fd) //nolint:errcheck // there is nothing else to do with it
	}
	return nil, fmt.Errorf("%w: %d files", ErrFormat, len(all))
}

// Close ends the link. What was not received on the other side yet still is.
func (l *Link) Close() error { return l.conn.Close() }
