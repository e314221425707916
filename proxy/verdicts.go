package proxy

import (
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
)

// This file owns the table of what is known of a unit of work when one of its requests failed or was lost (design rules 2 and 3). Whether it
// may be sent again, and whether its end is in doubt, is decided from this table alone; docs/failover.md shows it, and a test compares them.

// verdict is what is known of a unit of work.
type verdict uint8

const (
	doubtful     verdict = iota // it may have been committed
	notCommitted                // it may have run, but its transaction was not committed, and will not be
	nothingDone                 // it did not begin to run
)

var verdictNames = [...]string{"in doubt", "not committed", "nothing done"}

// step is the request that failed, as steps of a unit of work.
type step uint8

const (
	stepBegin  step = 1 << iota // BEGIN
	stepRun                     // an auto-commit RUN
	stepPull                    // PULL or DISCARD of its result
	stepInside                  // RUN, PULL or DISCARD in an explicit transaction
	stepCommit                  // COMMIT
	stepEnds   = stepPull | stepCommit
	stepAuto   = stepRun | stepPull
	anyStep    = stepBegin | stepAuto | stepInside | stepCommit
)

// lost stands for the code of a FAILURE that did not come, because the connection broke.
const lost = "connection lost"

// ruling is one row. A code that ends in a dot stands for all that begin so, "" for every code; the first row that fits counts.
type ruling struct {
	code  string
	since bolt.Version // from which version of Bolt, and so of the server, it holds: 0, or 4.0
	until bolt.Version // to which it holds: 0 (no end), or 3
	at    step
	verdict
	why string // where it is known from: a test, or a class of the server's; "the same" begins what the row above says
}

const (
	codeReplication  = "Neo.TransientError.Cluster.ReplicationFailure"
	codeLockSession  = "Neo.TransientError.Transaction.LockSessionExpired" // 3.x
	codeLeaseExpired = "Neo.TransientError.Transaction.LeaseExpired"       // 4.0+
)

// rulings is the table. Texts that commit by themselves are outside it: a row says what became of one transaction, and they have many.
var rulings = []ruling{
	{lost, 0, 0, stepBegin | stepInside, notCommitted, "a server rolls back what a connection leaves open; TestAMemberThatDiesAtAnyByte, TestATransactionThatDiedIsALeaderSwitch"},
	{lost, 0, 0, stepRun | stepEnds, doubtful, "TestALostCommitIsInDoubt, TestAMemberThatDiesAtAnyByte"},

	{"", 0, 0, stepBegin, nothingDone, "BEGIN runs no text; TestAWriteThatWasRefusedIsNotInDoubt"},
	{"", 0, 0, stepInside, notCommitted, "a FAILURE fails the whole transaction: TestAFailureGivesTheLeaseBackAtOnce, and the recorded conversations of real servers"},

	{bolt.CodeNotALeader, 0, 0, stepRun, nothingDone, "the leader's role is asked before the first lock (3.x LeaderOnlyLockManager, 4.0+ LeaderCanWrite); TestNotALeaderIsOurBusiness"},
	{bolt.CodeReadOnlyDatabase, bolt.V4_0, 0, stepRun, nothingDone, "refused by the access mode before the first write; TestNotALeaderIsOurBusiness"},
	{bolt.CodeAccessMode, bolt.V4_0, 0, stepRun, nothingDone, "the same; TestAJudgedReadThatIsAWriteGoesToTheLeader"},
	{bolt.CodeRouting, bolt.V4_0, 0, stepRun, nothingDone, "the database is looked up before the text is read; TestServerSideRouting"},
	{bolt.CodeDatabaseUnavailable, bolt.V4_0, 0, stepRun, nothingDone, "the same; TestDatabasesComeAndGo"},
	{bolt.CodeDatabaseNotFound, bolt.V4_0, 0, stepRun, nothingDone, "the same; TestDatabasesComeAndGo"},
	{bolt.CodeDatabaseUnavailable, 0, bolt.V3, stepRun, nothingDone, "said before the transaction begins (DatabaseAvailabilityGuard), or of one that the member ends as it shuts down (KernelTransactions.disposeAll) and rolls back (TransactionStateMachine: closeTransaction(ctx, false)); TestAWriteLeavesAMemberThatShutsDown"},
	{bolt.CodeAuthExpired, bolt.V4_0, 0, stepRun, nothingDone, "the login is looked at before the text is read; TestAuthorizationExpiredCostsTheConnection"},
	{bolt.CodeBookmarkTimeout, bolt.V4_0, 0, stepRun, nothingDone, "bookmarks are waited for before the transaction begins (TransactionIdTracker); TestAReadLeavesAMemberThatDoesNotCatchUp"},
	{bolt.CodeStateChanged, 0, bolt.V3, stepRun, nothingDone, "the same before 4.0; or a HA member changes its role, and rolls back what it ran (DelegateInvocationHandler): TestAWriteLeavesAHAMasterThatSwitches"},
	{bolt.CodeInvalidBookmark, 0, 0, stepRun, nothingDone, "bookmarks are read before a text runs (3.x Bookmark.fromParamsOrNull, 4.x BookmarkParsingException); TestAWriteThatWasRefusedIsNotInDoubt"},
	{bolt.CodeBookmarkMixture, 0, 0, stepRun, nothingDone, "the same"},
	{codeReplication, 0, 0, stepAuto | stepCommit, doubtful, "ReplicatedTransactionCommitProcess: also when it may have been replicated (MAYBE_REPLICATED)"},
	{"", 0, 0, stepRun, notCommitted, "an auto-commit transaction is committed when its result ends, never before RUN is answered: TestAWriteThatWasRefusedIsNotInDoubt, and the recorded conversations of real servers"},

	{codeLockSession, 0, bolt.V3, stepEnds, notCommitted, "ReplicatedTransactionStateMachine leaves out a transaction of an earlier lock session"},
	{codeLeaseExpired, bolt.V4_0, 0, stepEnds, notCommitted, "ReplicatedTransactionCommitProcess.validate, before it is replicated; its state machine leaves it out"},
	{bolt.CodeLeaderSwitch, 0, 0, stepEnds, doubtful, "not said when in a commit it may come; TestADoubtOfTheMembersOwnIsNotRetryable"},
	{bolt.CodeDatabaseUnavailable, 0, 0, stepEnds, doubtful, "the same"},
	{"Neo.ClientError.", 0, 0, stepEnds, notCommitted, "constraints, roles and timeouts are looked at before the commit (KernelTransactionImplementation); status codes, \"effect on transaction: rollback\"; TestAWriteThatWasRefusedIsNotInDoubt"},
	{"Neo.TransientError.Transaction.", 0, 0, stepEnds, notCommitted, "the same, of deadlocks, locks and terminations"},
	{"", 0, 0, stepEnds, doubtful, "an unknown code proves nothing; TestADoubtOfTheMembersOwnIsNotRetryable"},
}

// rule is the verdict on a request of a session of version v (of HTTP: the oldest Bolt of such servers) that was answered with code.
func rule(code string, v bolt.Version, at step) verdict {
	for i := range rulings {
		if rulings[i].fits(code, v, at) {
			return rulings[i].verdict
		}
	}
	return doubtful
}

func (r *ruling) fits(code string, v bolt.Version, at step) bool {
	if r.at&at == 0 || v < r.since || r.until != 0 && v > r.until {
		return false
	}
	switch {
	case r.code == "":
		return code != lost
	case strings.HasSuffix(r.code, "."):
		return strings.HasPrefix(code, r.code)
	}
	return r.code == code
}

// stepOf is the step to which the request belonged whose answer o is.
func (s *boltSession) stepOf(o owed) step {
	u := &s.unit
	switch {
	case o.tag == bolt.TagBegin || o.tag == bolt.TagRun && u.explicit && !u.begun:
		return stepBegin
	case o.tag == bolt.TagCommit || o.ends == bolt.TagCommit:
		return stepCommit
	case u.explicit:
		return stepInside
	case o.tag == bolt.TagRun:
		return stepRun
	}
	return stepPull
}

// aboutTheMember lists the codes that another member may not answer with.
func aboutTheMember(code string) bool {
	switch code {
	case bolt.CodeNotALeader, bolt.CodeReadOnlyDatabase, bolt.CodeDatabaseUnavailable, bolt.CodeRouting, bolt.CodeAuthExpired:
		return !mutant.Is(mutant.KeepNotALeader)
	}
	return false
}

// refusedAsWrite lists the codes by which a member says that what we took for a read is none.
func refusedAsWrite(code string) bool {
	return code == bolt.CodeAccessMode || code == bolt.CodeNotALeader || code == bolt.CodeReadOnlyDatabase
}
