package querystats

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTextsThatDifferInLiteralsAreOneShape(t *testing.T) {
	table := New()
	a := table.ID([]byte("MATCH (n {id: 1}) RETURN n"))
	b := table.ID([]byte("MATCH (n {id: 2})\n  RETURN n // two"))
	c := table.ID([]byte("MATCH (m {id: 2}) RETURN m"))
	if a != b || a == c || a < first {
		t.Errorf("shapes %d, %d, %d", a, b, c)
	}
	if got := table.Text(a); got != "MATCH (n {id: ?}) RETURN n" {
		t.Errorf("text %q", got)
	}
}

func TestATextSeenBeforeCostsNoAllocation(t *testing.T) {
	table := New()
	text := []byte("MATCH (n {id: 1}) RETURN n")
	for range 2 * busy {
		table.Add(table.ID(text), 1<<8, time.Millisecond, 1, false)
	}
	if n := testing.AllocsPerRun(100, func() { table.Add(table.ID(text), 1<<8, time.Millisecond, 1, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestShapesAreBounded(t *testing.T) {
	table := New()
	for i := range 3 * MaxShapes {
		table.Add(table.ID(fmt.Appendf(nil, "MATCH (n:L%d) RETURN n", i)), 0, time.Millisecond, 0, false)
	}
	r := table.Top(ByTime, 2)
	if r.Shapes != MaxShapes || r.Calls != 3*MaxShapes || r.Top[0].ID != Other || r.Top[0].Calls != 2*MaxShapes || r.Top[0].Text != OtherText {
		t.Errorf("%d shapes, %d calls; the first: %+v", r.Shapes, r.Calls, r.Top[0])
	}
	if got := table.Text(table.ID([]byte("MATCH (n:L77) RETURN n"))); got != "MATCH (n:L77) RETURN n" {
		t.Errorf("an early shape reads %q", got)
	}
}

func TestAnEnormousTextIsCut(t *testing.T) {
	table := New()
	text := bytes.Repeat([]byte("CREATE (:Größe) "), 1<<16)
	id := table.ID(text)
	if table.ID(text[:len(text)/2]) != id {
		t.Error("texts that begin alike are two shapes")
	}
	got := table.Text(id)
	if len(got) > MaxText || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
		t.Errorf("%d bytes are kept: %q", len(got), got)
	}
	if got := Cut([]byte{'a', 0xff}, 10); !utf8.ValidString(got) {
		t.Errorf("kept as %q", got)
	}
}

func TestCounts(t *testing.T) {
	table := New()
	fast, slow := table.ID([]byte("RETURN 1")), table.ID([]byte("MATCH (n) RETURN n"))
	for i := range 3000 { // past the point where counts spread
		table.Add(fast, uintptr(i)<<8, time.Duration(i+1)*time.Microsecond, 2, i%3 == 0)
	}
	table.Add(slow, 0, time.Minute, 0, false)
	table.Add(None, 0, time.Hour, 0, true)
	r := table.Top(ByCalls, 10)
	if len(r.Top) != 2 || r.Calls != 3001 || r.Failed != 1000 {
		t.Fatalf("got %+v", r)
	}
	got := r.Top[0]
	if got.Calls != 3000 || got.Failed != 1000 || got.Rows != 6000 || got.Longest != 3*time.Millisecond || got.Mean() != 1500500*time.Nanosecond {
		t.Errorf("got %+v", got)
	}
	near(t, "p50", got.P50, 1500*time.Microsecond)
	near(t, "p95", got.P95, 2850*time.Microsecond)
	for order, want := range map[string]ID{ByTime: slow, ByMean: slow, ByP95: slow, ByErrors: fast, ByRows: fast} {
		if top := table.Top(order, 1).Top; len(top) != 1 || top[0].ID != want {
			t.Errorf("by %s: %+v", order, top)
		}
	}
	if s := table.Top(ByTime, 2).Top; s[0].Share+s[1].Share < 0.999 || s[0].Share < 0.9 {
		t.Errorf("shares %v and %v", s[0].Share, s[1].Share)
	}
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want*8/10 || got > want*12/10 {
		t.Errorf("%s: got %v; want about %v", what, got, want)
	}
}

func TestBucketsHoldWhatTheirBoundsSay(t *testing.T) {
	for d := time.Duration(1); d < 3*time.Minute; d = d*9/8 + 1 {
		i := bucketOf(d)
		if i < buckets-1 && d > boundOf(i) || i > 0 && d <= boundOf(i-1) {
			t.Fatalf("%v is in bucket %d, whose bound is %v", d, i, boundOf(i))
		}
	}
	for i := range buckets {
		if got := bucketOf(boundOf(i)); got != i {
			t.Errorf("the bound of %d is in %d", i, got)
		}
	}
}

func TestBucketsDoNotRunOver(t *testing.T) {
	var c counts
	c.base.took[0].Store(halveAt - 1)
	c.base.took[5].Store(1000)
	c.add(0, 1, 1, 0, false)
	if a, b := c.base.took[0].Load(), c.base.took[5].Load(); a != halveAt/2 || b != 500 {
		t.Errorf("got %d and %d", a, b)
	}
}

func TestManyAtOnce(t *testing.T) {
	table := New()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 5000 {
				table.Add(table.ID(fmt.Appendf(nil, "MATCH (n:L%d) RETURN %d", i%50, i)), uintptr(g)<<8, time.Millisecond, 1, false)
			}
		})
	}
	all.Wait()
	if r := table.Top(ByTime, 100); r.Shapes != 50 || r.Calls != 40000 || r.Top[0].Rows != 800 {
		t.Errorf("got %d shapes, %d calls, %+v", r.Shapes, r.Calls, r.Top[0])
	}
}

func BenchmarkQuery(b *testing.B) {
	table := New()
	for _, c := range []struct{ name, format string }{{"seen before", "MATCH (n:L) WHERE n.id = $id RETURN n.name"}, {"always new", "MATCH (n:L) WHERE n.id = %d RETURN n.name"}} {
		b.Run(c.name, func(b *testing.B) {
			texts := make([][]byte, 1<<16)
			for i := range texts {
				texts[i] = []byte(strings.ReplaceAll(c.format, "%d", fmt.Sprint(i)))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				table.Add(table.ID(texts[i%len(texts)]), 1<<8, time.Millisecond, 1, false)
			}
		})
	}
}
