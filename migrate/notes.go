package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// This file owns the notes: what became of each line that is not in the result as it stood. No note shows more of a line than its keyword
// and its first argument, for passwords stand in the rest.

// Note is a remark on one line.
type Note struct {
	Line int
	What string // the keyword, and what it is about
	Why  string
	Lost bool // HAProxy did something that boltgate will not do with the result
}

// String returns "line 12: option httpclose: …".
func (n Note) String() string { return fmt.Sprintf("line %d: %s: %s", n.Line, n.What, n.Why) }

type notes struct{ all []Note }

// lost notes that what a line did is not done any more.
func (n *notes) lost(l *line, format string, args ...any) { n.add(l, true, format, args...) }

// other notes that a line is not needed, or is there in another form.
func (n *notes) other(l *line, format string, args ...any) { n.add(l, false, format, args...) }

func (n *notes) add(l *line, lost bool, format string, args ...any) {
	if l == nil {
		return
	}
	l.taken = true
	note := Note{Line: l.number, What: about(l), Why: fmt.Sprintf(format, args...), Lost: lost}
	if !slices.Contains(n.all, note) { // a line of defaults is met once for each proxy
		n.all = append(n.all, note)
	}
}

func (n *notes) sorted() []Note {
	slices.SortStableFunc(n.all, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	return n.all
}

var plainWord = lazyregexp.New(`^[A-Za-z0-9_.:*/-]{1,40}$`)

// about is what of a line may be shown.
func about(l *line) string {
	what := shown(l.words[0])
	if second := l.word(1); plainWord.MatchString(second) && !strings.Contains(l.words[0], "password") {
		what += " " + second
	}
	return what
}

// shown is a word cut short and without anything that a terminal or a comment could trip over.
func shown(word string) string {
	word = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' || r == '\ufeff' || r == '\ufffd' {
			return '?'
		}
		return r
	}, word)
	if r := []rune(word); len(r) > 40 {
		word = string(r[:40]) + "…"
	}
	return word
}

// notNeeded are keywords whose work boltgate does anyhow, or which have no meaning for it: why, by one or two words.
var notNeeded = map[string]string{
	"daemon":                        "not needed: a service manager runs boltgate in the foreground (examples/systemd)",
	"pidfile":                       "not needed: a service manager knows the process",
	"user":                          "not needed: the service manager starts boltgate as the user that it shall be",
	"group":                         "not needed: the service manager starts boltgate as the user that it shall be",
	"uid":                           "not needed: the service manager starts boltgate as the user that it shall be",
	"gid":                           "not needed: the service manager starts boltgate as the user that it shall be",
	"chroot":                        "not needed: the service manager confines boltgate (examples/systemd)",
	"nbproc":                        "not needed: one process uses every core",
	"nbthread":                      "not needed: one process uses every core",
	"cpu-map":                       "not needed: one process uses every core",
	"ulimit-n":                      "not needed: boltgate raises its own limit of open files to what the system allows",
	"spread-checks":                 "not needed: checks do not run in step",
	"quiet":                         "not needed",
	"log":                           "boltgate logs to standard error, as text or JSON (log.format); the journal or the container keeps it",
	"log-tag":                       "not needed",
	"log-format":                    "log.access: on writes a line for each unit of work, in a form of its own (docs/access-log.md)",
	"option httplog":                "log.access: on writes a line for each unit of work (docs/access-log.md); it is off here",
	"option tcplog":                 "log.access: on writes a line for each unit of work (docs/access-log.md); it is off here",
	"option dontlognull":            "not needed: only units of work are logged",
	"option dontlog-normal":         "not needed: log.access is off here",
	"option log-health-checks":      "not needed: each change of a member's condition is logged",
	"option log-separate-errors":    "not needed",
	"option httpclose":              "not needed: connections to members are pooled, those of clients stay open",
	"option http-server-close":      "not needed: connections to members are pooled, those of clients stay open",
	"option forceclose":             "not needed: connections to members are pooled, those of clients stay open",
	"option http-keep-alive":        "not needed: connections to members are pooled, those of clients stay open",
	"option http-pretend-keepalive": "not needed: connections to members are pooled",
	"option prefer-last-server":     "not needed: connections to members are pooled",
	"option http-buffer-request":    "not needed: the request that opens a unit of work is held whole",
	"option forwardfor":             "not needed: X-Forwarded-For, -Proto and -Host are always set",
	"option redispatch":             "not needed: what was surely not carried out is sent to another member (docs/failover.md)",
	"option allredisp":              "not needed: what was surely not carried out is sent to another member (docs/failover.md)",
	"option abortonclose":           "not needed: a client that leaves gives up its place in the queue",
	"option tcpka":                  "not needed: TCP keep-alive is on (frontends[].keepalive)",
	"option clitcpka":               "not needed: TCP keep-alive is on (frontends[].keepalive)",
	"option srvtcpka":               "not needed: TCP keep-alive is on",
	"option nolinger":               "not needed",
	"option splice-auto":            "not needed",
	"option splice-request":         "not needed",
	"option splice-response":        "not needed",
	"option tcp-smart-accept":       "not needed",
	"option tcp-smart-connect":      "not needed",
	"option contstats":              "not needed: statistics are always of the moment",
	"option socket-stats":           "not needed",
	"option tcp-check":              "not needed: members are asked for their roles",
	"tcp-check":                     "not needed: members are asked for their roles",
	"retries":                       "not needed: failover.retry_budget bounds second tries",
	"retry-on":                      "not needed: what was surely not carried out is sent again (docs/failover.md)",
	"http-reuse":                    "not needed: connections to members are pooled",
	"stick-table":                   "not needed for HTTP transactions, which stay on their member; nothing else sticks",
	"stick":                         "not needed for HTTP transactions, which stay on their member; nothing else sticks",
	"fullconn":                      "not needed: boltgate has no minconn",
	"stats socket":                  "the admin address takes its place: boltgate status, members, drain, … (docs/admin.md)",
	"stats timeout":                 "not needed: the admin address has limits of its own",
	"stats refresh":                 "not needed: the page is live",
	"stats realm":                   "not needed",
	"stats hide-version":            "not needed: only who has logged in sees the version",
	"stats show-legends":            "not needed",
	"stats show-node":               "not needed",
	"stats show-desc":               "not needed",
	"errorfile":                     "boltgate's answers are JSON, as Neo4j's",
	"description":                   "not needed",
	"id":                            "not needed",
}

// noteUnneeded notes a line of notNeeded; false: it is none.
func (n *notes) noteUnneeded(l *line) bool {
	for _, key := range []string{l.words[0] + " " + l.word(1), l.words[0]} {
		if why, found := notNeeded[key]; found {
			n.other(l, "%s", why)
			return true
		}
	}
	switch first := l.words[0]; {
	case strings.HasPrefix(first, "tune."), strings.HasPrefix(first, "ssl-default-"):
		n.other(l, "not needed: boltgate has defaults of its own")
	case first == "no" && l.word(1) == "option":
		n.other(l, "not needed")
	default:
		return false
	}
	return true
}
