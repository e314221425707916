// Package querystats counts queries by what their texts have in common: how often each shape of text was run, how long that took, and how it
// ended. Everything that it keeps is bounded.
//
// A text is known by its hash: one that was seen before costs a hash, one look-up and a few additions, without a lock or an allocation. This
// file owns the way from a text to its shape, cache.go the look-ups, counts.go what is counted.
package querystats

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cypher"
)

// The bounds of what is kept.
const (
	MaxShapes = 10_000  // told apart; texts of any other shape count as Other
	MaxText   = 1000    // bytes of a shape's text that are kept
	MaxLook   = 8 << 10 // bytes of a text that are looked at: longer ones are alike that begin alike
)

// ID is the number of a shape in its Table.
type ID uint16

// The IDs that are no shape's.
const (
	None  ID = iota // no query
	Other           // any shape beyond MaxShapes
	first
)

// Table knows the shapes of one gate. Its methods may be called from any goroutine.
type Table struct {
	began  time.Time
	seed   maphash.Seed
	raw    cache                    // by hash of a text
	normal cache                    // by hash of its normal form
	shapes atomic.Pointer[[]*shape] // by ID; a slice never changes below its length

	mu      sync.Mutex
	numbers map[uint64]ID // guarded by mu: by hash of the normal form
}

// shape is one shape of text.
type shape struct {
	text   string
	counts counts
}

// New returns an empty Table.
func New() *Table {
	t := &Table{began: time.Now(), seed: maphash.MakeSeed(), numbers: map[uint64]ID{}}
	t.raw.init(rawSlots)
	t.normal.init(normalSlots)
	t.shapes.Store(&[]*shape{None: {}, Other: {}})
	return t
}

// ID is the shape of a query's text. Only the first MaxLook bytes count.
func (t *Table) ID(text []byte) ID {
	text = text[:min(len(text), MaxLook)]
	h := maphash.Bytes(t.seed, text)
	if id := t.raw.get(h); id != None {
		return id
	}
	return t.learn(h, text)
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// learn is ID for a text that is not in the cache.
func (t *Table) learn(h uint64, text []byte) ID {
	room := scratches.Get().(*[]byte)
	defer scratches.Put(room)
	*room = cypher.AppendNormal((*room)[:0], text)
	if len(text) == MaxLook {
		*room = append(*room, "…"...)
	}
	n := maphash.Bytes(t.seed, *room)
	id := t.normal.get(n)
	if id == None {
		id = t.number(n, *room)
		t.normal.put(n, id)
	}
	t.raw.put(h, id)
	return id
}

// number finds or makes the shape with this normal form, whose hash is n.
func (t *Table) number(n uint64, normal []byte) ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, known := t.numbers[n]; known {
		return id
	}
	all := *t.shapes.Load()
	if len(all) == MaxShapes+int(first) {
		return Other
	}
	id := ID(len(all))
	all = append(all, &shape{text: Cut(normal, MaxText)}) // readers of the old slice do not look behind its end
	t.shapes.Store(&all)
	t.numbers[n] = id
	return id
}

// Text is the normal form of the shape's texts, cut to MaxText; "" for None.
func (t *Table) Text(id ID) string {
	if id == Other {
		return OtherText
	}
	return (*t.shapes.Load())[id].text
}

// OtherText stands where a shape's text does for what is not told apart.
const OtherText = "(other queries)"

// Add counts a run of the shape: how long it took, how many records it gave, and whether it failed. key is any number that tells the caller's
// connection from others: it spreads the work.
func (t *Table) Add(id ID, key uintptr, took time.Duration, rows uint64, failed bool) {
	if id != None {
		(*t.shapes.Load())[id].counts.add(key, took, 1, rows, failed)
	}
}

// AddSame counts n runs of the shape that took the same time each and gave no records that were counted.
func (t *Table) AddSame(id ID, key uintptr, each time.Duration, n uint32, failed bool) {
	if id != None {
		(*t.shapes.Load())[id].counts.add(key, each, n, 0, failed)
	}
}
