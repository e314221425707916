package standin

import (
	"fmt"

	"github.com/boltgate/boltgate/bolt"
)

// Codes that only servers send; those on which the gate decides are bolt's.
const (
	codeTypeError       = "Neo.ClientError.Statement.TypeError"
	codeSyntaxError     = "Neo.ClientError.Statement.SyntaxError"
	codeArgumentError   = "Neo.ClientError.Statement.ArgumentError"
	codeTerminated      = "Neo.TransientError.Transaction.Terminated"
	codeTimedOut        = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"
	codeTimedOutOld     = "Neo.ClientError.Transaction.TransactionTimedOut" // the same before 5.0
	codeInvalidBookmark = "Neo.ClientError.Transaction.InvalidBookmark"
	codeBookmarkTimeout = "Neo.TransientError.Transaction.BookmarkTimeout"
	codeStateChanged    = "Neo.TransientError.Transaction.InstanceStateChanged" // BookmarkTimeout of 3.x
	codeTxNotFound      = "Neo.ClientError.Transaction.TransactionNotFound"
	codeDatabaseExists  = "Neo.ClientError.Database.ExistingDatabaseFound"
)

func failure(code, format string, args ...any) *bolt.Failure {
	return &bolt.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (m *member) databaseNotFound(db string) *bolt.Failure {
	if !m.release.atLeast(5, 0) {
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

func terminated() *bolt.Failure {
	return failure(codeTerminated, "The transaction has been terminated. Retry your operation in a new transaction, and you should see a successful result. Explicitly terminated by the user. ")
}

func invalidRequest(format string, args ...any) *bolt.Failure {
	return failure(bolt.CodeInvalidRequest, format, args...)
}

func invalidField(field, why string) *bolt.Failure {
	return withGQL(invalidRequest("Illegal value for field \"%s\": %s", field, why), gqlProtocol)
}

// Keys into gqlObjects, which a failure carries as its GQL. A failure without one is of the kind that 5.26 has not given a
// status of its own: most are.
const (
	gqlGeneral   = "50N42"
	gqlProtocol  = "08N06" // a field of a request is not what it should be
	gqlType      = "22G03" // a request is no structure
	gqlInternal  = "50N00"
	gqlProcedure = "42001"
)

// gqlObject is what 5.7 and later add to a FAILURE.
type gqlObject struct {
	description string
	record      bool   // a diagnostic record comes with it
	cause       string // key of another object; "" none
}

var gqlObjects = map[string]gqlObject{
	gqlGeneral:   {"error: general processing exception - unexpected error. Unexpected error has occurred. See debug log for details.", false, ""},
	gqlProtocol:  {"error: connection exception - protocol error. General network protocol error.", true, "22N01"},
	gqlType:      {"error: data exception - invalid value type", false, "22N01"},
	gqlInternal:  {"error: general processing exception - internal error. Internal exception raised.", false, "50N09"},
	gqlProcedure: {"error: syntax error or access rule violation - invalid syntax", true, "42N08"},
	"08N02":      {"error: connection exception - unable to connect to database", true, ""},
	"08N07":      {"error: connection exception - not the leader", true, ""},
	"08N08":      {"error: connection exception - database is read only", true, ""},
	"08N09":      {"error: connection exception - database unavailable", true, ""},
	"08N12":      {"error: connection exception - failed to parse bookmark. Failed to parse the supplied bookmark. Verify it is correct or check the debug log for more information.", true, ""},
	"08N13":      {"error: connection exception - database not up to requested bookmark", true, ""},
	"22N01":      {"error: data exception - invalid type", true, ""},
	"42N08":      {"error: syntax error or access rule violation - no such procedure or function", true, ""},
	"50N09":      {"error: general processing exception - invalid server state transition", true, ""},
}

// gqlOf are the statuses that go with a code, whoever fails with it.
var gqlOf = map[string]string{
	bolt.CodeNotALeader:          "08N07",
	bolt.CodeReadOnlyDatabase:    "08N08",
	bolt.CodeDatabaseUnavailable: "08N09",
	codeBookmarkTimeout:          "08N13",
	codeInvalidBookmark:          "08N12",
	bolt.CodeRouting:             "08N02",
	bolt.CodeProcedureNotFound:   gqlProcedure,
}

// withGQL gives a failure a status of its own.
func withGQL(f *bolt.Failure, status string) *bolt.Failure {
	f.GQL = status
	return f
}

// gqlFields are a failure's entries beside code and message in 5.7 and later.
func gqlFields(status, code string) map[string]any {
	o := gqlObjects[status]
	fields := map[string]any{"gql_status": status, "description": o.description}
	if o.record {
		class := map[string]string{"Clie": "CLIENT_ERROR", "Tran": "TRANSIENT_ERROR", "Data": "DATABASE_ERROR"}[code[4:8]]
		fields["diagnostic_record"] = map[string]any{"_classification": class}
	}
	if o.cause != "" {
		cause := gqlFields(o.cause, code)
		cause["message"] = o.cause + ": " + gqlObjects[o.cause].description
		fields["cause"] = cause
	}
	return fields
}
