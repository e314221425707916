package standin

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/boltgate/boltgate/bolt"
)

// handshake settles on a version (facts of Neo4j, "Handshake"); false when the connection is to be closed.
func (c *boltConn) handshake() bool {
	var hello [20]byte
	if _, err := io.ReadFull(c.in.source, hello[:4]); err != nil || binary.BigEndian.Uint32(hello[:]) != 0x6060B017 {
		return false
	}
	if _, err := io.ReadFull(c.in.source, hello[4:]); err != nil || !c.m.awaken(c.life.Done()) {
		return false
	}
	offered := c.m.release().versions
	for i := 4; i < len(hello); i += 4 {
		p := hello[i : i+4]
		if p[0] == 0 && p[1] == 0 && p[2] == 1 && p[3] == 0xFF && slices.Contains(offered, bolt.V5_7) {
			return c.handshakeManifest()
		}
		if v, ok := choose(p, offered, c.m.release().atLeast(4, 3)); ok {
			c.v = v
			_, err := c.conn.Write([]byte{0, 0, v.Minor(), v.Major()})
			return err == nil
		}
	}
	_, _ = c.conn.Write([]byte{0, 0, 0, 0})
	return false
}

// choose finds the newest version that a proposal covers; servers before 4.3 do not know ranges.
func choose(p []byte, offered []bolt.Version, ranges bool) (bolt.Version, bool) {
	back := int(p[1])
	if !ranges {
		back = 0
	}
	for minor := int(p[2]); minor >= max(int(p[2])-back, 0); minor-- {
		if v := bolt.V(p[3], uint8(minor)); slices.Contains(offered, v) {
			return v, true
		}
	}
	return 0, false
}

// handshakeManifest is the manifest handshake of 5.7.
func (c *boltConn) handshakeManifest() bool {
	offers := manifestRanges(c.m.release().versions)
	b := []byte{0, 0, 1, 0xFF, byte(len(offers))}
	for _, o := range offers {
		b = append(b, 0, o.back, o.newest.Minor(), o.newest.Major())
	}
	if _, err := c.conn.Write(append(b, 0)); err != nil { // no capabilities
		return false
	}
	var choice [5]byte
	if _, err := io.ReadFull(c.in.source, choice[:]); err != nil || choice[0] != 0 || choice[1] != 0 || choice[4] != 0 {
		return false
	}
	c.v, c.manifest = bolt.V(choice[3], choice[2]), true
	return slices.Contains(c.m.release().versions, c.v)
}

// offer is a range of versions: the newest, and how many minors before it belong to it.
type offer struct {
	newest bolt.Version
	back   byte
}

// manifestRanges joins versions, newest first, into ranges, oldest major first, as the server prints them.
func manifestRanges(versions []bolt.Version) []offer {
	var list []offer
	for _, v := range slices.Backward(versions) {
		if n := len(list); n > 0 && list[n-1].newest+1 == v {
			list[n-1] = offer{v, list[n-1].back + 1}
			continue
		}
		list = append(list, offer{v, 0})
	}
	return list
}
