package standin

import (
	"fmt"
	"strings"

	"github.com/boltgate/boltgate/bolt"
)

// Codes that only servers send; those on which the gate decides are bolt's.
const (
	codeTypeError        = "Neo.ClientError.Statement.TypeError"
	codeSyntaxError      = "Neo.ClientError.Statement.SyntaxError"
	codeArgumentError    = "Neo.ClientError.Statement.ArgumentError"
	codeArithmetic       = "Neo.ClientError.Statement.ArithmeticError"
	codeParameterMissing = "Neo.ClientError.Statement.ParameterMissing"
	codeTerminated       = "Neo.ClientError.Transaction.Terminated"
	codeTerminatedOld    = "Neo.TransientError.Transaction.Terminated" // the same before 5.0
	codeTimedOut         = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"
	codeTimedOutOld      = "Neo.ClientError.Transaction.TransactionTimedOut" // the same before 5.0
	codeInvalidBookmark  = "Neo.ClientError.Transaction.InvalidBookmark"
	codeBookmarkTimeout  = "Neo.TransientError.Transaction.BookmarkTimeout"
	codeStateChanged     = "Neo.TransientError.Transaction.InstanceStateChanged" // BookmarkTimeout of 3.x
	codeTxNotFound       = "Neo.ClientError.Transaction.TransactionNotFound"
	codeDatabaseExists   = "Neo.ClientError.Database.ExistingDatabaseFound"
)

func failure(code, format string, args ...any) *bolt.Failure {
	return &bolt.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (m *member) databaseNotFound(db string) *bolt.Failure {
	if !m.release().atLeast(5, 0) {
		return failure(bolt.CodeDatabaseNotFound, "Database does not exist. Database name: '%s'.", db)
	}
	return failure(bolt.CodeDatabaseNotFound, "Graph not found: %s", db)
}

func databaseUnavailable(db string) *bolt.Failure {
	return failure(bolt.CodeDatabaseUnavailable, "The database is not currently available to serve your request, refer to the database logs for more details. Database '%s' is unavailable.", db)
}

// notALeader refuses a write: replicas are read-only instances to themselves, also on 3.x, followers name their role.
func notALeader(m *member) *bolt.Failure {
	if m.replica {
		return failure(bolt.CodeReadOnlyDatabase, "No write operations are allowed on this database. This is a read only Neo4j instance.")
	}
	return failure(bolt.CodeNotALeader, "No write operations are allowed directly on this database. Writes must pass through the leader. The role of this server is: FOLLOWER")
}

// terminated is the failure of what a RESET interrupted.
func (m *member) terminated() *bolt.Failure {
	code := codeTerminated
	if !m.release().atLeast(5, 0) {
		code = codeTerminatedOld
	}
	return failure(code, "The transaction has been terminated. Retry your operation in a new transaction, and you should see a successful result. Explicitly terminated by the user. ")
}

func invalidRequest(format string, args ...any) *bolt.Failure {
	return failure(bolt.CodeInvalidRequest, format, args...)
}

func invalidField(field, why string) *bolt.Failure {
	return withKind(invalidRequest("Illegal value for field \"%s\": %s", field, why), kindField)
}

// Kinds of failures whose code does not say enough about their GQL status; a failure carries one as its GQL.
const (
	kindField  = "field"     // a field of a request is not what it should be
	kindFailed = "failed"    // a request that is not for the failed state
	kindStruct = "structure" // a request is no structure
	kindResult = "result"    // there is no such result
)

// withKind gives a failure its kind.
func withKind(f *bolt.Failure, kind string) *bolt.Failure {
	f.GQL = kind
	return f
}

// gqlObject is what 5.7 and later add to a FAILURE.
type gqlObject struct {
	status string
	record bool   // a diagnostic record comes with it
	cause  string // the status of its cause; "" none
}

// gqlGeneral is the object of all that has none of its own; to a server of 5.26 that is most.
var gqlGeneral = gqlObject{"50N42", false, ""}

// gql are the objects by code or kind, as 5.26 has them; what clusters fail with is from the documentation.
var gql = map[string]gqlObject{
	kindField:                    {"08N06", true, "08N06"},
	kindFailed:                   {"08N06", true, "08N10"},
	kindStruct:                   {"22G03", false, "22N01"},
	bolt.CodeUnknown:             {"50N00", false, "50N09"},
	bolt.CodeProcedureNotFound:   {"42001", true, "42N08"},
	bolt.CodeNotALeader:          {"08N07", true, ""},
	bolt.CodeReadOnlyDatabase:    {"08N08", true, ""},
	bolt.CodeDatabaseUnavailable: {"08N09", true, ""},
	bolt.CodeRouting:             {"08N02", true, ""},
	codeBookmarkTimeout:          {"08N13", true, ""},
	codeInvalidBookmark:          {"08N12", true, ""},
}

// gqlSince2025 are those that calendar versions have otherwise.
var gqlSince2025 = map[string]gqlObject{
	kindStruct:                {"22G03", true, "22N01"},
	kindResult:                {"08N06", true, "22004"},
	bolt.CodeInvalidRequest:   {"08N06", true, "08N10"},
	bolt.CodeInvalidFormat:    {"08N11", true, "22N57"},
	bolt.CodeUnauthorized:     {"42NFF", true, ""},
	bolt.CodeDatabaseNotFound: {"42001", true, "42N00"},
	bolt.CodeAccessMode:       {"08N03", true, "42N02"},
	codeSyntaxError:           {"42001", true, "42I06"},
	codeArithmetic:            {"22012", true, "22N28"},
	codeParameterMissing:      {"42001", true, "42N81"},
	codeArgumentError:         {"51N27", true, ""},
	codeTerminated:            {"25N14", true, ""},
}

// gqlText says what a status means (Neo4j "GQL error codes").
var gqlText = map[string]string{
	"08N02": "connection exception - unable to connect to database",
	"08N03": "connection exception - failed to write to graph",
	"08N06": "connection exception - protocol error. General network protocol error.",
	"08N07": "connection exception - not the leader",
	"08N08": "connection exception - database is read only",
	"08N09": "connection exception - database unavailable",
	"08N10": "connection exception - invalid server state",
	"08N11": "connection exception - request error. The request is invalid and could not be processed by the server.",
	"08N12": "connection exception - failed to parse bookmark. Failed to parse the supplied bookmark. Verify it is correct or check the debug log for more information.",
	"08N13": "connection exception - database not up to requested bookmark",
	"22004": "data exception - null value not allowed",
	"22012": "data exception - division by zero",
	"22G03": "data exception - invalid value type",
	"22N01": "data exception - invalid type",
	"22N28": "data exception - overflow error",
	"22N57": "data exception - invalid protocol type",
	"25N14": "invalid transaction state - transaction termination client error",
	"42001": "syntax error or access rule violation - invalid syntax",
	"42I06": "syntax error or access rule violation - invalid input",
	"42N00": "syntax error or access rule violation - graph reference not found",
	"42N02": "syntax error or access rule violation - writing in read access mode",
	"42N08": "syntax error or access rule violation - no such procedure or function",
	"42N81": "syntax error or access rule violation - missing request parameter",
	"42NFF": "syntax error or access rule violation - permission/access denied. Access denied, see the security logs for details.",
	"50N00": "general processing exception - internal error. Internal exception raised.",
	"50N09": "general processing exception - invalid server state transition",
	"50N42": "general processing exception - unexpected error. Unexpected error has occurred. See debug log for details.",
	"51N27": "system configuration or operation exception - not supported in this edition",
}

// gqlFields are a failure's entries beside code and message in 5.7 and later.
func (r release) gqlFields(f *bolt.Failure) map[string]any {
	o, known := gqlObject{}, false
	for _, key := range [...]string{f.GQL, f.Code} {
		if o, known = gqlSince2025[key]; known && r.atLeast(2025, 1) {
			break
		}
		if o, known = gql[key]; known {
			break
		}
	}
	if !known {
		o = gqlGeneral
	}
	fields := gqlStatus(o.status, o.record, f.Code)
	if o.cause != "" {
		cause := gqlStatus(o.cause, true, f.Code)
		cause["message"] = o.cause + ": " + gqlText[o.cause]
		fields["cause"] = cause
	}
	return fields
}

func gqlStatus(status string, record bool, code string) map[string]any {
	fields := map[string]any{"gql_status": status, "description": "error: " + gqlText[status]}
	if record {
		class := "DATABASE_ERROR"
		switch {
		case strings.HasPrefix(code, "Neo.ClientError."):
			class = "CLIENT_ERROR"
		case strings.HasPrefix(code, "Neo.TransientError."):
			class = "TRANSIENT_ERROR"
		}
		fields["diagnostic_record"] = map[string]any{"_classification": class}
	}
	return fields
}
