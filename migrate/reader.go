package migrate

import (
	"fmt"
	"strings"
)

// This file owns the form of haproxy.cfg: lines, words with their quotes and escapes, sections (HAProxy's configuration manual, "Quoting and
// escaping"). What the words mean is not known here.

// line is one line of the file that says something.
type line struct {
	number int // from 1
	words  []string
	taken  bool // it is in the result, or a note tells of it
}

// word returns a word by its position, "" past the end.
func (l *line) word(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

// rest is what follows the first n words.
func (l *line) rest(n int) []string { return l.words[min(n, len(l.words)):] }

// take marks the line as carried over. A nil line may be taken.
func (l *line) take() {
	if l != nil {
		l.taken = true
	}
}

// section is what stands below one of sectionWords.
type section struct {
	kind, name string
	head       *line
	lines      []*line
}

var sectionWords = map[string]bool{
	"global": true, "defaults": true, "frontend": true, "backend": true, "listen": true, "userlist": true, "peers": true, "resolvers": true,
	"mailers": true, "program": true, "cache": true, "http-errors": true, "ring": true, "log-forward": true, "log-profile": true, "fcgi-app": true,
	"crt-store": true, "traces": true, "acme": true,
}

const maxFile = 4 << 20 // bytes; no configuration that people write is larger

// read takes a file apart. An error says in which line it is no haproxy.cfg.
func read(text string) ([]*section, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB; this is no haproxy.cfg", maxFile>>20)
	}
	var all []*section
	for i, raw := range strings.Split(text, "\n") {
		words, err := split(strings.TrimSuffix(raw, "\r"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if len(words) == 0 {
			continue
		}
		l := &line{number: i + 1, words: words}
		switch {
		case sectionWords[words[0]]:
			all = append(all, &section{kind: words[0], name: l.word(1), head: l})
		case len(all) == 0 && !strings.HasPrefix(words[0], "."): // .if and its kin may stand before a section
			return nil, fmt.Errorf("line %d: %q stands in no section (global, defaults, frontend, backend, listen); this is no haproxy.cfg", i+1, shown(words[0]))
		case len(all) == 0:
			all = append(all, &section{lines: []*line{l}})
		default:
			s := all[len(all)-1]
			s.lines = append(s.lines, l)
		}
	}
	return all, nil
}

// split takes a line apart into words; a comment is none.
func split(text string) (words []string, err error) {
	s := splitter{text: text}
	for s.at < len(text) {
		switch c := text[s.at]; {
		case c == '#':
			return s.end(), nil
		case c == ' ' || c == '\t':
			s.flush()
		case c == '\\':
			s.escape()
		case c == '"' || c == '\'':
			if err := s.quoted(c); err != nil {
				return nil, err
			}
		default:
			s.put(c)
		}
		s.at++
	}
	return s.end(), nil
}

type splitter struct {
	text  string
	at    int
	word  []byte
	begun bool // a word has begun, be it an empty one in quotes
	words []string
}

func (s *splitter) put(c byte) { s.word, s.begun = append(s.word, c), true }

func (s *splitter) flush() {
	if s.begun {
		s.words = append(s.words, string(s.word))
	}
	s.word, s.begun = nil, false
}

func (s *splitter) end() []string {
	s.flush()
	return s.words
}

// escape reads what follows a backslash.
func (s *splitter) escape() {
	s.at++
	if s.at >= len(s.text) {
		s.put('\\')
		return
	}
	switch c := s.text[s.at]; c {
	case 'r':
		s.put('\r')
	case 'n':
		s.put('\n')
	case 't':
		s.put('\t')
	case ' ', '\\', '#', '"', '\'':
		s.put(c)
	default: // of a regular expression
		s.put('\\')
		s.put(c)
	}
}

// quoted reads to the closing quote; between double quotes a backslash still escapes.
func (s *splitter) quoted(quote byte) error {
	s.begun = true
	for s.at++; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		switch {
		case c == quote:
			return nil
		case quote == '"' && c == '\\':
			s.escape()
		default:
			s.put(c)
		}
	}
	return fmt.Errorf("a quote (%c) is not closed", quote)
}
