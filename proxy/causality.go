package proxy

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what a Bolt session's reads have to see (design "Causality"): the bookmarks that the client sent, and for
// reads that we moved off the leader the transactions that its user has seen, which are added to the client's bookmarks.
// lateness.go owns what happens when a member does not have them.

// ownMark is a bookmark that we add.
type ownMark struct {
	at     bolt.Position
	format bolt.BookmarkFormat
}

// carry notes which transactions the unit has to see, when it is a read. An error is the client's RESET or end while the
// leader was asked for them.
func (s *boltSession) carry(ctx context.Context, o opening) error {
	u := &s.unit
	if u.intent.Mode != routing.Read {
		return nil
	}
	u.intent.Marks, u.own = s.marksRoom[:0], s.ownRoom[:0]
	given := o.bookmarks
	if s.version < bolt.V3 && u.explicit {
		given = bookmarksParameter(o.params)
	}
	legible := u.readBookmarks(given)
	if !u.moved {
		s.keepTarget()
		return nil
	}
	if !legible { // the member that has to refuse them is the leader
		s.toLeader()
		return nil
	}
	err := s.remember(ctx)
	s.keepTarget()
	return err
}

// bookmarksParameter finds the bookmarks in the parameters of a BEGIN of Bolt 1 and 2.
func bookmarksParameter(params []byte) []byte {
	d := packstream.NewDecoder(params)
	for range d.Map() {
		if string(d.String()) == "bookmarks" {
			return d.Raw()
		}
		d.Skip()
	}
	return nil
}

// readBookmarks adds what the client's bookmarks say to the unit's marks. It is false when they are no list of texts; a text that
// cannot be read says nothing, for the member to refuse or to know.
func (u *unit) readBookmarks(encoded []byte) (legible bool) {
	if len(encoded) == 0 {
		return true
	}
	d := packstream.NewDecoder(encoded)
	if d.Kind() != packstream.KindList {
		return false
	}
	for range d.List() {
		if d.Kind() != packstream.KindString {
			return false
		}
		var room [maxMarks]bolt.Position
		list, _ := bolt.ParseBookmark(room[:0], d.String())
		for _, p := range list {
			u.mark(p)
		}
	}
	return d.Err() == nil
}

// mark adds one transaction that the unit has to see; false when it is among them already.
func (u *unit) mark(p bolt.Position) bool {
	for i := range u.intent.Marks {
		if have := &u.intent.Marks[i]; have.DB == p.DB {
			if have.Tx >= p.Tx {
				return false
			}
			have.Tx = p.Tx
			return true
		}
	}
	if len(u.intent.Marks) < cap(u.intent.Marks) {
		u.intent.Marks = append(u.intent.Marks, p)
	}
	return true
}

// keepTarget leaves only the marks of the unit's own database, where that is known: members are chosen by these. Clients send
// bookmarks of system to every database; the member waits for them if it has to.
func (s *boltSession) keepTarget() {
	u := &s.unit
	if len(u.intent.Marks) == 0 {
		return
	}
	id, known := s.target()
	kept := u.intent.Marks[:0]
	for _, p := range u.intent.Marks {
		if p.DB == [16]byte{} || p.DB == id && known || !known && p.DB != bolt.SystemDB {
			kept = append(kept, p)
		}
	}
	u.intent.Marks = kept
}

// target is the UUID of the unit's database, as far as it is known.
func (s *boltSession) target() (id [16]byte, known bool) {
	u := &s.unit
	if u.routed {
		return id, false
	}
	name := u.intent.DB
	if name == "" {
		name = s.login.homeDatabase(s.now)
	}
	if name == "" {
		name = s.srv.current.View().Default
	}
	if name == routing.System {
		return bolt.SystemDB, true
	}
	var room [64]byte
	return s.srv.databases.id(appendLower(room[:0], name))
}

// appendLower appends a database's name as databases knows it.
func appendLower[S ~string | ~[]byte](dst []byte, name S) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 0x80:
			return append(dst[:0], strings.ToLower(string(name))...)
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// takesBookmarks tells whether a bookmark can be had from this session's members and be added to an auto-commit query. The
// transactions of a HA slave come when it asks for them, which may be never.
func (s *boltSession) takesBookmarks() bool {
	return s.version >= bolt.V3 && s.srv.current.View().Generation != cluster.HA
}

// memory is where what the session's reads have to see is found; nil when they need to see nothing.
func (s *boltSession) memory() *marks {
	switch s.front.settings.Load().Causality {
	case CausalityNone:
		return nil
	case CausalitySession:
		if s.seen == nil {
			s.seen = new(marks)
		}
		return s.seen
	}
	return &s.login.marks
}

// remember makes a read that we moved see what its scope has seen.
func (s *boltSession) remember(ctx context.Context) error {
	u := &s.unit
	m := s.memory()
	if m == nil || mutant.Is(mutant.SkipMarks) || s.front.router().Policy.Member != "" || s.srv.current.View().Generation == cluster.Standalone { // there is one member only
		return nil
	}
	if s.front.settings.Load().Causality == CausalityCluster {
		if s.within {
			return errLeave
		}
		return s.rememberNewest(ctx)
	}
	marked := s.takesBookmarks()
	u.intent.Since = m.since(marked, s.now)
	if !marked {
		return nil
	}
	id, known := s.target()
	for _, k := range m.all() {
		if known && k.db != id && k.db != [16]byte{} {
			continue
		}
		s.add(k)
	}
	return nil
}

// add adds a mark to the bookmarks, unless the client's own say as much. Where it cannot be written in the session's format, time
// stands for it.
func (s *boltSession) add(k *mark) {
	u := &s.unit
	own := ownMark{bolt.Position{DB: k.db, Tx: k.tx.Load()}, bolt.BookmarkFormat(k.format.Load())}
	writable := (s.version >= bolt.V4_0) == (k.db != [16]byte{})
	if s.version < bolt.V4_0 {
		if !writable { // the old format names no database: it has to be the unit's
			id, known := s.target()
			writable = known && id == k.db
		}
		own.at.DB, own.format = [16]byte{}, bolt.BookmarkTx
	}
	if !writable {
		u.mayNotMiss(time.Unix(0, k.at.Load()))
		return
	}
	if u.mark(bolt.Position{DB: k.db, Tx: own.at.Tx}) && len(u.own) < cap(u.own) {
		u.own = append(u.own, own)
	}
}

// mayNotMiss makes the unit see what the leader had committed by a time.
func (u *unit) mayNotMiss(at time.Time) {
	if at.After(u.intent.Since) {
		u.intent.Since = at
	}
}

// saysRead tells whether mode "r" is ours to say: of a read that we judged, where the version enforces it, and to a frontend that
// refuses writes.
func (s *boltSession) saysRead() bool {
	return s.unit.judged && s.version >= bolt.V4_0 || s.unit.readOnly && s.version >= bolt.V3
}

// appendRebuilt appends the RUN or BEGIN with what we say in its extra, in chunks: mode "r" for a read that we judged, where the
// version has it, and bookmarks of our own behind the client's.
func (s *boltSession) appendRebuilt(dst, payload []byte, o opening) []byte {
	u := &s.unit
	mode, own, limit := s.saysRead(), len(u.own) > 0, u.left > 0
	ours := func(key []byte) bool { // what the client said of it is said anew
		return mode && string(key) == "mode" || (own || mutant.Is(mutant.DropBookmarks)) && string(key) == "bookmarks" || limit && string(key) == "tx_timeout"
	}
	pairs := 0
	for d := packstream.NewDecoder(o.extra); d.Len() > 0; {
		if d.Offset() == 0 {
			pairs += d.Map()
			continue
		}
		if ours(d.String()) {
			pairs--
		}
		d.Skip()
	}
	if mode {
		pairs++
	}
	if own {
		pairs++
	}
	if limit {
		pairs++
	}
	body := packstream.AppendMap(s.scratch[:0], pairs)
	if mode {
		body = packstream.AppendString(packstream.AppendString(body, "mode"), "r")
	}
	if own {
		body = u.appendBookmarks(packstream.AppendString(body, "bookmarks"), o.bookmarks)
	}
	if limit {
		body = packstream.AppendInt(packstream.AppendString(body, "tx_timeout"), u.left)
	}
	d := packstream.NewDecoder(o.extra)
	d.Map()
	for start := d.Offset(); d.Len() > 0; start = d.Offset() {
		key := d.String()
		d.Skip()
		if !ours(key) {
			body = append(body, o.extra[start:d.Offset()]...)
		}
	}
	s.scratch = body
	return appendChunks2(dst, payload[:o.length-len(o.extra)], body)
}

// sendPlain rebuilds the unit without bookmarks of ours. A frontend that refuses writes still says that it reads.
func (s *boltSession) sendPlain() {
	s.unit.own = nil
	s.rebuild()
}

// rebuild makes what is sent from what the client sent and what we say in it.
func (s *boltSession) rebuild() {
	u := &s.unit
	u.send = u.raw
	if !s.saysRead() && len(u.own) == 0 && u.left == 0 || len(u.raw) == 0 {
		return
	}
	var walk bolt.Walk
	n, _ := walk.Next(u.raw)
	payload, _ := bolt.Payload(u.raw[:n], nil)
	if o, err := s.parseOpening(payload[1], payload); err == nil { // it was read before
		u.rebuilt = append(s.appendRebuilt(u.rebuilt[:0], payload, o), u.raw[n:]...)
		u.send = u.rebuilt
	}
}

// appendBookmarks appends the list of the client's bookmarks, as given, and ours.
func (u *unit) appendBookmarks(dst, given []byte) []byte {
	if mutant.Is(mutant.DropBookmarks) {
		given = nil
	}
	d := packstream.NewDecoder(given)
	n := 0
	if len(given) > 0 {
		n = d.List()
	}
	dst = packstream.AppendList(dst, n+len(u.own))
	dst = append(dst, given[d.Offset():]...)
	var room [128]byte
	for _, own := range u.own {
		dst = packstream.AppendString(dst, bolt.AppendBookmark(room[:0], own.format, own.at))
	}
	return dst
}

// wrote tells whether the unit may have changed something.
func (u *unit) wrote() bool {
	return u.intent.Mode == routing.Write && !u.readOnly && (u.explicit || u.verdict.Access == cypher.Write)
}

// noteEnd notes what the end of the unit says: which transaction its member has now. Who reads after this answer has to see it, so
// it is noted before the answer leaves.
func (s *boltSession) noteEnd(k summaryKeys) {
	list, format := s.heard.parse(k.bookmark)
	if len(list) == 0 {
		s.noteUnmarked()
		return
	}
	s.raise(&s.login.marks, list, format)
	if s.front.settings.Load().Causality == CausalitySession {
		s.raise(s.memory(), list, format)
	}
	if p, one := s.ownPosition(list, k.db); one {
		s.srv.progress.note(s.lease.Member, p)
	}
}

// heard is the last bookmark that a session's answers had, and what it says: while nobody writes every answer has the same one. The
// zero heard has none.
type heard struct {
	text   []byte
	list   []bolt.Position
	format bolt.BookmarkFormat
}

const maxHeard = 256 // bytes of a bookmark that is kept; longer ones are of many databases

// parse is bolt.ParseBookmark. The list is good until the next call.
func (h *heard) parse(text []byte) ([]bolt.Position, bolt.BookmarkFormat) {
	if len(text) > 0 && bytes.Equal(h.text, text) {
		return h.list, h.format
	}
	h.text = h.text[:0]
	if len(text) <= maxHeard {
		h.text = append(h.text, text...)
	}
	h.list, h.format = bolt.ParseBookmark(h.list[:0], text)
	return h.list, h.format
}

func (s *boltSession) raise(m *marks, list []bolt.Position, format bolt.BookmarkFormat) {
	for _, p := range list {
		m.raise(p, format, s.now)
	}
	if s.unit.wrote() {
		m.written(time.Now())
	}
}

// noteUnmarked notes the end of a unit, or that its end will not be known, of which no transaction can be told.
func (s *boltSession) noteUnmarked() {
	if !s.unit.wrote() {
		return
	}
	s.login.marks.loosen(time.Now())
	if s.front.settings.Load().Causality == CausalitySession {
		s.memory().loosen(time.Now())
	}
}

// ownPosition is what a bookmark says of the unit's own database, whose name it teaches: bookmarks repeat what the client sent of
// other databases, and of those the member may have nothing. db is the name that the answer had; nil for none.
func (s *boltSession) ownPosition(list []bolt.Position, db []byte) (p bolt.Position, one bool) {
	u := &s.unit
	if u.routed {
		return p, false
	}
	var room [64]byte
	name := appendLower(room[:0], db)
	if len(db) == 0 {
		name = appendLower(name, u.intent.DB)
	}
	if len(name) == 0 {
		name = appendLower(name, s.login.homeDatabase(s.now))
	}
	id, known := s.srv.databases.id(name)
	candidates := 0
	for _, c := range list {
		switch {
		case known && c.DB == id:
			return c, true
		case c.DB != bolt.SystemDB || string(name) == routing.System:
			p = c
			candidates++
		}
	}
	if candidates != 1 {
		return p, false
	}
	if len(name) > 0 && p.DB != [16]byte{} {
		s.srv.databases.learn(name, p.DB, len(db) > 0)
	}
	return p, true
}
