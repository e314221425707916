package standin

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// The formats of bookmarks (facts of Neo4j, "Bookmarks"): the old one goes with Bolt 1-3 whatever the server, the middle
// one with 4.0, the newest with 4.1 and later.
const (
	oldBookmark    = "neo4j:bookmark:v1:tx"
	fabricBookmark = "FB:"
)

// position is a transaction of a database: what a bookmark says.
type position struct {
	uuid [16]byte // zero in the old format, which names no database
	tx   int64
}

// oldBookmarks tells whether m reads only the old format from clients of version v. On 4.1 and later these are clients of
// Bolt 3, which get bookmarks in the newest format and cannot use them: 4.4.48 refuses its own (recorded).
func (m *member) oldBookmarks(v bolt.Version) bool {
	return !m.release().multi() || v != 0 && v < bolt.V4_0
}

// bookmark writes a position as clients of version v (0: HTTP) get it from m.
func (m *member) bookmark(v bolt.Version, uuid [16]byte, tx int64) string {
	switch {
	case !m.release().multi(), m.oldBookmarks(v) && !m.release().atLeast(4, 1):
		return oldBookmark + strconv.FormatInt(tx, 10)
	case !m.release().atLeast(4, 1):
		return formatUUID(uuid) + ":" + strconv.FormatInt(tx, 10)
	}
	p := packstream.AppendBytes(packstream.AppendList(nil, 1), uuid[:])
	p = packstream.AppendList(packstream.AppendInt(p, tx), 0)
	return fabricBookmark + base64.StdEncoding.EncodeToString(p)
}

// parseBookmark is the inverse; several positions when the bookmark holds several databases.
func (m *member) parseBookmark(v bolt.Version, text string) ([]position, *bolt.Failure) {
	bad := failure(codeInvalidBookmark, "Supplied bookmark [%s] does not conform to pattern %s", text, oldBookmark)
	if m.oldBookmarks(v) {
		n, err := strconv.ParseInt(strings.TrimPrefix(text, oldBookmark), 10, 64)
		if err != nil || !strings.HasPrefix(text, oldBookmark) {
			return nil, bad
		}
		return []position{{tx: n}}, nil
	}
	if rest, ok := strings.CutPrefix(text, fabricBookmark); ok && m.release().atLeast(4, 1) {
		list, err := parseFabric(rest)
		if err != nil {
			return nil, bad
		}
		return list, nil
	}
	var p position
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return nil, bad
	}
	id, err := hex.DecodeString(strings.ReplaceAll(text[:at], "-", ""))
	if err != nil || len(id) != len(p.uuid) {
		return nil, bad
	}
	copy(p.uuid[:], id)
	if p.tx, err = strconv.ParseInt(text[at+1:], 10, 64); err != nil {
		return nil, bad
	}
	return []position{p}, nil
}

// parseFabric reads what stands behind "FB:": a list of uuid and number for each database, then one of other graphs. The
// list's header counts databases, though each takes two values.
func parseFabric(text string) ([]position, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	d := packstream.NewDecoder(raw)
	var list []position
	for range d.List() {
		var p position
		if id := d.Bytes(); copy(p.uuid[:], id) != len(p.uuid) {
			return nil, fmt.Errorf("standin: a database id of %d bytes", len(id))
		}
		p.tx = d.Int()
		list = append(list, p)
	}
	d.Skip()
	return list, d.Err()
}

// awaitBookmarks waits until m has what the bookmarks name. Databases that m does not host are other members' to wait for.
func (m *member) awaitBookmarks(v bolt.Version, bookmarks []string, done <-chan struct{}) *bolt.Failure {
	for _, text := range bookmarks {
		list, bad := m.parseBookmark(v, text)
		if bad != nil {
			return bad
		}
		for _, p := range list {
			if f := m.await(p, done); f != nil {
				return f
			}
		}
	}
	return nil
}

func (m *member) await(p position, done <-chan struct{}) *bolt.Failure {
	c := m.c
	c.mu.Lock()
	d := c.byUUID(p.uuid)
	c.mu.Unlock()
	if d == nil {
		return failure(bolt.CodeDatabaseNotFound, "Database of the bookmark does not exist. Database id: %s.", formatUUID(p.uuid))
	}
	has := func() bool {
		_, hosted := d.applied[m]
		return !hosted || d.applied[m] >= p.tx
	}
	if c.waitFor(done, c.opt.BookmarkWait, has) {
		return nil
	}
	select {
	case <-done:
		return m.terminated()
	default:
	}
	c.mu.Lock()
	at := d.applied[m]
	c.mu.Unlock()
	code := codeBookmarkTimeout
	if !m.release().multi() {
		code = codeStateChanged
	}
	return failure(code, "Database '%s' not up to the requested version: %d. Latest database version is %d", orElse(d.name, "graph.db"), p.tx, at)
}

// byUUID is called with mu held. The zero uuid, of the old format, is the first database.
func (c *Cluster) byUUID(uuid [16]byte) *database {
	if uuid == ([16]byte{}) && len(c.dbs) > 0 {
		return c.dbs[0]
	}
	for _, d := range c.dbs {
		if d.uuid == uuid {
			return d
		}
	}
	return nil
}
