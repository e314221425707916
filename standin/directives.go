package standin

import (
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// directives are what a query asks of the stand-in, by parameters of these names or, in its text, by a comment such as
// /*standin rows=1000 delay=50ms fail=Neo.TransientError.General.OutOfMemoryError fail_at=10*/.
//
//	mark      any value, echoed in every row and kept in the log
//	rows      how many rows; 1
//	bytes     size of a text in a further column "payload" of each row
//	delay     a duration ("50ms", or a number of milliseconds) before the answer at delay_at
//	delay_at  run (default), pull, commit
//	row_delay a duration before each row
//	fail      a code, failed with at fail_at
//	fail_at   run (default), pull, commit, or a number of rows delivered before
//	close     cut the connection: at run, pull, commit (before it takes place), committed (after it), or after that many
//	          bytes of the answers
//	garbage   run or pull: random bytes in place of the answer
//	at_member the one whose answers fail, are cut, or are garbage; all
//	batches   of a text that commits by itself: how many commits of its own come before its end, row_delay before each
type directives struct {
	mark     any
	rows     int64
	bytes    int64
	delay    time.Duration
	delayAt  string
	rowDelay time.Duration
	fail     string
	failAt   string
	failRow  int64 // when failAt is "row"
	close    string
	closeAt  int64 // when close is "bytes"
	garbage  string
	batches  int64
}

var directiveComment = lazyregexp.New(`/\*\s*standin\s([^*]*)\*/`)

func parseDirectives(text string, params map[string]any, member string) directives {
	given := make(map[string]any)
	if strings.Contains(text, "standin") {
		if m := directiveComment.FindStringSubmatch(text); m != nil {
			for _, word := range strings.Fields(m[1]) {
				key, value, _ := strings.Cut(word, "=")
				given[key] = value
			}
		}
	}
	for _, key := range [...]string{"mark", "rows", "bytes", "delay", "delay_at", "row_delay", "fail", "fail_at", "close", "garbage", "at_member", "batches"} {
		if v, ok := params[key]; ok {
			given[key] = v
		}
	}
	d := directives{mark: given["mark"], rows: 1}
	if len(given) == 0 {
		return d
	}
	if n, ok := number(given["rows"]); ok {
		d.rows = max(n, 0)
	}
	d.bytes, _ = number(given["bytes"])
	d.batches, _ = number(given["batches"])
	d.delay, d.rowDelay = duration(given["delay"]), duration(given["row_delay"])
	d.delayAt = word(given["delay_at"], "run")
	d.fail = word(given["fail"], "")
	d.failAt = word(given["fail_at"], "run")
	if n, ok := number(given["fail_at"]); ok {
		d.failAt, d.failRow = "row", n
	}
	d.close = word(given["close"], "")
	if n, ok := number(given["close"]); ok {
		d.close, d.closeAt = "bytes", n
	}
	d.garbage = word(given["garbage"], "")
	if word(given["at_member"], member) != member {
		d.fail, d.close, d.garbage = "", "", ""
	}
	return d
}

// number reads a directive's number from a parameter of any kind.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

func duration(v any) time.Duration {
	if ms, ok := number(v); ok {
		return time.Duration(ms) * time.Millisecond
	}
	text, _ := v.(string)
	d, _ := time.ParseDuration(text)
	return max(d, 0)
}

func word(v any, otherwise string) string {
	if text, ok := v.(string); ok && text != "" {
		return text
	}
	if v == true {
		return "run"
	}
	return otherwise
}
