package standin

import "strings"

// words lists what a text says outside strings, back-ticks and comments: its words in upper case, and each other
// character for itself. It is the stand-in's own and simple on purpose: it shares no rule with the gate's classifier.
func words(text string) []string {
	var list []string
	for i := 0; i < len(text); {
		switch ch := text[i]; {
		case ch == '\'' || ch == '"' || ch == '`':
			end := closing(text, i)
			list = append(list, text[i:end])
			i = end
		case strings.HasPrefix(text[i:], "//"):
			i = after(text, i, "\n")
		case strings.HasPrefix(text[i:], "/*"):
			i = after(text, i+2, "*/")
		case isWord(ch):
			start := i
			for i < len(text) && isWord(text[i]) {
				i++
			}
			list = append(list, strings.ToUpper(text[start:i]))
		default:
			if ch > ' ' {
				list = append(list, string(ch))
			}
			i++
		}
	}
	return list
}

func isWord(ch byte) bool {
	return ch == '_' || ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= 0x80
}

func closing(text string, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if text[start] != '`' {
				i++
			}
		case text[start]:
			return i + 1
		}
	}
	return len(text)
}

func after(text string, from int, mark string) int {
	if at := strings.Index(text[from:], mark); at >= 0 {
		return from + at + len(mark)
	}
	return len(text)
}

var updating = map[string]bool{
	"CREATE": true, "MERGE": true, "SET": true, "DELETE": true, "REMOVE": true, "INSERT": true, "DROP": true, "FOREACH": true,
	"ALTER": true, "GRANT": true, "DENY": true, "REVOKE": true, "RENAME": true, "ENABLE": true, "DEALLOCATE": true, "REALLOCATE": true,
}

// clauses are the words that a statement may begin with.
var clauses = map[string]bool{
	"MATCH": true, "OPTIONAL": true, "RETURN": true, "WITH": true, "UNWIND": true, "CALL": true, "DETACH": true, "NODETACH": true,
	"LOAD": true, "USING": true, "USE": true, "EXPLAIN": true, "PROFILE": true, "CYPHER": true, "SHOW": true, "START": true,
	"STOP": true, "TERMINATE": true, "FINISH": true, "FILTER": true, "LET": true, "FOR": true, "DRYRUN": true, "(": true, "{": true,
}

// writes tells whether a text changes something: it has an updating word that is neither a name nor a key, or it calls a
// procedure that writes.
func writes(list []string) bool {
	if len(list) == 0 || list[0] == "SHOW" {
		return false
	}
	for i, w := range list {
		before, next := at(list, i-1), at(list, i+1)
		if updating[w] && before != "." && before != ":" && before != "$" && before != "AS" && next != ":" && next != "." {
			return true
		}
	}
	if (list[0] == "START" || list[0] == "STOP") && at(list, 1) == "DATABASE" {
		return true
	}
	return callsWriter(list)
}

func callsWriter(list []string) bool {
	name := calledProcedure(list)
	for _, prefix := range [...]string{"DB.CREATE", "APOC.CREATE", "APOC.PERIODIC", "APOC.MERGE", "APOC.REFACTOR", "STANDIN.WRITE", "DBMS.SECURITY.CREATE"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// calledProcedure is the name behind a leading CALL, in upper case; "" when there is none.
func calledProcedure(list []string) string {
	if at(list, 0) != "CALL" {
		return ""
	}
	name := at(list, 1)
	for i := 2; at(list, i) == "."; i += 2 {
		name += "." + at(list, i+1)
	}
	return name
}

// isSchema tells a schema command, whose type is "s".
func isSchema(list []string) bool {
	if w := at(list, 0); w != "CREATE" && w != "DROP" {
		return false
	}
	for _, w := range list[1:min(len(list), 6)] {
		if w == "INDEX" || w == "CONSTRAINT" {
			return true
		}
	}
	return false
}

func at(list []string, i int) string {
	if i < 0 || i >= len(list) {
		return ""
	}
	return list[i]
}
