package proxy

import "sync"

// bufferSize is what a session holds of its client's requests, and of its member's answers, while it is busy; an idle
// one holds nothing.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func getBuffer() []byte { return buffers.Get().(*[bufferSize]byte)[:] }

// putBuffer takes a buffer back; one that grew beyond the usual size is left to the collector.
func putBuffer(b []byte) {
	if cap(b) == bufferSize {
		buffers.Put((*[bufferSize]byte)(b[:bufferSize]))
	}
}
