package proxy

import (
	"hash/maphash"
	"sync"
	"time"
)

// writers remembers which HTTP users wrote through this gate within the last minute: their undeclared reads stay on the
// leader (design "Causality"; the form before bookmarks). It knows users by a hash of the Authorization header with a seed
// of this process. The zero value is ready.
type writers struct {
	mu    sync.RWMutex
	last  map[uint64]int64 // by user: UnixNano of the newest write
	all   int64            // every user is taken to have written then: the map was full
	swept int64
}

const maxWriters = 50_000

// hash of a credential; never 0.
func (*writers) hash(credential []byte) uint64 {
	return maphash.Bytes(hashSeed, credential) | 1
}

// wrote notes that a write of the user leaves for the leader.
func (w *writers) wrote(user uint64) {
	now := time.Now().UnixNano()
	w.mu.RLock()
	last := w.last[user]
	w.mu.RUnlock()
	if now-last < int64(time.Second)/4 && last != 0 { // fresh enough, with a quarter of a second to spare below
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = make(map[uint64]int64)
	}
	if len(w.last) >= maxWriters && w.last[user] == 0 {
		w.sweep(now)
		if len(w.last) >= maxWriters {
			w.all = now
			return
		}
	}
	w.last[user] = now
}

// sweep drops those whose write is long past. The caller holds mu.
func (w *writers) sweep(now int64) {
	if now-w.swept < int64(time.Second) {
		return
	}
	w.swept = now
	for user, at := range w.last {
		if now-at > int64(recentWrite)+int64(time.Second) {
			delete(w.last, user)
		}
	}
}

// wroteLately tells whether a read of the user might miss the user's own write at another member.
func (w *writers) wroteLately(user uint64) bool {
	w.mu.RLock()
	last := max(w.last[user], w.all)
	w.mu.RUnlock()
	return last != 0 && time.Now().UnixNano()-last < int64(recentWrite)+int64(time.Second)/4
}
