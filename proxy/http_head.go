package proxy

import "bytes"

// This file owns the parsed HTTP/1.1 head, of requests and answers alike: what is kept of it, and why one is refused.
// http_parse.go owns the parser, http_framing.go what a head says of its body and its connection.

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
	fMaxTime
	fTraceparent
	fTracestate
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
	fMaxTime: "max-execution-time", fTraceparent: "traceparent", fTracestate: "tracestate",
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
