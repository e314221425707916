package proxy

import (
	"crypto/sha256"
	"hash"
	"slices"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cypher"
)

// This file owns what is remembered of an explicit transaction so that it can be played again (failover.replay): its requests as they were
// sent, and of each answer a hash. Without failover.replay there is no journal.

const (
	replayRequests = 1 << 20  // bytes of requests that are remembered of one transaction
	replayAnswers  = 16 << 20 // bytes of answers that are read again
	sumSize        = sha256.Size
)

// journal is one transaction's. It belongs to run.
type journal struct {
	requests  []journaled
	done      int // how many of them were answered
	bytes     int
	sum       answerSum // of the answer that is coming
	streaming bool      // a part of it has come
	dead      string    // why the transaction cannot be played again; "" it can
}

// journaled is one request.
type journaled struct {
	tag byte
	raw []byte
	sum [sumSize]byte // of its answer
}

// newJournal is a journal for the unit that begins, nil where none is kept.
func (s *boltSession) newJournal() *journal {
	if !s.srv.options.Load().Replay || !s.unit.explicit || s.version < bolt.V3 || s.pinnedTo != nil {
		return nil
	}
	return new(journal)
}

func (j *journal) pending() []journaled { return j.requests[j.done:] }

func (j *journal) answered() []journaled { return j.requests[:j.done] }

// end gives the journal up.
func (j *journal) end(why string) {
	if j.dead == "" {
		j.dead, j.requests, j.done = why, nil, 0
	}
}

// request notes one that is being sent, whole.
func (j *journal) request(tag byte, raw []byte, procs *cypher.Procedures) {
	if j.dead != "" {
		return
	}
	if j.bytes += len(raw); j.bytes > replayRequests {
		j.end("it is too long")
		return
	}
	if tag == bolt.TagRun {
		payload, _ := bolt.Payload(raw, nil)
		d := packstream.NewDecoder(payload[2:])
		if text := d.String(); d.Err() != nil || !cypher.Repeatable(text, procs) {
			j.end("a text may give something else the next time")
			return
		}
	}
	j.requests = append(j.requests, journaled{tag: tag, raw: slices.Clone(raw)})
}

// opened puts BEGIN as it was sent in the place of how the client sent it.
func (j *journal) opened(send []byte) {
	if j.dead != "" || len(j.requests) == 0 {
		return
	}
	var w bolt.Walk
	if n, whole := w.Next(send); whole {
		j.requests[0].raw = slices.Clone(send[:n])
	}
}

// records notes bytes of RECORDs, with their chunk headers, as they come.
func (j *journal) records(b []byte) {
	if j.dead == "" {
		j.streaming = true
		j.sum.chunks(b)
	}
}

// summary notes the end of an answer.
func (j *journal) summary(tag byte, payload []byte) {
	switch {
	case j.dead != "":
	case tag != bolt.TagSuccess || j.done == len(j.requests):
		j.end("a request of it failed")
	default:
		j.requests[j.done].sum = j.sum.with(payload[2:])
		j.done++
		j.sum, j.streaming = answerSum{}, false
	}
}

// answerSum is the hash of an answer: its records, however they are cut into chunks, and of the metadata at its end what a server that
// carries out the same says the same. The zero value is ready.
type answerSum struct {
	h    hash.Hash
	left int // of the present chunk
	size int // of the chunk header that is being read: its first byte, and
	half bool
	some bool // the present message has bytes
}

func (a *answerSum) payload(b []byte) {
	if a.h == nil {
		a.h = sha256.New()
	}
	a.h.Write(b) //nolint:errcheck // never fails
	a.some = true
}

// end ends a message.
func (a *answerSum) end() {
	if a.some {
		a.payload([]byte("\x00end of record"))
		a.some = false
	}
}

// chunks takes bytes with chunk headers, cut anywhere.
func (a *answerSum) chunks(b []byte) {
	for len(b) > 0 {
		if a.left > 0 {
			n := min(a.left, len(b))
			a.payload(b[:n])
			a.left -= n
			b = b[n:]
			continue
		}
		if !a.half {
			a.size, a.half = int(b[0])<<8, true
		} else {
			a.left, a.half = a.size|int(b[0]), false
			if a.left == 0 {
				a.end()
			}
		}
		b = b[1:]
	}
}

// perRunKeys are metadata that are others each time.
var perRunKeys = map[string]bool{
	"t_first": true, "t_last": true, "result_available_after": true, "result_consumed_after": true, "bookmark": true,
}

// with is the hash of the answer whose metadata are given.
func (a *answerSum) with(metadata []byte) (sum [sumSize]byte) {
	d := packstream.NewDecoder(metadata)
	var pairs []string
	for range d.Map() {
		start := d.Offset()
		perRun := perRunKeys[string(d.String())]
		d.Skip()
		if !perRun {
			pairs = append(pairs, string(metadata[start:d.Offset()]))
		}
	}
	slices.Sort(pairs)
	for _, p := range pairs {
		a.payload([]byte(p))
	}
	a.payload(nil)
	return [sumSize]byte(a.h.Sum(nil))
}
