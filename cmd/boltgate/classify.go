package main

// This file owns `boltgate classify`: read or write, and why, for one query or a stream of them.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/cypher"
)

func newClassifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "classify [QUERY]",
		Short: "Say whether a query reads or writes, and why",
		Long: `Say whether a query reads or writes, as the gate judges it that sees nothing but the text and the built-in table of procedures.

Without QUERY, read one JSON object a line from standard input, {"query": "…"}, and answer each with one line, in order:
{"access":"read|write","reason":"…","self_committing":true|false}. A line that is no such object is answered {"error":"…"}; then the exit code is 1.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("more than one query; put the query in quotes")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return classifyLines(c.InOrStdin(), c.OutOrStdout())
			case asJSON:
				return json.NewEncoder(c.OutOrStdout()).Encode(answerTo(args[0]))
			default:
				return explainVerdict(c.OutOrStdout(), args[0])
			}
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "answer QUERY with the JSON line too")
	return c
}

// classifyAnswer is the answer to one query.
type classifyAnswer struct {
	Access         string `json:"access"`
	Reason         string `json:"reason"`
	SelfCommitting bool   `json:"self_committing"`
}

func answerTo(query string) classifyAnswer {
	v := cypher.ClassifyString(query, nil)
	return classifyAnswer{Access: v.Access.String(), Reason: v.Reason, SelfCommitting: v.SelfCommitting}
}

// explainVerdict says it to a person: the verdict, the place in the text that decided, and what else is special about the text.
func explainVerdict(w io.Writer, query string) error {
	v := cypher.ClassifyString(query, nil)
	text := cypher.Underline(query, v) + "\n"
	for _, also := range []struct {
		is   bool
		what string
	}{
		{v.SelfCommitting, "commits by itself: never sent a second time"},
		{v.OneMember, "concerns one member: goes to the leader"},
		{v.System, "belongs to the database system"},
		{v.UsesUse, "names its database with USE"},
		{v.UserCommand, "changes users or rights: remembered logins are forgotten"},
	} {
		if also.is {
			text += also.what + "\n"
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

// maxLine bounds one line of input, in bytes.
const maxLine = 64 << 20

// classifyLines answers each line of in with one line of out. Answers are written out before it waits for more input, so that a program
// can ask one query at a time.
func classifyLines(in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewReaderSize(in, 64<<10), bufio.NewWriterSize(out, 64<<10)
	encoder := json.NewEncoder(answers)
	encoder.SetEscapeHTML(false)
	var failed error
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == io.EOF {
			return errors.Join(answers.Flush(), failed)
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return errors.Join(answers.Flush(), fmt.Errorf("reading line %d: %w", number, err))
		}
		answer, problem := answerLine(line, err)
		if problem != nil {
			failed = errors.New("lines could not be read; their answers say why")
			answer = struct {
				Error string `json:"error"`
			}{fmt.Sprintf("line %d: %v", number, problem)}
		}
		if answer == nil {
			continue
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
		if lines.Buffered() == 0 {
			if err := answers.Flush(); err != nil {
				return err
			}
		}
	}
}

// answerLine returns the answer to a line that was read with err, nil for an empty line.
func answerLine(line []byte, err error) (answer any, problem error) {
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	if len(line) == 0 {
		return nil, nil
	}
	var asked map[string]json.RawMessage // a struct would take "Query" as well
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, errors.New(`not a JSON object; expected {"query": "…"}`)
	}
	var query *string
	if err := json.Unmarshal(asked["query"], &query); err != nil || query == nil {
		return nil, errors.New(`no text at "query"; expected {"query": "…"}`)
	}
	return answerTo(*query), nil
}

var errLongLine = fmt.Errorf("longer than %d MiB", maxLine>>20)

// readLine returns the next line without the end of line; the last one may have none. A line beyond maxLine is read to its end and dropped.
// Errors: errLongLine, io.EOF when there is no more line, and those of the reader.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) == 0 && !long:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, errLongLine
		}
		return trimEnd(line), nil
	}
}

func trimEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
