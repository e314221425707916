package bolt

import (
	"fmt"
	"slices"

	"github.com/boltgate/boltgate/bolt/packstream"
)

// Codes that decisions are made on, or that the gate itself answers (Neo4j status codes).
const (
	CodeNotALeader          = "Neo.ClientError.Cluster.NotALeader"
	CodeReadOnlyDatabase    = "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase"
	CodeAccessMode          = "Neo.ClientError.Statement.AccessMode"
	CodeRouting             = "Neo.ClientError.Cluster.Routing"
	CodeDatabaseUnavailable = "Neo.TransientError.General.DatabaseUnavailable"
	CodeLeaderSwitch        = "Neo.TransientError.Transaction.LeaderSwitch"
	CodeNoThreads           = "Neo.TransientError.Request.NoThreadsAvailable"
	CodeCommitFailed        = "Neo.DatabaseError.Transaction.TransactionCommitFailed"
	CodeInvalidRequest      = "Neo.ClientError.Request.Invalid"
	CodeInvalidFormat       = "Neo.ClientError.Request.InvalidFormat"
	CodeForbidden           = "Neo.ClientError.Security.Forbidden"
	CodeUnauthorized        = "Neo.ClientError.Security.Unauthorized"
	CodeAuthRate            = "Neo.ClientError.Security.AuthenticationRateLimit"
	CodeAuthExpired         = "Neo.ClientError.Security.AuthorizationExpired"
	CodeTokenExpired        = "Neo.ClientError.Security.TokenExpired"
	CodeCredentialsExpired  = "Neo.ClientError.Security.CredentialsExpired"
	CodeProcedureNotFound   = "Neo.ClientError.Procedure.ProcedureNotFound"
	CodeInvalidBookmark     = "Neo.ClientError.Transaction.InvalidBookmark"
	CodeBookmarkMixture     = "Neo.ClientError.Transaction.InvalidBookmarkMixture"
	CodeBookmarkTimeout     = "Neo.TransientError.Transaction.BookmarkTimeout"      // 4.0+
	CodeStateChanged        = "Neo.TransientError.Transaction.InstanceStateChanged" // the same before
	CodeDatabaseNotFound    = "Neo.ClientError.Database.DatabaseNotFound"
	CodeTerminated          = "Neo.ClientError.Transaction.Terminated"
	CodeUnknown             = "Neo.DatabaseError.General.UnknownError"
)

// gqlStatus is what 5.7+ sends beside a code (Neo4j "GQL error codes"); 50N42 is the general one.
var gqlStatus = map[string]struct{ status, description string }{
	CodeNotALeader:          {"08N07", "error: connection exception - not the leader"},
	CodeReadOnlyDatabase:    {"08N08", "error: connection exception - database is read only"},
	CodeDatabaseUnavailable: {"08N09", "error: connection exception - database unavailable"},
	CodeInvalidRequest:      {"08N06", "error: connection exception - protocol error"},
	CodeInvalidFormat:       {"08N06", "error: connection exception - protocol error"},
	CodeForbidden:           {"42NFF", "error: syntax error or access rule violation - permission/access denied"},
	CodeAuthExpired:         {"42NFE", "error: syntax error or access rule violation - authentication and/or authorization info expired"},
}

// Failure is what a FAILURE says. It is an error.
type Failure struct {
	Code    string // Neo4j status code: neo4j_code in 5.7+
	Message string
	GQL     string // gql_status; 5.7+
	Raw     []byte // the encoded map as a server sent it, cause and diagnostic record included; nil for a failure of our own
}

// Error is code and message.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Append appends a whole FAILURE message: what the server sent, byte for byte, when f is a server's. The server must have
// spoken version v as well, for the map looks otherwise before 5.7.
func (f *Failure) Append(dst []byte, v Version) []byte {
	if f.Raw == nil {
		return AppendFailure(dst, v, f.Code, f.Message)
	}
	return AppendChunks(dst, append(packstream.AppendStruct(nil, TagFailure, 1), f.Raw...))
}

// ParseFailure reads a FAILURE's fields, of any version. The Failure keeps a copy of them.
func ParseFailure(fields []byte) (*Failure, error) {
	f := new(Failure)
	d := packstream.NewDecoder(fields)
	for range d.Map() {
		switch string(d.String()) {
		case "code", "neo4j_code":
			f.Code = optionalString(&d)
		case "message":
			f.Message = optionalString(&d)
		case "gql_status":
			f.GQL = optionalString(&d)
		default:
			d.Skip()
		}
	}
	if d.Err() != nil {
		return nil, fmt.Errorf("bolt: reading a FAILURE: %w", d.Err())
	}
	f.Raw = slices.Clone(fields[:d.Offset()])
	return f, nil
}

func optionalString(d *packstream.Decoder) string {
	if d.Kind() == packstream.KindString {
		return string(d.String())
	}
	d.Skip()
	return ""
}

// AppendFailure appends a whole FAILURE message as version v has it.
func AppendFailure(dst []byte, v Version, code, message string) []byte {
	p := packstream.AppendStruct(nil, TagFailure, 1)
	if v < V5_7 {
		p = packstream.AppendMap(p, 2)
		p = packstream.AppendString(packstream.AppendString(p, "code"), code)
		p = packstream.AppendString(packstream.AppendString(p, "message"), message)
		return AppendChunks(dst, p)
	}
	gql, ok := gqlStatus[code]
	if !ok {
		gql = struct{ status, description string }{"50N42", "error: general processing exception - unexpected error"}
	}
	p = packstream.AppendMap(p, 4)
	for _, kv := range [...][2]string{
		{"neo4j_code", code}, {"message", message}, {"gql_status", gql.status}, {"description", gql.description + ". " + message},
	} {
		p = packstream.AppendString(packstream.AppendString(p, kv[0]), kv[1])
	}
	return AppendChunks(dst, p)
}

// AppendSuccess appends a whole SUCCESS with the given metadata; nil is the empty map.
func AppendSuccess(dst []byte, metadata map[string]any) []byte {
	p := packstream.AppendStruct(nil, TagSuccess, 1)
	return AppendChunks(dst, packstream.AppendValue(p, metadata))
}

// AppendMessage appends a whole message with the given fields, each a value that packstream.AppendValue takes.
func AppendMessage(dst []byte, tag byte, fields ...any) []byte {
	p := packstream.AppendStruct(nil, tag, len(fields))
	for _, f := range fields {
		p = packstream.AppendValue(p, f)
	}
	return AppendChunks(dst, p)
}

// Messages without fields, and answers with nothing in them, as bytes on the wire. Not to be changed.
var (
	Ignored      = []byte{0, 2, 0xB0, TagIgnored, 0, 0}
	EmptySuccess = []byte{0, 3, 0xB1, TagSuccess, 0xA0, 0, 0}
	Reset        = []byte{0, 2, 0xB0, TagReset, 0, 0}
	Goodbye      = []byte{0, 2, 0xB0, TagGoodbye, 0, 0}
	Noop         = []byte{0, 0}
)
