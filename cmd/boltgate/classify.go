package main

// This file owns `boltgate classify`: read or write, and why, for one query or a stream of them; classify_json.go owns the lines.

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/cypher"
)

func newClassifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "classify [QUERY]",
		Short: "Say whether a query reads or writes, and why",
		Long: `Say whether a query reads or writes, as the gate judges a text that comes without a declared access mode.

A CALL is looked up in the built-in table of procedures alone. A running gate also knows what its members list, and routing.procedures of its
configuration comes before both; a procedure that none of them knows counts as a write.

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
				_, err := c.OutOrStdout().Write(appendAnswer(nil, cypher.ClassifyString(args[0], nil)))
				return err
			default:
				return explainVerdict(c.OutOrStdout(), args[0])
			}
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "answer QUERY with the JSON line too")
	return c
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
	var query, answer []byte // scratch
	var failed error
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == io.EOF {
			return errors.Join(answers.Flush(), failed)
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return errors.Join(answers.Flush(), fmt.Errorf("reading line %d: %w", number, err))
		}
		if query, err = queryOf(line, query, err); err != nil {
			failed = errors.New("lines could not be read; their answers say why")
			answer = appendProblem(answer[:0], number, err)
		} else if len(line) > 0 {
			answer = appendAnswer(answer[:0], cypher.Classify(query, nil))
		} else {
			continue
		}
		if _, err := answers.Write(answer); err != nil {
			return err
		}
		if lines.Buffered() == 0 {
			if err := answers.Flush(); err != nil {
				return err
			}
		}
	}
}

var errLongLine = fmt.Errorf("longer than %d MiB", maxLine>>20)

// readLine returns the next line without the end of line, borrowed until the next call; the last one may have none. A line beyond maxLine is
// read to its end and dropped.
// Errors: errLongLine, io.EOF when there is no more line, and those of the reader.
func readLine(r *bufio.Reader) ([]byte, error) {
	part, err := r.ReadSlice('\n')
	if err == nil {
		return trimEnd(part), nil
	}
	var line []byte
	long := false
	for {
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			part, err = r.ReadSlice('\n')
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
