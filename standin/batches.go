package standin

import (
	"fmt"

	"github.com/boltgate/boltgate/bolt"
)

// commitBatches commits, one after the other, what a text that commits by itself (CALL {…} IN TRANSACTIONS) does before its end. In
// the log each batch is an entry whose mark is that of the statement, "#" and the batch's number, so that one which was carried out
// twice, or in part, shows.
func (c *boltConn) commitBatches(r *result) *bolt.Failure {
	halted := c.halted()
	for i := range r.ask.batches {
		if len(c.tx.marks) == 0 { // it reads, or was only explained
			return nil
		}
		if f := c.tx.pause(r.ask.rowDelay, halted); f != nil {
			return f
		}
		select {
		case <-halted:
			return c.m.terminated()
		default:
		}
		batch := *c.tx
		batch.marks, batch.dropped = []any{fmt.Sprintf("%v#%d", r.ask.mark, i+1)}, nil
		if _, f := c.m.c.commit(c.tx.exec, &batch); f != nil {
			return f
		}
	}
	return nil
}
