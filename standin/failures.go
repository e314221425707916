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
	codeInvalidBookmark = "Neo.ClientError.Transaction.InvalidBookmark"
	codeBookmarkTimeout = "Neo.TransientError.Transaction.BookmarkTimeout"
	codeStateChanged    = "Neo.TransientError.Transaction.InstanceStateChanged" // BookmarkTimeout of 3.x
	codeTxNotFound      = "Neo.ClientError.Transaction.TransactionNotFound"
	codeDatabaseExists  = "Neo.ClientError.Database.ExistingDatabaseFound"
)

func failure(code, format string, args ...any) *bolt.Failure {
	return &bolt.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func databaseNotFound(db string) *bolt.Failure {
	return failure(bolt.CodeDatabaseNotFound, "Database does not exist. Database name: '%s'.", db)
}

func databaseUnavailable(db string) *bolt.Failure {
	return failure(bolt.CodeDatabaseUnavailable, "The database is not currently available to serve your request, refer to the database logs for more details. Database '%s' is unavailable.", db)
}

func notALeader(m *member) *bolt.Failure {
	if m.replica && m.release.multi() {
		return failure(bolt.CodeReadOnlyDatabase, "No write operations are allowed on this database. It is a replica, at %s.", m.boltAddr)
	}
	return failure(bolt.CodeNotALeader, "No longer possible to write to server at %s.", m.boltAddr)
}

func terminated() *bolt.Failure {
	return failure(codeTerminated, "The transaction has been terminated. Retry your operation in a new transaction, and you should see a successful result. Explicitly terminated by the user. ")
}

func invalidRequest(format string, args ...any) *bolt.Failure {
	return failure(bolt.CodeInvalidRequest, format, args...)
}

// gqlOf are the GQL statuses that servers of 5.26 send beside a code (5.7+); 50N42 for the rest.
var gqlOf = map[string]string{
	bolt.CodeNotALeader:          "08N07",
	bolt.CodeReadOnlyDatabase:    "08N08",
	bolt.CodeDatabaseUnavailable: "08N09",
	codeBookmarkTimeout:          "08N13",
	codeInvalidBookmark:          "08N12",
	bolt.CodeRouting:             "08N02",
	bolt.CodeInvalidRequest:      "08N06",
	bolt.CodeForbidden:           "42NFF",
	bolt.CodeUnauthorized:        "42NFF",
	bolt.CodeAuthExpired:         "42NFE",
	bolt.CodeDatabaseNotFound:    "22N51",
}

var gqlText = map[string]string{
	"08N02": "connection exception - unable to connect to database",
	"08N06": "connection exception - protocol error",
	"08N07": "connection exception - not the leader",
	"08N08": "connection exception - database is read only",
	"08N09": "connection exception - database unavailable",
	"08N12": "connection exception - invalid bookmark",
	"08N13": "connection exception - database not up to requested bookmark",
	"22N51": "data exception - database, database alias, or graph reference not found",
	"42NFE": "syntax error or access rule violation - credentials expired",
	"42NFF": "syntax error or access rule violation - permission/access denied",
	"50N42": "general processing exception - unexpected error",
}

func gqlDescription(status, message string) string {
	return "error: " + gqlText[status] + ". " + message
}

// diagnosticRecord is FAILURE's in 5.7+.
func diagnosticRecord(code string) map[string]any {
	class := map[string]string{"Clie": "CLIENT_ERROR", "Tran": "TRANSIENT_ERROR", "Data": "DATABASE_ERROR"}
	record := map[string]any{"OPERATION": "", "OPERATION_CODE": "0", "CURRENT_SCHEMA": "/"}
	if len(code) > 8 && class[code[4:8]] != "" {
		record["_classification"] = class[code[4:8]]
	}
	return record
}
