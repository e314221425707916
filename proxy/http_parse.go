package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// This file owns the HTTP/1.1 head parser. It is strict (RFC 9112): what two readers could understand in two ways is refused, so
// that no member ever sees another request than the one the gate routed.

var endOfHead = []byte("\r\n\r\n")

// headEnd finds the length of the head at b's start; 0 while it is not whole. Lines that do not end in CR LF, which would make
// it wait for an end that may never come, are found before that.
func headEnd(b []byte) (int, error) {
	if i := bytes.Index(b, endOfHead); i >= 0 && i+4 <= maxHead {
		return i + 4, nil
	}
	for rest, from := b, 0; ; {
		i := bytes.IndexByte(rest[from:], '\n')
		if i < 0 {
			break
		}
		if i += from; i == 0 || rest[i-1] != '\r' {
			return 0, errBareNewline
		}
		from = i + 1
	}
	if len(b) >= maxHead {
		return 0, errHeadTooLong
	}
	return 0, nil
}

func (h *httpHead) reset() {
	h.len, h.minor, h.status = 0, 1, 0
	h.first, h.method, h.target, h.host, h.reason = span{}, span{}, span{}, span{}, span{}
	h.fields = h.room[:0]
	h.at, h.twice = [fieldNames]uint16{}, [fieldNames]bool{}
	h.body, h.length = noBody, 0
	h.close, h.absolute, h.named, h.upgrade = false, false, false, false
}

// errShort says that more bytes are needed; what was seen so far is no fault.
var errShort = errors.New("http: the head is not whole")

// parseRequest reads the head at b's start; h.len tells how long it is. errShort while it is not whole.
func (h *httpHead) parseRequest(b []byte) error {
	h.reset()
	if err := h.requestLine(b); err != nil {
		return err
	}
	if err := h.parseFields(b); err != nil {
		return err
	}
	if err := h.parseHost(b); err != nil {
		return err
	}
	if err := h.parseFraming(b); err != nil {
		return err
	}
	h.persistence(b)
	if h.named && h.misnamed(b) {
		return errNamed
	}
	if e := h.value(b, fExpect); e != nil && (!equalFold(e, "100-continue") || h.twice[fExpect]) {
		return errExpectation
	}
	return nil
}

const maxMethod = 32

// byteAt is the byte of b at i; 0, which fits nowhere, behind its end.
func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// orShort is errShort where a fault is only that b has ended at i.
func orShort(b []byte, i int, fault *headError) error {
	if i >= len(b) {
		return errShort
	}
	return fault
}

// spanOf is how many bytes from i on are of the class.
func spanOf(b []byte, i int, class byte) int {
	for i < len(b) && classes[b[i]]&class != 0 {
		i++
	}
	return i
}

func (h *httpHead) requestLine(b []byte) error {
	i := spanOf(b, 0, isToken)
	if i == 0 || i > maxMethod || byteAt(b, i) != ' ' {
		return orShort(b, i, errRequestLine)
	}
	h.method = span{0, uint32(i)}
	from := i + 1
	i = spanOf(b, from, isTarget)
	if i == from || byteAt(b, i) != ' ' {
		return orShort(b, i, errRequestLine)
	}
	h.target = span{uint32(from), uint32(i)}
	from = i + 1
	end := from + len("HTTP/1.1")
	if end+2 > len(b) {
		return errShort
	}
	switch string(b[from:end]) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.minor = 0
	default:
		return badVersion(b[from:])
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return badVersion(b[from:])
	}
	h.first = span{0, uint32(end + 2)}
	return h.parseTarget(b)
}

// badVersion tells a version that is not served from what is none, and from a line that does not end as lines do.
func badVersion(b []byte) error {
	end := bytes.IndexByte(b, '\r')
	switch lf := bytes.IndexByte(b, '\n'); {
	case lf >= 0 && lf != end+1:
		return errBareNewline
	case !bytes.HasPrefix(b, []byte("HTTP/")):
		return errRequestLine
	}
	return errVersion
}

// parseTarget takes scheme and authority off an absolute target; what remains begins with a slash, or is "*".
func (h *httpHead) parseTarget(b []byte) error {
	t := h.target.of(b)
	switch {
	case string(h.method.of(b)) == "CONNECT":
		return errConnect
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*' && string(h.method.of(b)) == "OPTIONS":
		return nil
	default:
		n := schemeLength(t)
		if n == 0 {
			return errTarget
		}
		slash := bytes.IndexByte(t[n:], '/')
		if slash <= 0 || !validHost(t[n:n+slash]) {
			return errTarget
		}
		h.absolute = true
		from := h.target.from + uint32(n)
		h.host = span{from, from + uint32(slash)}
		h.target.from = h.host.to
		t = h.target.of(b)
	}
	return checkEscapes(t)
}

func schemeLength(t []byte) int {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(t) > len(scheme) && equalFold(t[:len(scheme)], scheme) {
			return len(scheme)
		}
	}
	return 0
}

// checkEscapes refuses a % that two hexadecimal digits do not follow, in the path.
func checkEscapes(t []byte) error {
	for i, c := range t {
		if c == '?' {
			return nil
		}
		if c == '%' && (i+2 >= len(t) || unhex(t[i+1]) < 0 || unhex(t[i+2]) < 0) {
			return errTarget
		}
	}
	return nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// validHost accepts host and host:port, with brackets only around the whole host.
func validHost(b []byte) bool {
	if !all(b, isHost) {
		return false
	}
	port := b
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		for _, c := range b[1:end] {
			if unhex(c) < 0 && c != ':' && c != '.' {
				return false
			}
		}
		if port = b[end+1:]; len(port) > 0 && port[0] != ':' {
			return false
		}
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		if bytes.ContainsAny(b[:i], "[]") {
			return false
		}
		port = b[i:]
	} else {
		return !bytes.ContainsAny(b, "[]")
	}
	if len(port) == 0 {
		return true
	}
	for _, c := range port[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(port) <= 6
}

// parseFields reads the header lines behind the first line, to the empty line.
func (h *httpHead) parseFields(b []byte) error {
	i := int(h.first.to)
	for byteAt(b, i) != '\r' {
		start := i
		i = spanOf(b, i, isToken)
		if i == start || byteAt(b, i) != ':' {
			if c := byteAt(b, i); i == start && (c == ' ' || c == '\t') {
				return errFolded
			}
			return orShort(b, i, errField)
		}
		f := field{name: span{uint32(start), uint32(i)}}
		for i++; i < len(b) && (b[i] == ' ' || b[i] == '\t'); i++ {
		}
		from := i
		i = valueEnd(b, i)
		if i+1 >= len(b) {
			return orShort(b, i+1, errField)
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			return errField
		}
		to := i
		for to > from && (b[to-1] == ' ' || b[to-1] == '\t') {
			to--
		}
		i += 2
		f.value = span{uint32(from), uint32(to)}
		f.line = span{uint32(start), uint32(i)}
		h.note(b, f)
	}
	if byteAt(b, i+1) != '\n' {
		return orShort(b, i+1, errField)
	}
	if h.len = i + 2; h.len > maxHead {
		return errHeadTooLong
	}
	return nil
}

// valueEnd is the first byte from i on that cannot stand in a header's value. It looks at eight bytes at a time: none below
// a space, none that is DEL.
func valueEnd(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		del := v ^ ones*0x7f
		if ((v-ones*0x20)&^v|(del-ones)&^del)&tops != 0 {
			break
		}
	}
	return spanOf(b, i, isValue)
}

func (h *httpHead) parseHost(b []byte) error {
	given := h.value(b, fHost)
	switch {
	case h.twice[fHost], given == nil && h.minor == 1:
		return errHost
	case given == nil:
		return nil
	case !validHost(given):
		return errHost
	case h.absolute:
		if !bytes.EqualFold(given, h.host.of(b)) { // RFC 9112 3.2.2 prefers the target's; two different ones are a trap
			return errHost
		}
		return nil
	}
	h.host = h.fields[h.at[fHost]-1].value
	return nil
}

// parseAnswer reads the head at b's start as parseRequest does: a member's answer, toHead to a HEAD request.
func (h *httpHead) parseAnswer(b []byte, toHead bool) error {
	h.reset()
	if err := h.statusLine(b); err != nil {
		return err
	}
	if err := h.parseFields(b); err != nil {
		return err
	}
	if err := h.lengths(b); err != nil {
		return err
	}
	h.persistence(b)
	switch {
	case toHead || h.status < 200 || h.status == 204 || h.status == 304:
		h.body = noBody
	case h.body == noBody && !h.has(fContentLength):
		h.body = untilClose
		h.close = true
	}
	return nil
}

func (h *httpHead) statusLine(b []byte) error {
	const prefix = len("HTTP/1.1 ")
	if len(b) < prefix+len("200\r\n") {
		return errShort
	}
	if string(b[:7]) != "HTTP/1." || b[8] != ' ' || b[7] != '1' && b[7] != '0' {
		return errStatusLine
	}
	h.minor = b[7] - '0'
	for _, c := range b[prefix : prefix+3] {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		h.status = h.status*10 + int(c-'0')
	}
	end := valueEnd(b, prefix+3)
	if end+1 >= len(b) {
		return orShort(b, end+1, errStatusLine)
	}
	if h.status < 100 || h.status > 599 || end > prefix+3 && b[prefix+3] != ' ' || b[end] != '\r' || b[end+1] != '\n' {
		return errStatusLine
	}
	h.first = span{0, uint32(end + 2)}
	h.reason = span{uint32(prefix), uint32(end)}
	return nil
}
