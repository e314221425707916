package proxy

import (
	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns requests of explicit HTTP transactions that their member refused because of its role. Nothing can be sent elsewhere, for the
// transaction is that member's; but its client is told to try all of it again, and not NotALeader, which would send it looking for a leader
// that the gate already has.

// inTransaction tells whether the request is of an explicit transaction and its answer may hold such a refusal. A body that is still on its way may
// wait for the answer to begin.
func (c *httpConn) inTransaction() bool {
	w := c.w
	u := &w.unit
	return (w.path.kind == routeBegin || w.path.kind == routeInside) && u.post && u.declared != declaredRead && (w.upload == nil || w.upload.ended())
}

// endsTransaction tells whether the member said code because of its role, so that the transaction is over and another one would not be refused.
func (c *httpConn) endsTransaction(code string) bool {
	return refusedAsWrite(code) && code != bolt.CodeAccessMode && aboutTheMember(code) ||
		code == bolt.CodeDatabaseUnavailable && !stoppedByOperator(c.srv.current.View(), c.w.unit.intent.DB)
}

// tellRefused answers such a request; clean says that the member's answer was read to its end.
func (c *httpConn) tellRefused(lease *pool.Lease, code string, clean bool) error {
	m := lease.Member
	_, fault := c.stopUpload(lease)
	lease.Release(clean)
	if fault != nil {
		return clientFault(fault)
	}
	why := cluster.NotALeader
	if code == bolt.CodeDatabaseUnavailable {
		why = cluster.Unserved
	}
	c.srv.current.Report(m.Name, c.w.unit.intent.DB, why)
	if c.w.path.kind == routeInside {
		c.srv.open.drop(c.insideTx())
	}
	return c.answerFailure(httpFailure{503, codeLeaderSwitch,
		"member " + m.Name + " was not the right one any more (" + code + "); the transaction was rolled back, please try all of it again"})
}
