package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Magic opens every Bolt connection (Bolt specification, "Handshake").
const Magic uint32 = 0x6060B017

const (
	proposals         = 4
	manifest   uint32 = 0x000001FF // asks for, or is, the manifest handshake of 5.7
	maxOffered        = 64         // entries of a manifest we read; Neo4j sends 4
)

// ErrNoVersion says that the two sides share no Bolt version. The server has told its client so (00 00 00 00).
var ErrNoVersion = errors.New("bolt: no version in common")

// ErrMagic says that the first four bytes are not Bolt's.
var ErrMagic = errors.New("bolt: not a Bolt handshake")

// wire is a version's place in a handshake: 00 RG mn MJ with an empty range.
func (v Version) wire() uint32 { return uint32(v.Minor())<<8 | uint32(v.Major()) }

// propose picks the newest version among offered that proposal p, perhaps a range, covers.
func propose(p uint32, offered []Version) Version {
	major, minor, back := byte(p), byte(p>>8), byte(p>>16)
	best := Version(0)
	for _, v := range offered {
		if v.Major() == major && v.Minor() <= minor && int(v.Minor()) >= int(minor)-int(back) {
			best = max(best, v)
		}
	}
	return best
}

// AcceptHandshake is the server's side: it reads the client's proposals from rw and settles on one of offered. The manifest
// is used only when a version that has it (5.7 or newer) is offered. Errors: ErrMagic, ErrNoVersion, or the connection's.
func AcceptHandshake(rw io.ReadWriter, offered []Version) (Version, error) {
	var hello [4 + 4*proposals]byte
	if _, err := io.ReadFull(rw, hello[:]); err != nil {
		return 0, fmt.Errorf("bolt: reading the handshake: %w", err)
	}
	if binary.BigEndian.Uint32(hello[:]) != Magic {
		return 0, ErrMagic
	}
	for i := range proposals {
		p := binary.BigEndian.Uint32(hello[4+4*i:])
		if p == manifest && slices.ContainsFunc(offered, func(v Version) bool { return v >= V5_7 }) {
			return acceptManifest(rw, offered)
		}
		if v := propose(p, offered); v != 0 {
			return v, writeUint32(rw, v.wire())
		}
	}
	return 0, errors.Join(ErrNoVersion, writeUint32(rw, 0))
}

func writeUint32(w io.Writer, v uint32) error {
	_, err := w.Write(binary.BigEndian.AppendUint32(nil, v))
	return err
}

// acceptManifest sends what we offer and reads the client's choice (Bolt specification, "Handshake manifest v1").
func acceptManifest(rw io.ReadWriter, offered []Version) (Version, error) {
	b := binary.BigEndian.AppendUint32(nil, manifest)
	b = binary.AppendUvarint(b, uint64(len(offered)))
	for _, v := range offered {
		b = binary.BigEndian.AppendUint32(b, v.wire())
	}
	if _, err := rw.Write(append(b, 0)); err != nil { // no capabilities
		return 0, err
	}
	var choice [4]byte
	if _, err := io.ReadFull(rw, choice[:]); err != nil {
		return 0, fmt.Errorf("bolt: reading the choice from the manifest: %w", err)
	}
	capabilities, err := readUvarint(rw)
	if err != nil {
		return 0, fmt.Errorf("bolt: reading the capabilities: %w", err)
	}
	p := binary.BigEndian.Uint32(choice[:])
	v := V(byte(p), byte(p>>8))
	if p>>16 != 0 || capabilities != 0 || !slices.Contains(offered, v) {
		return 0, fmt.Errorf("%w: the client chose %08x, which was not offered", ErrNoVersion, p)
	}
	return v, nil
}

// readUvarint reads byte by byte: what follows belongs to somebody else.
func readUvarint(r io.Reader) (uint64, error) {
	var one [1]byte
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return 0, err
		}
		v |= uint64(one[0]&0x7F) << shift
		if one[0] < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("bolt: variable-length number is too long")
}

func sendProposals(w io.Writer, want ...uint32) error {
	b := binary.BigEndian.AppendUint32(nil, Magic)
	for i := range proposals {
		p := uint32(0)
		if i < len(want) {
			p = want[i]
		}
		b = binary.BigEndian.AppendUint32(b, p)
	}
	_, err := w.Write(b)
	return err
}

func readUint32(r io.Reader) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(r, b[:])
	return binary.BigEndian.Uint32(b[:]), err
}

// Handshake is the client's side for exactly the versions given (at most four, in order of preference); it returns the
// one that the server took. Errors: ErrNoVersion, or the connection's.
func Handshake(rw io.ReadWriter, want ...Version) (Version, error) {
	wires := make([]uint32, 0, proposals)
	for _, v := range want {
		wires = append(wires, v.wire())
	}
	if err := sendProposals(rw, wires...); err != nil {
		return 0, fmt.Errorf("bolt: sending the handshake: %w", err)
	}
	answer, err := readUint32(rw)
	if err != nil {
		return 0, fmt.Errorf("bolt: reading the handshake's answer: %w", err)
	}
	for _, v := range want {
		if answer == v.wire() {
			return v, nil
		}
	}
	if answer == 0 {
		return 0, ErrNoVersion
	}
	return 0, fmt.Errorf("bolt: the server answered the handshake with %08x, which was not proposed", answer)
}

// Probe finds every version that a server speaks, newest first, without a login. dial opens one connection a question:
// the manifest first, then, for servers before 5.26, exact proposals from the newest down, from whose answers the rest
// follows: a server that speaks 5.n speaks all released 5.x up to n, and the same for 4.n. Errors are the connection's;
// ErrNoVersion when nothing is in common.
func Probe(dial func() (io.ReadWriteCloser, error)) ([]Version, error) {
	offered, err := probeManifest(dial)
	if offered != nil || err != nil {
		return offered, err
	}
	var found []Version
	for rest := Versions; len(rest) > 0; {
		batch := rest[:min(proposals, len(rest))]
		got, err := probeOnce(dial, batch)
		switch {
		case errors.Is(err, ErrNoVersion):
			rest = rest[len(batch):]
		case err != nil:
			return nil, err
		default:
			rest = rest[slices.Index(rest, got):]
			if got < V4_0 {
				found, rest = append(found, got), rest[1:]
				continue
			}
			for len(rest) > 0 && rest[0].Major() == got.Major() {
				found, rest = append(found, rest[0]), rest[1:]
			}
		}
	}
	if len(found) == 0 {
		return nil, ErrNoVersion
	}
	return found, nil
}

func probeOnce(dial func() (io.ReadWriteCloser, error), want []Version) (Version, error) {
	conn, err := dial()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return Handshake(conn, want...)
}

// probeManifest returns nil, nil when the server does not know the manifest.
func probeManifest(dial func() (io.ReadWriteCloser, error)) ([]Version, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := sendProposals(conn, manifest); err != nil {
		return nil, err
	}
	switch answer, err := readUint32(conn); {
	case err != nil:
		return nil, fmt.Errorf("bolt: reading the handshake's answer: %w", err)
	case answer != manifest:
		return nil, nil
	}
	n, err := readUvarint(conn)
	switch {
	case err != nil:
		return nil, fmt.Errorf("bolt: reading the manifest: %w", err)
	case n > maxOffered:
		return nil, fmt.Errorf("bolt: the server's manifest claims %d versions; at most %d are read", n, maxOffered)
	}
	var offered []Version
	for range n {
		p, err := readUint32(conn)
		if err != nil {
			return nil, fmt.Errorf("bolt: reading the manifest: %w", err)
		}
		for _, v := range Versions {
			if propose(p, []Version{v}) != 0 {
				offered = append(offered, v)
			}
		}
	}
	slices.Sort(offered)
	slices.Reverse(offered)
	return slices.Compact(offered), nil
}
