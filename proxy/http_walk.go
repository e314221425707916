package proxy

import "bytes"

// This file owns the walk through a JSON text that streams by, cut anywhere: where values begin, and under which keys. It
// checks no more than it needs; of a text that is no JSON it finds nothing.

// jsonKey is a key that somebody looks for.
type jsonKey uint8

const (
	kOther   jsonKey = iota
	kElement         // no key: the container is an array
	kCommit
	kTransaction
	kInfo
	kID
	kErrors
	kCode
	kData
	kValues
	kResults
	kExpires
	kHeader
	kMessage
	kEvent
	kBody
)

var jsonKeys = [...]string{
	kCommit: "commit", kTransaction: "transaction", kInfo: "info", kID: "id", kErrors: "errors", kCode: "code", kData: "data",
	kValues: "values", kResults: "results", kExpires: "expires", kHeader: "header", kMessage: "message", kEvent: "$event", kBody: "_body",
}

// events are the names of the events of which the Query API makes a stream (JSON Lines, 2025.12 and newer), each with the key under which the same
// stands in other formats: what is looked for in an event is found as in these.
var events = map[string]jsonKey{"Header": kHeader, "Record": kData, "Summary": kInfo, "Error": kErrors}

func keyOf(b []byte) jsonKey {
	for k := kCommit; int(k) < len(jsonKeys); k++ {
		if string(b) == jsonKeys[k] {
			return k
		}
	}
	return kOther
}

// jsonEvent is why a walk stopped.
type jsonEvent uint8

const (
	jsonMore      jsonEvent = iota // all bytes were used up
	jsonValue                      // a value begins at the next byte
	jsonStringEnd                  // the string that was asked for has ended, its quote included
)

type walkState uint8

const (
	atValue walkState = iota
	atKey
	inKey
	inKeyEscape
	atColon
	inString
	inStringEscape
	inScalar
	afterValue
)

const (
	watchedDepth = 5   // values deeper than this begin unannounced
	maxWalkDepth = 512 // of texts deeper than this nothing more is found
)

// jsonWalk is where a walk stands. Its zero value stands before a text, or several one after the other.
type jsonWalk struct {
	state     walkState
	announced bool // the value at hand was announced
	tellEnd   bool // set by the caller at a string's announcement: its end is an event
	lost      bool // too deep, or no JSON
	depth     int
	arrays    [maxWalkDepth / 64]uint64 // by depth: the container is an array
	keys      [watchedDepth + 1]jsonKey // by depth, from 1: under which key of the container
	key       [16]byte
	keyLen    int
	naming    bool    // the string at hand is an event's name, which is read into key
	event     jsonKey // by the name of the event at hand
}

// next goes on through p, to the next event or p's end, and tells how many bytes it passed.
func (w *jsonWalk) next(p []byte) (n int, ev jsonEvent) {
	if w.lost {
		return len(p), jsonMore
	}
	for n < len(p) {
		c := p[n]
		switch w.state {
		case atValue:
			if ev := w.value(c); ev != jsonMore {
				return n, ev
			}
		case inString:
			m := bytes.IndexByte(p[n:], '"')
			if m < 0 {
				m = len(p) - n
			}
			if e := bytes.IndexByte(p[n:n+m], '\\'); e >= 0 {
				w.state = inStringEscape
				n += e + 1
				continue
			}
			if w.naming {
				w.keyLen += copy(w.key[w.keyLen:], p[n:n+m])
			}
			if n += m; n == len(p) {
				return n, jsonMore
			}
			if w.naming {
				w.naming, w.event = false, events[string(w.key[:w.keyLen])]
			}
			w.state = afterValue
			if w.tellEnd {
				w.tellEnd = false
				return n + 1, jsonStringEnd
			}
		case inStringEscape:
			w.state = inString
		case inScalar:
			if c == ',' || c == ']' || c == '}' || c <= ' ' {
				w.state = afterValue
				continue
			}
		case afterValue:
			w.after(c)
		default:
			w.inKeys(c)
		}
		if w.lost {
			return len(p), jsonMore
		}
		n++
	}
	return n, jsonMore
}

// value takes a byte where a value is due.
func (w *jsonWalk) value(c byte) jsonEvent {
	switch {
	case c <= ' ' || c == 0x1e: // white space, and the record separator of json-seq
		return jsonMore
	case c == ']' && w.inArray():
		w.close()
		return jsonMore
	case !w.announced && w.depth <= watchedDepth:
		w.announced = true
		return jsonValue
	}
	w.announced = false
	switch c {
	case '{', '[':
		w.open(c == '[')
	case '"':
		w.state = inString
		if w.naming = w.at(kEvent); w.naming {
			w.keyLen = 0
		}
	default:
		w.state = inScalar
	}
	return jsonMore
}

func (w *jsonWalk) inArray() bool {
	return w.depth > 0 && w.arrays[(w.depth-1)/64]>>((w.depth-1)%64)&1 != 0
}

func (w *jsonWalk) open(array bool) {
	if w.depth == maxWalkDepth {
		w.lost = true
		return
	}
	bit := uint64(1) << (w.depth % 64)
	w.state = atKey
	key := kOther
	w.arrays[w.depth/64] &^= bit
	if array {
		w.arrays[w.depth/64] |= bit
		w.state, key = atValue, kElement
	}
	w.depth++
	if w.depth <= watchedDepth {
		w.keys[w.depth] = key
	}
	if w.depth == 1 {
		w.event = kOther
	}
}

func (w *jsonWalk) close() {
	w.depth--
	w.state = afterValue
	if w.depth == 0 {
		w.state = atValue
	}
}

// after takes a byte behind a value.
func (w *jsonWalk) after(c byte) {
	switch {
	case c <= ' ' && w.depth > 0:
	case w.depth == 0:
		w.state = atValue
	case c == ',' && w.inArray():
		w.state = atValue
	case c == ',':
		w.state = atKey
	case c == '}' && !w.inArray(), c == ']' && w.inArray():
		w.close()
	default:
		w.lost = true
	}
}

// inKeys takes a byte at or in a key.
func (w *jsonWalk) inKeys(c byte) {
	switch w.state {
	case atKey:
		switch {
		case c == '"':
			w.state, w.keyLen = inKey, 0
		case c == '}':
			w.close()
		case c > ' ':
			w.lost = true
		}
	case inKey:
		switch c {
		case '"':
			w.state = atColon
			if w.depth <= watchedDepth {
				w.keys[w.depth] = keyOf(w.key[:min(w.keyLen, len(w.key))])
			}
			if w.at(kBody) {
				w.keys[1] = w.event
			}
		case '\\':
			w.state = inKeyEscape
			w.keyLen = len(w.key) // no key that is looked for is that long
		default:
			if w.keyLen < len(w.key) {
				w.key[w.keyLen] = c
				w.keyLen++
			}
		}
	case inKeyEscape:
		w.state = inKey
	case atColon:
		if c == ':' {
			w.state = atValue
		} else if c > ' ' {
			w.lost = true
		}
	}
}

// at tells whether the value at hand stands under these keys, the outermost first.
func (w *jsonWalk) at(path ...jsonKey) bool {
	if w.depth != len(path) {
		return false
	}
	for i, k := range path {
		if w.keys[i+1] != k {
			return false
		}
	}
	return true
}

// row tells whether the value at hand is a row of a result, in any of the formats: an element of data or of values.
func (w *jsonWalk) row() bool {
	d := w.depth
	return d >= 2 && d <= watchedDepth && w.keys[d] == kElement && (w.keys[d-1] == kData || w.keys[d-1] == kValues)
}

// result tells whether the value at hand begins a result, in any of the formats.
func (w *jsonWalk) result() bool { return w.at(kResults, kElement) || w.at(kData) || w.at(kHeader) }

// errorCode tells whether the value at hand is the code of an error.
func (w *jsonWalk) errorCode() bool { return w.ofError(kCode) }

// ofError tells whether the value at hand stands under this key of an error; data may hold what looks like one.
func (w *jsonWalk) ofError(k jsonKey) bool {
	d := w.depth
	return d >= 3 && d <= watchedDepth && w.keys[d] == k && w.keys[d-1] == kElement && w.keys[d-2] == kErrors && w.keys[1] != kData
}
