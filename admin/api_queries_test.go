package admin

import (
	"fmt"
	"testing"
	"time"
)

func TestTopQueries(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	often := w.gate.queries.ID([]byte("RETURN 'topsecret'"))
	for range 50 {
		w.gate.queries.Add(often, 0, 100*time.Microsecond, 1, false)
	}
	show := func(path string) (text string) {
		info := get[TopInfo](w, path)
		for _, q := range info.Queries {
			text += fmt.Sprintf("%s %d %d %.1f %.2f; ", q.Text, q.Calls, q.Failed, q.Total, q.Share)
		}
		return fmt.Sprint(info.Shapes, " ", info.Calls, " ", info.Failed, ": ", text)
	}
	for path, want := range map[string]string{
		"/api/v1/queries/top":                     "2 51 1: MATCH (n:`<b>`) RETURN n 1 1 20.0 0.80; RETURN ? 50 0 5.0 0.20; ",
		"/api/v1/queries/top?order=calls&limit=1": "2 51 1: RETURN ? 50 0 5.0 0.20; ",
	} {
		if got := show(path); got != want {
			t.Errorf("%s: got %s; want %s", path, got, want)
		}
	}
	w.want(400, "an order is one of", "GET", "/api/v1/queries/top?order=size", "")
	w.want(400, "an order is one of", "GET", "/api/v1/queries/top?order=", "")
	w.want(400, "limit is a number", "GET", "/api/v1/queries/top?limit=0", "")
	if got := get[[]SlowInfo](w, "/api/v1/queries/slow"); len(got) != 1 || got[0].Took != 1500 || got[0].Access != "read" || got[0].Member != "a" {
		t.Errorf("got %+v", got)
	}
	if got := get[SessionsInfo](w, "/api/v1/queries").Sessions[0].Query; got != "MATCH (r:`<u>` {x: ?}) RETURN r" {
		t.Errorf("the oldest work runs %q", got)
	}
}
