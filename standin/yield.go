package standin

import (
	"slices"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// add appends a row given by its columns; columns that the result does not have are kept for YIELD when it has columns.
func (r *result) add(row map[string]any) {
	list := orElseSlice(r.columns, r.fields)
	values := make([]any, len(list))
	for i, name := range list {
		values[i] = row[name]
	}
	r.rows = append(r.rows, values)
	r.repeat = 0
	if len(r.rows) == 1 {
		r.repeat = 1
	}
}

func orElseSlice(a, b []string) []string {
	if a != nil {
		return a
	}
	return b
}

var (
	yieldClause = lazyregexp.New(`(?is)\bYIELD\s+(\*|[\w\s,` + "`" + `]+?)\s*(?:\bWHERE\b|\bRETURN\b|\bORDER\b|\bSKIP\b|\bLIMIT\b|;|$)`)
	whereClause = lazyregexp.New(`(?is)\bWHERE\s+(.+?)\s*(?:\bRETURN\b|\bORDER\b|\bYIELD\b|;|$)`)
	comparison  = lazyregexp.New(`(?is)^\s*(\w+)\s*=\s*('[^']*'|"[^"]*"|true|false|-?\d+|\$\w+)\s*$`)
	andWord     = lazyregexp.New(`(?i)\s+AND\s+`)
)

// yield applies the YIELD and WHERE of a text to a table: names of columns with AS, and comparisons joined by AND.
// RETURN, ORDER BY and the rest of Cypher behind it are not for a stand-in.
func yield(r *result, list []string, text string, params map[string]any, rel release) (*result, *bolt.Failure) {
	columns := orElseSlice(r.columns, r.fields)
	if m := whereClause.FindStringSubmatch(text); m != nil {
		if f := r.filter(columns, m[1], params); f != nil {
			return nil, f
		}
	}
	names, titles := slices.Clone(r.fields), slices.Clone(r.fields)
	if m := yieldClause.FindStringSubmatch(text); m != nil {
		names, titles = yielded(m[1], columns)
	}
	out := &result{fields: titles, kind: r.kind}
	for _, row := range r.rows {
		values := make([]any, len(names))
		for i, name := range names {
			at := slices.Index(columns, name)
			if at < 0 {
				return nil, failure(codeSyntaxError, "Variable `%s` not defined", name)
			}
			values[i] = row[at]
		}
		out.rows = append(out.rows, values)
	}
	if len(out.rows) == 1 {
		out.repeat = 1
	}
	return out, nil
}

func yielded(clause string, columns []string) (names, titles []string) {
	if clause == "*" {
		return columns, columns
	}
	for _, item := range strings.Split(clause, ",") {
		part := strings.Fields(strings.ReplaceAll(item, "`", ""))
		if len(part) == 0 {
			continue
		}
		names = append(names, part[0])
		titles = append(titles, part[len(part)-1])
	}
	return names, titles
}

func (r *result) filter(columns []string, condition string, params map[string]any) *bolt.Failure {
	for _, one := range andWord.Split(condition, -1) {
		m := comparison.FindStringSubmatch(one)
		if m == nil {
			return failure(codeSyntaxError, "The stand-in knows comparisons with = and AND, not %q.", one)
		}
		at := slices.Index(columns, m[1])
		if at < 0 {
			return failure(codeSyntaxError, "Variable `%s` not defined", m[1])
		}
		want := literal(m[2], params)
		r.rows = slices.DeleteFunc(r.rows, func(row []any) bool { return row[at] != want })
	}
	return nil
}

// arguments are those of a CALL: parameters in either notation, texts, numbers, and empty or text-only lists and maps.
func arguments(text string, params map[string]any) []any {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return nil
	}
	var args []any
	for _, part := range splitTop(text[open+1 : end]) {
		args = append(args, argumentValue(strings.TrimSpace(part), params))
	}
	return args
}

func argumentValue(part string, params map[string]any) any {
	switch {
	case part == "" || part == "{}":
		return map[string]any{}
	case part[0] == '[':
		list := []any{}
		for _, item := range splitTop(strings.Trim(part, "[]")) {
			list = append(list, argumentValue(strings.TrimSpace(item), params))
		}
		return list
	case part[0] == '{' && !strings.Contains(part, ":"): // the notation of 3.x for a parameter
		return params[strings.TrimSpace(strings.Trim(part, "{}"))]
	case part[0] == '{':
		return map[string]any{}
	}
	return literal(part, params)
}

// splitTop splits at commas outside brackets and quotes.
func splitTop(text string) []string {
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\'', '"', '`':
			i = closing(text, i) - 1
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth == 0 {
				parts, start = append(parts, text[start:i]), i+1
			}
		}
	}
	if strings.TrimSpace(text[start:]) != "" {
		parts = append(parts, text[start:])
	}
	return parts
}
