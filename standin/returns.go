package standin

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// The few texts that are answered by value, because drivers, checks and smoke tests look at what comes back:
//
//	RETURN 1, 'a' AS b, $c
//	UNWIND range(1, 1000) AS n RETURN n, $c AS c
//	MATCH … RETURN count(n)      how many nodes with the parameter "mark" the member has: its log is its data
var (
	returnOnly  = regexp.MustCompile(`(?is)^\s*RETURN\s+([^(){}\[\]+*/]+?)\s*;?\s*$`)
	unwindRange = regexp.MustCompile(`(?is)^\s*UNWIND\s+range\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)\s+AS\s+(\w+)\s+RETURN\s+([^(){}\[\]+*/]+?)\s*;?\s*$`)
	returnCount = regexp.MustCompile(`(?is)\bRETURN\s+(count\(\s*[\w*]+\s*\))(?:\s+AS\s+(\w+))?\s*;?\s*$`)
	returnItem  = regexp.MustCompile(`(?is)^\s*(-?\d+|'[^']*'|"[^"]*"|true|false|null|\$\w+|\w+)(?:\s+AS\s+` + "`?" + `(\w+)` + "`?" + `)?\s*$`)
)

// returns puts the values that a text asks for in place of the member's description, when it is one of those.
func (t *transaction) returns(r *result, text string, params map[string]any, ask directives) {
	if m := returnCount.FindStringSubmatch(text); m != nil {
		r.fields, r.rows = []string{orElse(m[2], m[1])}, [][]any{{t.count(ask.mark)}}
		r.repeat = 1
	} else if m := returnOnly.FindStringSubmatch(text); m != nil {
		fields, values, ok := returnItems(m[1], "", params)
		if !ok {
			return
		}
		r.fields, r.rows = fields, [][]any{values(0)}
	} else if m := unwindRange.FindStringSubmatch(text); m != nil {
		fields, values, ok := returnItems(m[4], m[3], params)
		from, err := strconv.ParseInt(m[1], 10, 64)
		to, err2 := strconv.ParseInt(m[2], 10, 64)
		if !ok || err != nil || err2 != nil {
			return
		}
		r.fields, r.repeat = fields, max(to-from+1, 0)
		r.make = func(i int64) []any { return values(from + i) }
	} else {
		return
	}
	if r.payload > 0 {
		r.fields = append(r.fields, "payload")
	}
}

// returnItems reads the items behind RETURN: literals, parameters, and the variable, whose value is given with each row.
func returnItems(text, variable string, params map[string]any) (fields []string, row func(v int64) []any, ok bool) {
	var fixed []any
	var varies []int
	for i, item := range strings.Split(text, ",") {
		part := returnItem.FindStringSubmatch(item)
		if part == nil {
			return nil, nil, false
		}
		fields = append(fields, orElse(part[2], part[1]))
		if part[1] == variable {
			varies = append(varies, i)
			fixed = append(fixed, nil)
			continue
		}
		value, known := literalOnly(part[1], params)
		if !known {
			return nil, nil, false
		}
		fixed = append(fixed, value)
	}
	return fields, func(v int64) []any {
		values := append([]any(nil), fixed...)
		for _, i := range varies {
			values[i] = v
		}
		return values
	}, true
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
