package proxy

// This file owns the chunked coding (RFC 9112 section 7.1): a walk that says of each piece of the bytes as they come what
// it is, so that a body can be passed on as it is, or decoded, with no memory of its own.

var (
	errChunkSize = &headError{400, "malformed chunk size"}
	errChunkEnd  = &headError{400, "a chunk that does not end where it says"}
	errChunkExt  = &headError{400, "chunk extensions too long or malformed"}
	errTrailers  = &headError{400, "malformed or too long trailers"}
)

const (
	maxChunkDigits = 15      // of a chunk's size
	maxExtensions  = 1 << 10 // bytes of all chunk extensions of one body
	maxTrailers    = 2 << 10 // bytes; half of what net/http takes
)

// chunkState is where a walk stands.
type chunkState uint8

const (
	inSize      chunkState = iota // digits
	inExtension                   // from ; on
	inSizeLF                      // LF after the size line's CR
	inData
	inDataCR
	inDataLF
	inTrailerName  // at or in a trailer's name, or at the CR of the empty line
	inTrailerValue // behind the colon
	inTrailerLF
	inLastLF
	chunksDone
)

// chunkWalk follows one chunked body. Its zero value stands at the start.
type chunkWalk struct {
	state   chunkState
	digits  int
	left    int64 // of the chunk's data
	extra   int   // bytes of extensions so far
	trailer int   // bytes of trailers so far
	nameLen int
	name    [24]byte // of the trailer, as far as it fits
}

// next takes the first piece off p: n bytes of framing, or of data.
func (w *chunkWalk) next(p []byte) (n int, data bool, err error) {
	if w.state == inData {
		n = len(p)
		if int64(n) >= w.left {
			n = int(w.left)
			w.state = inDataCR
		}
		w.left -= int64(n)
		return n, true, nil
	}
	for n < len(p) && w.state != inData && w.state != chunksDone {
		if err := w.frame(p[n]); err != nil {
			return n, false, err
		}
		n++
	}
	return n, false, nil
}

// done tells whether the body has ended.
func (w *chunkWalk) done() bool { return w.state == chunksDone }

// frame takes one byte that is not data.
func (w *chunkWalk) frame(c byte) error {
	switch w.state {
	case inSize:
		return w.size(c)
	case inExtension:
		if w.extra++; w.extra > maxExtensions || c != '\r' && classes[c]&isValue == 0 {
			return errChunkExt
		}
		if c == '\r' {
			w.state = inSizeLF
		}
	case inSizeLF:
		if c != '\n' {
			return errChunkSize
		}
		w.digits = 0
		if w.state = inData; w.left == 0 {
			w.state, w.nameLen = inTrailerName, 0
		}
	case inDataCR:
		w.state = inDataLF
		if c != '\r' {
			return errChunkEnd
		}
	case inDataLF:
		w.state = inSize
		if c != '\n' {
			return errChunkEnd
		}
	default:
		return w.trailers(c)
	}
	return nil
}

func (w *chunkWalk) size(c byte) error {
	if d := unhex(c); d >= 0 {
		if w.digits++; w.digits > maxChunkDigits {
			return errChunkSize
		}
		w.left = w.left<<4 | int64(d)
		return nil
	}
	if w.digits == 0 {
		return errChunkSize
	}
	switch c {
	case '\r':
		w.state = inSizeLF
	case ';':
		w.state = inExtension
	default: // white space before an extension is what smuggling is made of
		return errChunkSize
	}
	return nil
}

func (w *chunkWalk) trailers(c byte) error {
	if w.trailer++; w.trailer > maxTrailers {
		return errTrailers
	}
	switch w.state {
	case inTrailerName:
		return w.trailerName(c)
	case inTrailerValue:
		if c == '\r' {
			w.state = inTrailerLF
		} else if classes[c]&isValue == 0 {
			return errTrailers
		}
	case inTrailerLF:
		if c != '\n' {
			return errTrailers
		}
		w.state, w.nameLen = inTrailerName, 0
	case inLastLF:
		if c != '\n' {
			return errTrailers
		}
		w.state = chunksDone
	}
	return nil
}

func (w *chunkWalk) trailerName(c byte) error {
	switch {
	case classes[c]&isToken != 0:
		if w.nameLen < len(w.name) {
			w.name[w.nameLen] = c
		}
		w.nameLen++
	case c == '\r' && w.nameLen == 0:
		w.state = inLastLF
	case c == ':' && w.nameLen > 0:
		if w.nameLen <= len(w.name) {
			switch knownField(w.name[:w.nameLen]) { // must not change what was decided (RFC 9110 6.5.1)
			case fContentLength, fTransferEncoding, fHost, fTrailer, fAuthorization, fConnection, fXWrite, fAccessMode:
				return errTrailers
			}
		}
		w.state = inTrailerValue
	default:
		return errTrailers
	}
	return nil
}

// appendChunk appends data as one chunk; nothing for no data, which would end the body.
func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = appendHex(dst, uint64(len(data)))
	dst = append(dst, '\r', '\n')
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

const lastChunk = "0\r\n\r\n"

func appendHex(dst []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	shift := 60
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}

// bodyEnd follows a body of any framing over the bytes as they come.
type bodyEnd struct {
	kind  framing
	left  int64 // fixedBody
	chunk chunkWalk
}

func (b *bodyEnd) start(h *httpHead) { *b = bodyEnd{kind: h.body, left: h.length} }

// over tells whether the body has ended.
func (b *bodyEnd) over() bool {
	switch b.kind {
	case noBody:
		return true
	case fixedBody:
		return b.left == 0
	case chunkedBody:
		return b.chunk.done()
	}
	return false
}

// take tells how many bytes at p's start belong to the body, framing included.
func (b *bodyEnd) take(p []byte) (n int, err error) {
	switch b.kind {
	case fixedBody:
		n = int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		return n, nil
	case untilClose:
		return len(p), nil
	case chunkedBody:
		for n < len(p) && !b.chunk.done() {
			m, _, err := b.chunk.next(p[n:])
			n += m
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// decode is take, and appends what the framing holds to dst.
func (b *bodyEnd) decode(dst, p []byte) (out []byte, n int, err error) {
	if b.kind != chunkedBody {
		n, err = b.take(p)
		return append(dst, p[:n]...), n, err
	}
	for n < len(p) && !b.chunk.done() {
		m, data, err := b.chunk.next(p[n:])
		if data {
			dst = append(dst, p[n:n+m]...)
		}
		n += m
		if err != nil {
			return dst, n, err
		}
	}
	return dst, n, nil
}

// want bounds how much may be read at once without reading past a fixed body's end.
func (b *bodyEnd) want(p []byte) []byte {
	if b.kind == fixedBody && int64(len(p)) > b.left {
		return p[:b.left]
	}
	return p
}
