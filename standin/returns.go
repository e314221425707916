package standin

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// The few texts that are answered by value, because drivers, checks and recordings look at what comes back:
//
//	RETURN 1, 'a' AS b, $c, 10 / 0
//	UNWIND range(1, 1000) AS n RETURN n, $c AS c       or a list of numbers; a division by 0 fails at its row
//	UNWIND range(1, 1000) AS n RETURN count(n)         takes 10 ns a number
//	MATCH … RETURN count(n)                            how many nodes with the parameter "mark" the member has: its log is its data
var (
	unwindHead  = lazyregexp.New(`(?is)^\s*UNWIND\s+(?:range\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)|\[([-\d\s,]*)\])\s+AS\s+(\w+)\s+`)
	returnTail  = lazyregexp.New(`(?is)^\s*RETURN\s+([^{}\[\]]+?)\s*;?\s*$`)
	returnCount = lazyregexp.New(`(?is)\bRETURN\s+(count\(\s*[\w*]+\s*\))(?:\s+AS\s+(\w+))?\s*;?\s*$`)
	returnItem  = lazyregexp.New(`(?is)^\s*(\$?\w+|-?\d+|'[^']*'|"[^"]*")(?:\s*/\s*(\w+))?(?:\s+AS\s+` + "`?" + `(\w+)` + "`?" + `)?\s*$`)
	byZero      = lazyregexp.New(`/\s*0\s*(?:AS\s+\w+\s*)?;?\s*$`)
)

const countTime = 10 * time.Nanosecond // of one number

// returns puts the values that a text asks for in place of the member's description, when it is one of those.
func (t *transaction) returns(r *result, text string, params map[string]any, ask directives) *bolt.Failure {
	variable, value := "", func(int64) int64 { return 0 }
	rest, n := text, int64(-1)
	if m := unwindHead.FindStringSubmatch(text); m != nil {
		rest, variable = text[len(m[0]):], m[4]
		n, value = unwound(m[1], m[2], m[3])
	}
	if m := returnCount.FindStringSubmatch(rest); m != nil {
		if n < 0 {
			n = t.count(ask.mark)
		} else {
			r.compute = time.Duration(n) * countTime
		}
		r.fields, r.rows, r.repeat = []string{orElse(m[2], m[1])}, [][]any{{n}}, 1
		return nil
	}
	m := returnTail.FindStringSubmatch(rest)
	if m == nil {
		return nil
	}
	fields, items, f := returnItems(m[1], variable, params)
	if f != nil || items == nil {
		return f
	}
	r.fields = fields
	r.make = func(i int64) ([]any, *bolt.Failure) { return rowOf(items, value(i)) }
	if n >= 0 {
		r.repeat = n
	}
	if r.payload > 0 {
		r.fields = append(r.fields, "payload")
	}
	return nil
}

// unwound is how many numbers an UNWIND has, and the one at each place.
func unwound(from, to, list string) (n int64, value func(int64) int64) {
	if from == "" {
		var numbers []int64
		for _, one := range strings.Split(list, ",") {
			if v, err := strconv.ParseInt(strings.TrimSpace(one), 10, 64); err == nil {
				numbers = append(numbers, v)
			}
		}
		return int64(len(numbers)), func(i int64) int64 { return numbers[i] }
	}
	first, _ := strconv.ParseInt(from, 10, 64)
	last, _ := strconv.ParseInt(to, 10, 64)
	return max(last-first+1, 0), func(i int64) int64 { return first + i }
}

// item is one of RETURN's: a value, or the variable, perhaps divided.
type item struct {
	value           any
	varies, divided bool
	divisor         int64
	divisorVaries   bool
}

// returnItems reads what stands behind RETURN; nil items when it is more than this knows.
func returnItems(text, variable string, params map[string]any) (fields []string, items []item, f *bolt.Failure) {
	for _, one := range strings.Split(text, ",") {
		m := returnItem.FindStringSubmatch(one)
		if m == nil {
			return nil, nil, nil
		}
		it := item{varies: variable != "" && m[1] == variable, divided: m[2] != "", divisorVaries: variable != "" && m[2] == variable}
		if name, ok := strings.CutPrefix(m[1], "$"); ok && !hasKey(params, name) {
			return nil, nil, failure(codeParameterMissing, "Expected parameter(s): %s", name)
		}
		var known bool
		if it.value, known = literalOnly(m[1], params); !known && !it.varies {
			return nil, nil, nil
		}
		if it.divided && !it.divisorVaries {
			n, err := strconv.ParseInt(m[2], 10, 64)
			if err != nil {
				return nil, nil, nil
			}
			it.divisor = n
		}
		items = append(items, it)
		fields = append(fields, orElse(m[3], strings.TrimSpace(one)))
	}
	return fields, items, nil
}

func hasKey(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

// rowOf is the row for a value of the variable.
func rowOf(items []item, v int64) ([]any, *bolt.Failure) {
	row := make([]any, len(items))
	for i, it := range items {
		row[i] = it.value
		if it.varies {
			row[i] = v
		}
		if !it.divided {
			continue
		}
		divisor := it.divisor
		if it.divisorVaries {
			divisor = v
		}
		dividend, _ := row[i].(int64)
		if divisor == 0 {
			return nil, divisionByZero()
		}
		row[i] = dividend / divisor
	}
	return row, nil
}

func divisionByZero() *bolt.Failure {
	return failure(codeArithmetic, "/ by zero")
}

// literal is a parameter's, text's, number's or word's value; of anything else nil.
func literal(text string, params map[string]any) any {
	v, _ := literalOnly(text, params)
	return v
}

func literalOnly(text string, params map[string]any) (v any, known bool) {
	switch lower := strings.ToLower(text); {
	case text[0] == '$':
		return params[text[1:]], true
	case text[0] == '\'' || text[0] == '"':
		return strings.Trim(text, text[:1]), true
	case lower == "null":
		return nil, true
	case lower == "true" || lower == "false":
		return lower == "true", true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, false
	}
	return n, true
}

// count is how many nodes with a mark the member that runs t has, and t itself made.
func (t *transaction) count(mark any) (n int64) {
	c := t.m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	change := func(dropped, marks []any) {
		for _, m := range dropped {
			if reflect.DeepEqual(m, mark) {
				n = 0
			}
		}
		for _, m := range marks {
			if reflect.DeepEqual(m, mark) {
				n++
			}
		}
	}
	if d := c.find(t.db); d != nil {
		for _, e := range d.entries[:max(d.applied[t.exec]-d.base, 0)] {
			change(e.Dropped, e.Marks)
		}
	}
	change(t.dropped, t.marks)
	return n
}
