package proxy

// This file owns the words for what decided where a unit of work goes (docs/access-log.md). Who decides notes one; only the access log
// reads it.

// because is what decided.
type because uint8

const (
	becauseNothing       because = iota
	becauseDeclared              // the client said so
	becauseText                  // nobody said, and the text was read
	becauseTransaction           // an explicit transaction that declared nothing; HTTP: one goes on at its member
	becauseMethod                // HTTP: the method
	becauseCausality             // a read that goes to the leader for what it has to see
	becauseRefused               // it was taken for a read, and the member said that it writes
	becauseRefusedBefore         // a member said so of this very text earlier
	becauseOneMember             // its answer depends on which member is asked
	becauseSeveral               // HTTP: its statements name several databases
	becauseSystem                // a command of the database system
	becauseFrontend              // the frontend's access
	becauseUndeclared            // routing.undeclared
	becauseReadOnly              // refused: its client may only read
	becauseAny                   // HTTP: files that are the same everywhere
)

var becauseWords = [...]string{"", "declared", "text", "transaction", "method", "causality", "refused", "refused before", "one member", "several databases",
	"system", "frontend", "undeclared", "read-only", "any member"}

// String is the word for the log.
func (b because) String() string { return becauseWords[b] }
