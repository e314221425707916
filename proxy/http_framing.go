package proxy

import (
	"bytes"
	"math"
)

// This file owns what a head says of the body behind it and of the connection's future.

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
