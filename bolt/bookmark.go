package bolt

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// This file owns what bookmarks say. Servers call them opaque; the gate has to know which of two is the later one.

// Position is a transaction of one database: what a bookmark says of it. Transactions of one database have numbers that
// grow; those of different databases compare to nothing.
type Position struct {
	DB [16]byte // its UUID; zero where the format names none
	Tx int64
}

// SystemDB is the UUID of the database system on every server that has one.
var SystemDB = [16]byte{15: 1}

// BookmarkFormat is how a bookmark is written.
type BookmarkFormat uint8

// The formats. BookmarkUnknown is what the gate cannot read.
const (
	BookmarkUnknown BookmarkFormat = iota
	BookmarkTx                     // neo4j:bookmark:v1:tx<N>; 3.1-3.5
	BookmarkUUID                   // <uuid>:<N>; 4.0
	BookmarkFabric                 // FB: and base64 of a list of UUIDs and numbers, then one of external graphs; 4.1 and newer
)

const (
	bookmarkTx     = "neo4j:bookmark:v1:tx"
	bookmarkFabric = "FB:"
	maxFabric      = 1024 // bytes behind FB: that are read; some 25 databases
)

// ParseBookmark appends the positions that a bookmark holds. BookmarkUnknown, with dst as it was, means that it cannot be
// read, or that it also holds what does not compare (external graphs). It allocates only for dst.
func ParseBookmark(dst []Position, text []byte) ([]Position, BookmarkFormat) {
	if rest, ok := bytes.CutPrefix(text, []byte(bookmarkTx)); ok {
		n, ok := decimal(rest)
		if !ok {
			return dst, BookmarkUnknown
		}
		return append(dst, Position{Tx: n}), BookmarkTx
	}
	if rest, ok := bytes.CutPrefix(text, []byte(bookmarkFabric)); ok {
		return parseFabric(dst, rest)
	}
	return parseUUID(dst, text)
}

// parseFabric reads what stands behind FB:. The first list's header counts databases, though each takes two values.
func parseFabric(dst []Position, text []byte) ([]Position, BookmarkFormat) {
	var room [maxFabric]byte
	if len(text) == 0 {
		return dst, BookmarkFabric
	}
	if base64.StdEncoding.DecodedLen(len(text)) > len(room) {
		return dst, BookmarkUnknown
	}
	n, err := base64.StdEncoding.Decode(room[:], text)
	if err != nil {
		return dst, BookmarkUnknown
	}
	d := packstream.NewDecoder(room[:n])
	list := dst
	for range d.List() {
		var p Position
		if id := d.Bytes(); copy(p.DB[:], id) != len(p.DB) || len(id) != len(p.DB) {
			return dst, BookmarkUnknown
		}
		if p.Tx = d.Int(); p.Tx < 0 {
			return dst, BookmarkUnknown
		}
		list = append(list, p)
	}
	if external := d.List(); external != 0 || d.Err() != nil || d.Len() != 0 {
		return dst, BookmarkUnknown
	}
	return list, BookmarkFabric
}

func parseUUID(dst []Position, text []byte) ([]Position, BookmarkFormat) {
	var p Position
	if len(text) < 38 || text[36] != ':' {
		return dst, BookmarkUnknown
	}
	var digits [32]byte
	plain := append(digits[:0], text[:8]...)
	for _, group := range [...][2]int{{9, 13}, {14, 18}, {19, 23}, {24, 36}} {
		if text[group[0]-1] != '-' {
			return dst, BookmarkUnknown
		}
		plain = append(plain, text[group[0]:group[1]]...)
	}
	if _, err := hex.Decode(p.DB[:], plain); err != nil {
		return dst, BookmarkUnknown
	}
	n, ok := decimal(text[37:])
	if !ok {
		return dst, BookmarkUnknown
	}
	p.Tx = n
	return append(dst, p), BookmarkUUID
}

// decimal reads a transaction's number.
func decimal(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// AppendBookmark appends the bookmark that says p in a format other than BookmarkUnknown.
func AppendBookmark(dst []byte, format BookmarkFormat, p Position) []byte {
	switch format {
	case BookmarkTx:
		return strconv.AppendInt(append(dst, bookmarkTx...), p.Tx, 10)
	case BookmarkUUID:
		for i, group := range [...][]byte{p.DB[:4], p.DB[4:6], p.DB[6:8], p.DB[8:10], p.DB[10:]} {
			if i > 0 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, group)
		}
		return strconv.AppendInt(append(dst, ':'), p.Tx, 10)
	}
	var room [32]byte
	b := packstream.AppendBytes(packstream.AppendList(room[:0], 1), p.DB[:])
	b = packstream.AppendList(packstream.AppendInt(b, p.Tx), 0)
	return base64.StdEncoding.AppendEncode(append(dst, bookmarkFabric...), b)
}

// Bookmark has a server say which transaction of a database it has: it begins and commits a transaction that reads (3 and newer).
// db is left out when it is "". After a *Failure the connection has been RESET and can be used again.
func (c *Client) Bookmark(db string) (string, error) {
	extra := map[string]any{"mode": "r"}
	if db != "" && c.Version >= V4_0 {
		extra["db"] = db
	}
	c.out = AppendMessage(AppendMessage(c.out[:0], TagBegin, extra), TagCommit)
	if _, err := c.Conn.Write(c.out); err != nil {
		return "", fmt.Errorf("bolt: sending BEGIN: %w", err)
	}
	if _, err := c.Success(); err != nil {
		return "", c.afterFailure(err, 1)
	}
	end, err := c.Success()
	if err != nil {
		return "", c.afterFailure(err, 0)
	}
	text, _ := end["bookmark"].(string)
	return text, nil
}
