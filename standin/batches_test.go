package standin

import (
	"fmt"
	"testing"
)

const batchText = "UNWIND range(1, 4) AS i CALL (i) { CREATE (n {i: i}) } IN TRANSACTIONS OF 1 ROWS"

func marksOf(c *Cluster) (list []any) {
	for _, e := range c.Log("") {
		list = append(list, e.Marks...)
	}
	return list
}

func TestBatchesAreCommittedOneByOne(t *testing.T) {
	c, client := loopback(t)
	if _, err := client.Query(batchText, map[string]any{"mark": "a", "batches": 3}, nil); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(marksOf(c)); got != "[a#1 a#2 a#3 a]" {
		t.Errorf("got %s in the log; want three batches and the end", got)
	}
}

func TestBatchesThatWereCommittedStay(t *testing.T) {
	c, client := loopback(t)
	go func() {
		c.WaitApplied("", "s1", 3, 0)
		c.Kill("s1")
	}()
	_, err := client.Query(batchText, map[string]any{"mark": "a", "batches": 100, "row_delay": "20ms"}, nil)
	if got := marksOf(c); err == nil || len(got) < 2 || len(got) > 99 {
		t.Errorf("got %v, %d in the log; want a broken connection and a part of the batches", err, len(got))
	}
}
