package e2e

// This file owns the statements that the differential test puts to the servers: how those of cypher/testdata/statements.txt vary, and the file
// cypher/testdata/statements.ndjson, which keeps what each server said of each.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	templateFile  = filepath.Join("..", "..", "cypher", "testdata", "statements.txt")
	statementFile = filepath.Join("..", "..", "cypher", "testdata", "statements.ndjson")
)

// statement is a line of statements.ndjson. Servers gives, by version, the type of EXPLAIN's summary (r, rw, w or s), "dbms" or "union" for
// what kindOf says, or the last part of the code with which the server refused the text.
type statement struct {
	Query   string            `json:"query"`
	Servers map[string]string `json:"servers"`
}

// variation is a statement, and the one of statements.txt that it was made of, without marks.
type variation struct{ query, plain string }

// statements returns every statement with all its variations, in a fixed order, each once.
func statements() ([]variation, error) {
	text, err := os.ReadFile(templateFile)
	if err != nil {
		return nil, err
	}
	var all []variation
	there := map[string]bool{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, `"`) {
			unquoted, err := strconv.Unquote(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", templateFile, i+1, err)
			}
			line = unquoted
		}
		for _, query := range variations(line, len(all)) {
			if !there[query] {
				there[query] = true
				all = append(all, variation{query, marked.ReplaceAllString(line, "$1")})
			}
		}
	}
	return all, nil
}

// borrowed are what stands in for a statement's own names: words that mean something elsewhere in the language.
var borrowed = strings.Fields("set create merge delete detach remove foreach call insert load use show start drop alter return with where match " +
	"unwind union limit skip order by as and or not in is case when then else end distinct all any on using let for filter next finish yield " +
	"explain profile cypher transactions concurrent periodic exists count collect terminate grant search")

var (
	marked  = regexp.MustCompile(`‹([^›]*)›`)
	keyword = regexp.MustCompile(`\b[A-Z]{2,}\b`)
)

// variations returns a statement as it stands, in Cypher 25, three times with keywords for names, and written in another way. nth makes
// them differ from one statement to the next.
func variations(template string, nth int) []string {
	plain := marked.ReplaceAllString(template, "$1")
	all := []string{plain}
	if nth%2 == 0 && !strings.HasPrefix(strings.ToUpper(plain), "CYPHER") {
		all = append(all, "CYPHER 25 "+plain)
	}
	if plain != template {
		for k := range 3 {
			all = append(all, renamed(template, nth*7+k*19))
		}
	}
	if !strings.ContainsFunc(plain, odd) {
		all = append(all, rewritten(plain, nth))
	}
	return all
}

// odd says that a character makes a statement one about characters, or may begin a string or comment: it is left as it stands.
func odd(r rune) bool { return strings.ContainsRune("'\"`\\/", r) || r != '\n' && r < ' ' || r > '~' }

// renamed puts keywords in the places of names: the same for the same name, another one for another.
func renamed(template string, first int) string {
	given := map[string]string{}
	return marked.ReplaceAllStringFunc(template, func(old string) string {
		if given[old] == "" {
			given[old] = borrowed[(first+len(given)*5)%len(borrowed)]
		}
		return given[old]
	})
}

// spaces are characters that are white space to some server, or look like it.
var spaces = []rune("\t\n\v\f\r\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u180e\u2000\u2003\u2007\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff")

// rewritten writes a statement without strings and comments in another way: in lower case, with comments, with a \u escape, with other white space.
func rewritten(plain string, nth int) string {
	switch nth % 4 {
	case 0:
		return keyword.ReplaceAllStringFunc(plain, strings.ToLower)
	case 1:
		return strings.ReplaceAll(plain, " ", []string{"/**/", " /* SET ' */ ", "\n// CREATE (n) \"\n", "/* \n * // */"}[nth/4%4])
	case 2:
		at := keyword.FindAllStringIndex(plain, -1)
		if len(at) == 0 {
			return plain
		}
		word := at[nth/4%len(at)]
		i := word[0] + nth/8%(word[1]-word[0])
		return plain[:i] + fmt.Sprintf(`\u%04x`, plain[i]) + plain[i+1:]
	}
	return strings.ReplaceAll(plain, " ", string(spaces[nth/4%len(spaces)]))
}

// recorded returns what statements.ndjson keeps, by statement.
func recorded() (map[string]map[string]string, error) {
	file, err := os.Open(statementFile)
	if os.IsNotExist(err) {
		return map[string]map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := map[string]map[string]string{}
	for d := json.NewDecoder(file); d.More(); {
		var s statement
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("%s: %w", statementFile, err)
		}
		all[s.Query] = s.Servers
	}
	return all, nil
}

// recordAnswers keeps what the server of a version said of each of queries, beside what is kept of other versions.
func recordAnswers(queries []variation, version string, said []string) error {
	before, err := recorded()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for i, v := range queries {
		servers := before[v.query]
		if servers == nil {
			servers = map[string]string{}
		}
		servers[version] = said[i]
		if err := e.Encode(statement{v.query, servers}); err != nil {
			return err
		}
	}
	return os.WriteFile(statementFile, out.Bytes(), 0o644)
}
