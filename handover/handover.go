// Package handover passes a running gate's sockets to the process that takes its place: listening sockets, and one by one the
// connections of clients who wait. A packet is a kind, a body and at most one file, over a socket that nobody but the two
// processes has: the old one makes it and starts the new one with it. What the bodies say is the business of those who send them.
//
// All of it is for Linux. Elsewhere Start says so.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Kind says what a packet is.
type Kind byte

// The packets, in the order of a hand-over. "old" and "new" are the processes.
const (
	Hello     Kind = 'h' // new, then old: what each can do; what both know of this one never changes
	Listening Kind = 'l' // old: a listening socket, with its Address
	Sockets   Kind = 's' // old: those were all; what else the new one has to know before it serves
	Ready     Kind = 'r' // new: it could serve
	Go        Kind = 'g' // old: it has stopped accepting; from here on the new one accepts
	Memory    Kind = 'm' // old: what it knows that is not of one client
	Client    Kind = 'c' // old: a client's connection and its state, by a number
	Taken     Kind = 't' // new: the connection of that number is its own; sent before it touches it
	Refused   Kind = 'x' // new: it is not; the old one serves on
	Done      Kind = 'd' // old: there is nothing more to come
	Leaving   Kind = 'e' // new: it ends because it was asked to
)

// Limits of a packet. The body of a client's state is mostly what it sent before its login, 64 KiB of HELLO and of LOGON.
const (
	maxBody   = 160 << 10
	maxPacket = maxBody + 1
)

// Environment is the variable that tells a process that it is to take over, and by which file descriptor.
const Environment = "BOLTGATE_HANDOVER"

// Errors.
var (
	ErrUnsupported = errors.New("handover: passing sockets to a new process works on Linux only")
	ErrTooLarge    = errors.New("handover: too large to be passed")
	ErrFormat      = errors.New("handover: a packet that cannot be read")
)

// Formats are the versions of what Client and Memory packets hold that a process can read and write, first to last.
type Formats struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// Common is the newest format that both know; 0 when there is none, and then only listening sockets are passed.
func (f Formats) Common(other Formats) int {
	if n := min(f.Last, other.Last); n >= max(f.First, other.First, 1) {
		return n
	}
	return 0
}

// Greeting is the body of Hello.
type Greeting struct {
	Protocol int     `json:"protocol"` // of the packets themselves: Protocol, or nothing is passed at all
	Version  string  `json:"version"`  // of the program, for logs
	Formats  Formats `json:"formats"`
}

// Protocol is the version of the packets' kinds and order.
const Protocol = 1

// ReadGreeting reads the body of Hello, and refuses another protocol.
func ReadGreeting(body []byte) (g Greeting, err error) {
	if err := json.Unmarshal(body, &g); err != nil {
		return g, fmt.Errorf("%w: hello: %w", ErrFormat, err)
	}
	if g.Protocol != Protocol {
		return g, fmt.Errorf("handover: boltgate %s passes sockets in a way (%d) that this version does not know (%d); restart instead", g.Version, g.Protocol, Protocol)
	}
	return g, nil
}

// Address is the body of Listening: what was asked for, not what the system made of it.
type Address struct {
	Network string `json:"network"`
	Address string `json:"address"`
}

// Packet is one packet as it was received.
type Packet struct {
	Kind Kind
	Body []byte   // borrowed: valid until the next Receive
	File *os.File // nil: it had none; the receiver's to close
}

// Expect is the packet when it is of that kind, and an error otherwise.
func (p Packet) Expect(k Kind) error {
	if p.Kind != k {
		p.Drop()
		return fmt.Errorf("%w: %q where %q was due", ErrFormat, p.Kind, k)
	}
	return nil
}

// Await receives the next packet, which has to be of that kind.
func (l *Link) Await(k Kind) (Packet, error) {
	p, err := l.Receive()
	if err == nil {
		err = p.Expect(k)
	}
	return p, err
}

// AwaitGreeting receives the other process's Hello.
func (l *Link) AwaitGreeting() (Greeting, error) {
	p, err := l.Await(Hello)
	if err != nil {
		return Greeting{}, err
	}
	return ReadGreeting(p.Body)
}

// Drop closes the packet's file.
func (p Packet) Drop() {
	if p.File != nil {
		p.File.Close()
	}
}
