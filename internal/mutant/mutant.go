// Package mutant plants bugs: each is a rule of the gate that can be switched off, to show that the simulator (test/sim) finds out.
// Without the build tag "mutants" every question is answered by a constant, so the compiler leaves no trace of it in the program.
package mutant

// Mutant is one planted bug.
type Mutant uint8

// The bugs, by the rule that they break.
const (
	None               Mutant = iota
	ResendLostWrite           // a write is sent again after its answer was lost
	ResendSelf                // so is a text that commits by itself
	ResendCommit              // so is a transaction whose COMMIT went with it
	ResendDelivered           // a read is sent again although records of it reached the client
	LendUnclean               // a connection is lent again with answers still to come
	ReturnEarly               // a lease is given back before the answer's end
	OthersLogin               // a connection is lent whoever it was logged on as
	SkipMarks                 // reads that were moved do not carry what their user has seen
	MarksByArrival            // of what a user has seen the last answer counts, not the highest
	DropBookmarks             // the client's own bookmarks get lost when a request is rebuilt
	KeepNotALeader            // NotALeader is the client's problem
	DoubtIsRetryable          // a COMMIT in doubt is answered with a code that drivers retry
	LossIsSuccess             // a COMMIT whose answer was lost is answered as a ROLLBACK is: with SUCCESS
	StaleClaimant             // of members that claim to lead, the one with the older claim is believed
	ResetFirst                // RESET is answered before the requests that it overtakes
	WebAnswerTwice            // a held answer that broke off is delivered although its client was told so: the next request gets it
	WebResendLostWrite        // a write over HTTP is sent again after its answer was lost
	WebLossIsSuccess          // one whose answer was lost is answered as if it had been done
	ClusterOwnGate            // causality: cluster sees what went through this gate alone
	End                       // no bug: behind the last one
)

var names = [...]string{"none", "resend-lost-write", "resend-self-committing", "resend-commit", "resend-delivered", "lend-unclean", "return-early", "others-login",
	"skip-marks", "marks-by-arrival", "drop-bookmarks", "keep-not-a-leader", "doubt-is-retryable", "loss-is-success", "stale-claimant", "reset-first",
	"http-answer-twice", "http-resend-lost-write", "http-loss-is-success", "cluster-own-gate"}

// String is the bug's name.
func (m Mutant) String() string { return names[m] }
