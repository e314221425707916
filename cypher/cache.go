package cypher

import (
	"hash/maphash"
	"sync/atomic"
)

// This file owns the memory of verdicts: applications send the same few hundred texts again and again, and reading one takes as long as a good part of
// sending it on.

const (
	cacheSlots   = 1024
	cacheMaxText = 2048 // bytes of a text that is kept; so all of them are 2 MiB at most
)

// Cache is [Classify] with one table of procedures and a memory of texts that came before. It takes 12 KiB, and 2 MiB at most when it is full of long texts. Safe for concurrent
// use; nothing in it is locked.
type Cache struct {
	procs *Procedures
	seed  maphash.Seed
	slots [cacheSlots]atomic.Pointer[cachedVerdict]
	last  [cacheSlots]atomic.Uint32 // of the hash of the last text that was not kept; a text is kept when it comes twice
}

type cachedVerdict struct {
	text    string
	verdict Verdict
}

// NewCache returns an empty Cache. procs is as [Classify] takes it, and must not change any more.
func NewCache(procs *Procedures) *Cache {
	return &Cache{procs: procs, seed: maphash.MakeSeed()}
}

// Procedures returns the table that verdicts are made with.
func (c *Cache) Procedures() *Procedures {
	if c == nil {
		return nil
	}
	return c.procs
}

// Classify returns what the function [Classify] says of query; a nil Cache has the built-in table alone. It allocates when it keeps a text, once for each that comes again.
func (c *Cache) Classify(query []byte) Verdict {
	if c == nil || len(query) > cacheMaxText {
		return Classify(query, c.Procedures())
	}
	hash := maphash.Bytes(c.seed, query)
	slot := hash % cacheSlots
	if kept := c.slots[slot].Load(); kept != nil && kept.text == string(query) {
		return kept.verdict
	}
	v := Classify(query, c.procs)
	// Texts with their values in them come once each. They must not cost an allocation, nor push out those that come again.
	if mark := uint32(hash>>32) | 1; c.last[slot].Swap(mark) == mark {
		c.slots[slot].Store(&cachedVerdict{string(query), v})
	}
	return v
}
