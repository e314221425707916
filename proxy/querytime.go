package proxy

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/querystats"
)

// This file owns how long a Bolt session's queries take, by the shape of their texts: auto-commit queries and those in transactions alike.
// A query's time is from when its RUN was there, or the query before it in the same transaction was done if that was later, to the last of
// its answer; it holds what the gate waited for a member, and what the client took to ask for more. Of several results that are open
// in one transaction the later query ends the earlier one's time.

// queryTime is of the query whose answer is coming. It belongs to run.
type queryTime struct {
	asked time.Time // when the present request, or the first that was pipelined with it, was begun
	began time.Time // of the query that runs
	ended time.Time // of the one before it
	rows  uint64    // records, since the query before it was done
	id    querystats.ID

	said  []byte // with Options.SlowData: the fields of the last RUN that was taken, cut
	taken uint32 // RUNs whose fields were kept,
	runs  uint32 // and of them, those that run or ran: said is of the query that runs when both are equal
}

// again forgets the query that runs: its unit is sent once more.
func (q *queryTime) again() { q.id, q.runs = querystats.None, 0 }

// queryTaken is the shape of the text of the RUN at the inbox's start, whole, which run takes; None for any other request.
func (s *boltSession) queryTaken(tag byte) querystats.ID {
	u, q := &s.unit, &s.query
	if tag == bolt.TagBegin {
		q.taken, q.runs = 0, 0
		s.texted.Store(uint32(querystats.None))
	}
	if tag != bolt.TagRun {
		return querystats.None
	}
	if s.version < bolt.V3 && (u.textEnds != 0 || u.explicit && len(u.query) > 0 && u.sent == 0 && s.owed.empty()) { // COMMIT, BEGIN
		return querystats.None
	}
	text := u.query
	if text == nil || u.explicit {
		text, s.scratch = runText(s.in.message(), s.scratch)
	}
	s.keepSaid()
	return s.queryOf(text)
}

// queryPassing is the same for a request that is passed on in pieces, of which the first is there; for a pump as well.
func (s *boltSession) queryPassing(tag byte) querystats.ID {
	if tag != bolt.TagRun || s.version < bolt.V3 && s.unit.textEnds != 0 {
		return querystats.None
	}
	text, _ := runText(s.in.buf[s.in.start:s.in.end], nil)
	return s.queryOf(text)
}

func (s *boltSession) queryOf(text []byte) querystats.ID {
	id := s.srv.queries.ID(text)
	s.texted.Store(uint32(id))
	return id
}

// queryRuns notes the answer to a RUN.
func (s *boltSession) queryRuns(o owed) {
	if o.query == querystats.None {
		return
	}
	q := &s.query
	if q.id != querystats.None {
		s.queryDone(false)
	}
	q.id, q.began = o.query, q.asked
	q.runs++
	if q.ended.After(q.began) {
		q.began = q.ended
	}
}

// queryDone notes the end of the answer to the query that runs, if one does.
func (s *boltSession) queryDone(failed bool) {
	q := &s.query
	if q.id == querystats.None {
		return
	}
	q.ended = time.Now()
	took := q.ended.Sub(q.began)
	s.unit.line.asked(spanQuery{q.began, q.id, q.rows, took, failed})
	s.srv.queries.Add(q.id, uintptr(unsafe.Pointer(s)), took, q.rows, failed)
	if limit := s.srv.options.Load().Slow; limit > 0 && took >= limit {
		s.logSlow(took, failed)
	}
	q.id, q.rows = querystats.None, 0
}

// queryRefused notes that the gate answers in a member's place, for the query whose answer is due, or runs.
func (s *boltSession) queryRefused() {
	s.mu.Lock()
	due := owed{}
	if !s.owed.empty() {
		due = s.owed.head()
	}
	s.mu.Unlock()
	s.queryRuns(due)
	s.queryDone(true)
}

// endQuery notes the end of a query that ended with its unit of work, without an answer to its end: its client left, or its RESET came.
func (s *boltSession) endQuery() {
	if s.query.id != querystats.None && s.lease == nil {
		s.queryDone(true)
	}
}

// runText is the text of a RUN of which b is the beginning, with chunk headers, as far as that is there and querystats looks; joined in
// scratch, which is returned grown, where it stands in several chunks.
func runText(b, scratch []byte) (text, grown []byte) {
	if len(b) < 4 {
		return nil, scratch
	}
	size := int(binary.BigEndian.Uint16(b))
	joined := b[2:min(2+size, len(b))]
	from, n := textAt(joined)
	if n = min(n, querystats.MaxLook); from+n > len(joined) {
		scratch = joinChunks(scratch[:0], b, querystats.MaxLook+8)
		joined = scratch
		from, n = textAt(joined)
	}
	from = min(from, len(joined))
	return joined[from:min(from+min(n, querystats.MaxLook), len(joined))], scratch
}

// joinChunks appends what the chunks in b hold, to no more than limit bytes.
func joinChunks(dst, b []byte, limit int) []byte {
	for len(b) > 2 && len(dst) < limit {
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 {
			break
		}
		end := min(2+size, len(b))
		dst = append(dst, b[2:end]...)
		b = b[end:]
	}
	return dst
}

// textAt is where the string stands that a message's first field is, behind the structure's two bytes, and how long it says that it is.
func textAt(payload []byte) (from, n int) {
	if len(payload) < 7 { // of a shorter one the text has a length of one nibble or byte
		payload = append(payload[:len(payload):len(payload)], 0, 0, 0, 0, 0, 0, 0)
	}
	switch m := payload[2]; {
	case m>>4 == 0x8:
		return 3, int(m & 0x0F)
	case m == 0xD0:
		return 4, int(payload[3])
	case m == 0xD1:
		return 5, int(binary.BigEndian.Uint16(payload[3:]))
	case m == 0xD2:
		return 7, int(min(binary.BigEndian.Uint32(payload[3:]), 1<<30))
	}
	return 3, 0
}
