package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// This file owns the HTTP/1.1 head parser, for requests and answers alike. It is strict (RFC 9112): what two readers could
// understand in two ways is refused, so that no member ever sees another request than the one the gate routed.

// maxHead is the longest head, first line to empty line, that is accepted from either side.
const maxHead = 64 << 10

// headError is why a message is refused; status is what a client is told.
type headError struct {
	status int
	text   string
}

func (e *headError) Error() string { return "http: " + e.text }

var (
	errRequestLine  = &headError{400, "malformed request line"}
	errVersion      = &headError{505, "the gate speaks HTTP/1.1 and HTTP/1.0"}
	errTarget       = &headError{400, "malformed request target"}
	errStatusLine   = &headError{502, "malformed status line"}
	errField        = &headError{400, "malformed header line"}
	errFolded       = &headError{400, "folded header line"}
	errHost         = &headError{400, "missing, repeated or malformed Host"}
	errLength       = &headError{400, "repeated or malformed Content-Length"}
	errTransfer     = &headError{400, "Transfer-Encoding other than one chunked"}
	errBothLengths  = &headError{400, "both Content-Length and Transfer-Encoding"}
	errTrailerField = &headError{400, "a Trailer that names a framing header"}
	errHeadTooLong  = &headError{431, "head longer than 64 KiB"}
	errBareNewline  = &headError{400, "a line that does not end in CR LF"}
	errNamed        = &headError{400, "Connection names a header that is not its to name"}
	errTransferOld  = &headError{400, "Transfer-Encoding in HTTP/1.0"}
	errConnect      = &headError{405, "CONNECT is not served here"}
	errExpectation  = &headError{417, "an expectation other than 100-continue"}
)

// span is a part of a head: offsets from its start.
type span struct{ from, to uint32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }
func (s span) empty() bool        { return s.from == s.to }

// field is one header line, its CR LF included in line.
type field struct {
	line, name, value span
	known             fieldName
}

// fieldName is a header that the gate acts on.
type fieldName uint8

const (
	fOther fieldName = iota
	fHost
	fContentLength
	fTransferEncoding
	fConnection
	fKeepAlive
	fProxyConnection
	fUpgrade
	fExpect
	fTrailer
	fTE
	fAccept
	fAcceptEncoding
	fAuthorization
	fContentEncoding
	fContentType
	fXWrite
	fAccessMode
	fAffinity
	fLocation
	fForwardedFor
	fForwardedHost
	fForwardedProto
	fRequestID
	fieldNames
)

// knownFields are in lower case.
var knownFields = [fieldNames]string{
	fHost: "host", fContentLength: "content-length", fTransferEncoding: "transfer-encoding", fConnection: "connection",
	fKeepAlive: "keep-alive", fProxyConnection: "proxy-connection", fUpgrade: "upgrade", fExpect: "expect", fTrailer: "trailer",
	fTE: "te", fAccept: "accept", fAcceptEncoding: "accept-encoding", fAuthorization: "authorization",
	fContentEncoding: "content-encoding", fContentType: "content-type", fXWrite: "x-write", fAccessMode: "access-mode",
	fAffinity: "neo4j-cluster-affinity", fLocation: "location", fForwardedFor: "x-forwarded-for",
	fForwardedHost: "x-forwarded-host", fForwardedProto: "x-forwarded-proto", fRequestID: "x-request-id",
}

const longestKnown = len("neo4j-cluster-affinity")

// fieldTable finds the one known name of a length that begins with a letter; no two share both.
var fieldTable = func() (t [longestKnown + 1][32]fieldName) {
	for f := fHost; f < fieldNames; f++ {
		n := knownFields[f]
		t[len(n)][n[0]&31] = f
	}
	return t
}()

func knownField(name []byte) fieldName {
	if len(name) == 0 || len(name) > longestKnown {
		return fOther
	}
	if f := fieldTable[len(name)][name[0]&31]; f != fOther && equalFold(name, knownFields[f]) {
		return f
	}
	return fOther
}

// equalFold compares with a lower-case ASCII string.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// framing is how a body ends.
type framing uint8

const (
	noBody      framing = iota
	fixedBody           // after length bytes
	chunkedBody         // after the last chunk and its trailers
	untilClose          // with the connection; answers only
)

// httpHead is a parsed head. Its spans point into the bytes that were parsed, whose first len bytes are the head.
type httpHead struct {
	len    int  // the empty line included
	first  span // the first line, with its CR LF
	minor  byte // of the version: 0 or 1
	method span // requests
	target span // requests: as sent, but without scheme and authority
	host   span // requests: the authority of an absolute target, else Host's value; empty when there is none
	status int  // answers
	reason span // answers: from the status on, as sent

	fields []field
	room   [48]field          // what fields begins with, so that usual heads allocate nothing
	at     [fieldNames]uint16 // 1 + the place in fields of each known header's first line; 0 none
	twice  [fieldNames]bool

	body   framing
	length int64
	close  bool // the connection ends after this message

	absolute bool // the target was in absolute form
	named    bool // Connection names headers that are not to be passed on
	upgrade  bool // Connection names Upgrade
}

const (
	isToken  byte = 1 << iota // RFC 9110 tchar
	isValue                   // may stand in a header's value
	isTarget                  // may stand in a request target
	isHost                    // may stand in a Host or authority
)

var classes = func() (t [256]byte) {
	for c := range 256 {
		switch {
		case c >= 0x80, c >= 0x20 && c < 0x7f, c == '\t':
			t[c] |= isValue
		}
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if alnum || c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			t[c] |= isToken
		}
		if c > 0x20 && c < 0x7f && c != '#' {
			t[c] |= isTarget
		}
		if alnum || c < 0x80 && bytes.IndexByte([]byte("-._~!$&'()*+,;=:[]"), byte(c)) >= 0 {
			t[c] |= isHost
		}
	}
	return t
}()

func all(b []byte, class byte) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

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

func (h *httpHead) note(b []byte, f field) {
	f.known = knownField(f.name.of(b))
	h.fields = append(h.fields, f)
	if f.known == fOther {
		return
	}
	if h.at[f.known] != 0 {
		h.twice[f.known] = true
		return
	}
	h.at[f.known] = uint16(len(h.fields)) // a head of 64 KiB has fewer than 2^14 lines
}

// value is the value of a known header's first line; nil when there is none.
func (h *httpHead) value(b []byte, name fieldName) []byte {
	if i := h.at[name]; i != 0 {
		return h.fields[i-1].value.of(b)
	}
	return nil
}

func (h *httpHead) has(name fieldName) bool { return h.at[name] != 0 }

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

// parseFraming finds how the body of a request ends.
func (h *httpHead) parseFraming(b []byte) error {
	if err := h.lengths(b); err != nil {
		return err
	}
	if h.body == chunkedBody && h.has(fTrailer) {
		return h.checkTrailerNames(b)
	}
	return nil
}

// lengths reads Content-Length and Transfer-Encoding, which requests and answers must have at most one of.
func (h *httpHead) lengths(b []byte) error {
	coding, length := h.value(b, fTransferEncoding), h.value(b, fContentLength)
	switch {
	case coding != nil && length != nil:
		return errBothLengths
	case coding != nil:
		if !equalFold(coding, "chunked") || h.twice[fTransferEncoding] {
			return errTransfer
		}
		if h.minor == 0 {
			return errTransferOld
		}
		h.body = chunkedBody
	case length != nil:
		n, ok := parseLength(length)
		if !ok || h.twice[fContentLength] {
			return errLength
		}
		if h.length = n; n > 0 {
			h.body = fixedBody
		}
	}
	return nil
}

func (h *httpHead) checkTrailerNames(b []byte) error {
	for _, f := range h.fields {
		if f.known != fTrailer {
			continue
		}
		for name := range listItems(f.value.of(b)) {
			switch knownField(name) {
			case fContentLength, fTransferEncoding, fTrailer, fHost:
				return errTrailerField
			}
		}
	}
	return nil
}

func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n < math.MaxInt64/2
}

// listItems walks a comma-separated header value.
func listItems(v []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(v) > 0 {
			item, rest, _ := bytes.Cut(v, []byte{','})
			v = rest
			if item = bytes.Trim(item, " \t"); len(item) > 0 && !yield(item) {
				return
			}
		}
	}
}

// persistence reads Connection: whether the connection goes on after this message, and what else it names.
func (h *httpHead) persistence(b []byte) {
	h.close = h.minor == 0
	if !h.has(fConnection) {
		return
	}
	stay, end := false, false
	for _, f := range h.fields {
		if f.known != fConnection {
			continue
		}
		for item := range listItems(f.value.of(b)) {
			switch {
			case equalFold(item, "close"):
				end = true
			case equalFold(item, "keep-alive"):
				stay = true
			case equalFold(item, "upgrade"):
				h.upgrade = true
			default:
				h.named = true
			}
		}
	}
	h.close = end || h.close && !stay
}

// misnamed tells whether Connection names a header on which framing, routing or the login rests.
func (h *httpHead) misnamed(b []byte) bool {
	for i := range h.fields {
		f := &h.fields[i]
		if f.known != fConnection {
			continue
		}
		for item := range listItems(f.value.of(b)) {
			switch knownField(item) {
			case fHost, fContentLength, fTransferEncoding, fExpect, fAuthorization, fXWrite, fAccessMode, fContentType, fContentEncoding:
				return true
			}
		}
	}
	return false
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
