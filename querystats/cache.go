package querystats

import "sync/atomic"

// This file owns the look-up of a shape by a hash: a table of fixed size in which every entry is one word, so that it needs no lock. An entry
// that two hashes want is the later one's; the earlier one's text is then only read again.

const (
	rawSlots    = 1 << 14 // 128 KiB, of which the system gives what is used
	normalSlots = 1 << 14
	idBits      = 16
)

// cache maps hashes to IDs. A slot holds the upper bits of a hash, and the ID; 0 is empty.
type cache struct{ slots []atomic.Uint64 }

func (c *cache) init(slots int) { c.slots = make([]atomic.Uint64, slots) }

// pair is where h may stand: two slots in one line of the processor's cache.
func (c *cache) pair(h uint64) (a, b *atomic.Uint64) {
	i := h & uint64(len(c.slots)-1) &^ 1
	return &c.slots[i], &c.slots[i+1]
}

// get is the ID of h; None when it is not there.
func (c *cache) get(h uint64) ID {
	a, b := c.pair(h)
	if w := a.Load(); w>>idBits == h>>idBits {
		return ID(w & (1<<idBits - 1))
	}
	if w := b.Load(); w>>idBits == h>>idBits {
		return ID(w & (1<<idBits - 1))
	}
	return None
}

// put keeps h in front of what came before it.
func (c *cache) put(h uint64, id ID) {
	a, b := c.pair(h)
	if w := a.Load(); w != 0 && w>>idBits != h>>idBits {
		b.Store(w)
	}
	a.Store(h&^(1<<idBits-1) | uint64(id))
}
