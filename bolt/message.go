package bolt

// Tags of the client's requests (Bolt specification, "Messages"). Direction, fields and versions stand beside each.
const (
	TagHello      byte = 0x01 // C: {extra}; in 1-2 it is INIT: user_agent {auth}
	TagGoodbye    byte = 0x02 // C: no fields; since 3; no answer
	TagAckFailure byte = 0x0E // C: no fields; 1-2
	TagReset      byte = 0x0F // C: no fields; overtakes every request still queued
	TagRun        byte = 0x10 // C: query {parameters} {extra}; extra since 3, empty inside a transaction
	TagBegin      byte = 0x11 // C: {extra}; since 3
	TagCommit     byte = 0x12 // C: no fields; since 3
	TagRollback   byte = 0x13 // C: no fields; since 3
	TagDiscard    byte = 0x2F // C: {n qid} since 4.0; DISCARD_ALL without fields before
	TagPull       byte = 0x3F // C: {n qid} since 4.0; PULL_ALL without fields before
	TagTelemetry  byte = 0x54 // C: api; since 5.4
	TagRoute      byte = 0x66 // C: {routing} [bookmarks] {extra}; since 4.3, which sends db in place of extra
	TagLogon      byte = 0x6A // C: {auth}; since 5.1
	TagLogoff     byte = 0x6B // C: no fields; since 5.1
)

// Tags of the server's answers, in all versions.
const (
	TagSuccess byte = 0x70 // S: {metadata}
	TagRecord  byte = 0x71 // S: [values]
	TagIgnored byte = 0x7E // S: no fields
	TagFailure byte = 0x7F // S: {code message …}
)

// Request describes how a request looks in one version.
type Request struct {
	Name   string
	Fields int // how many it has
}

// RequestIn looks up a request's tag in version v; ok is false when that version has no such request.
func RequestIn(tag byte, v Version) (r Request, ok bool) {
	switch tag {
	case TagHello:
		if v < V3 {
			return Request{"INIT", 2}, true
		}
		return Request{"HELLO", 1}, true
	case TagGoodbye:
		return Request{"GOODBYE", 0}, v >= V3
	case TagAckFailure:
		return Request{"ACK_FAILURE", 0}, v < V3
	case TagReset:
		return Request{"RESET", 0}, true
	case TagRun:
		if v < V3 {
			return Request{"RUN", 2}, true
		}
		return Request{"RUN", 3}, true
	case TagBegin:
		return Request{"BEGIN", 1}, v >= V3
	case TagCommit:
		return Request{"COMMIT", 0}, v >= V3
	case TagRollback:
		return Request{"ROLLBACK", 0}, v >= V3
	case TagDiscard, TagPull:
		return streamRequest(tag, v), true
	case TagTelemetry:
		return Request{"TELEMETRY", 1}, v >= V5_4
	case TagRoute:
		return Request{"ROUTE", 3}, v >= V4_3
	case TagLogon:
		return Request{"LOGON", 1}, v >= V5_1
	case TagLogoff:
		return Request{"LOGOFF", 0}, v >= V5_1
	}
	return Request{}, false
}

func streamRequest(tag byte, v Version) Request {
	r := Request{Name: "PULL"}
	if tag == TagDiscard {
		r.Name = "DISCARD"
	}
	if v < V4_0 {
		r.Name += "_ALL"
		return r
	}
	r.Fields = 1
	return r
}
