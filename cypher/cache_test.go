package cypher

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestACacheSaysWhatClassifySays(t *testing.T) {
	procs := new(Procedures)
	if err := procs.Set("my.proc", "read"); err != nil {
		t.Fatal(err)
	}
	c := NewCache(procs)
	texts := []string{"", "RETURN 1", "CREATE (n)", "CALL my.proc()", "CALL other.proc()", "RETURN '\xff'", strings.Repeat("MATCH (n) ", 300) + "RETURN n"}
	if got := (*Cache)(nil).Classify([]byte("CREATE (n)")); got.Access != Write {
		t.Errorf("no cache: got %+v", got)
	}
	for range 3 {
		for _, text := range texts {
			if got, want := c.Classify([]byte(text)), Classify([]byte(text), procs); got != want {
				t.Errorf("%.40q: got %+v; want %+v", text, got, want)
			}
		}
	}
}

func TestACacheKeepsWhatComesTwice(t *testing.T) {
	c := NewCache(nil)
	kept := func() (n int) {
		for i := range c.slots {
			if c.slots[i].Load() != nil {
				n++
			}
		}
		return n
	}
	for i := range 5000 {
		c.Classify(fmt.Appendf(nil, "MATCH (n {id: %d}) RETURN n", i))
	}
	if n := kept(); n > 1 { // one in 2^31 has another's mark
		t.Errorf("%d texts are kept that came once", n)
	}
	text := []byte(typicalQuery)
	c.Classify(text)
	c.Classify(text)
	if kept() != 1 {
		t.Error("a text that came twice is not kept")
	}
	if n := testing.AllocsPerRun(100, func() { c.Classify(text) }); n != 0 {
		t.Errorf("%v allocations for a text that is kept", n)
	}
	long := []byte(strings.Repeat(" ", cacheMaxText) + "RETURN 1")
	c.Classify(long)
	c.Classify(long)
	if kept() != 1 {
		t.Error("a long text is kept")
	}
	// The text is copied: its buffer is the session's, who reads the next request into it.
	copy(text, "CREATE")
	if c.Classify([]byte(typicalQuery)).Access != Read || c.Classify(text) != Classify(text, nil) {
		t.Error("a verdict has changed with the buffer of its text")
	}
}

func TestACacheIsForAllSessions(t *testing.T) {
	c := NewCache(nil)
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 20_000 {
				text := fmt.Sprintf("RETURN %d", (i*7+g)%300)
				want := Read
				if i%3 == 0 {
					text, want = fmt.Sprintf("CREATE (n {x: %d})", (i*7+g)%300), Write
				}
				if got := c.Classify([]byte(text)); got.Access != want {
					t.Errorf("%s: got %v", text, got.Access)
				}
			}
		})
	}
	wait.Wait()
}
