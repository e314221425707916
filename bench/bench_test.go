package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/loopback"
)

func TestEveryModeMeasuresAgainstTheInstantServer(t *testing.T) {
	at := startInstant(t, "")
	for _, m := range Modes {
		for _, rate := range []float64{0, 400} {
			t.Run(fmt.Sprintf("%s at %v", m, rate), func(t *testing.T) {
				uri := "neo4j://u:p@" + at.Bolt
				if m == Get || m == Post {
					uri = "http://u:p@" + at.HTTP
				}
				begun := time.Now()
				r, err := Run(t.Context(), Load{URI: uri, Mode: m, Clients: 4, Duration: 200 * time.Millisecond, Rate: rate})
				if err != nil {
					t.Fatal(err)
				}
				if r.Operations == 0 || r.Errors != 0 || r.Mode != m || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 {
					t.Errorf("got %+v; want operations without errors and times in order", r)
				}
				if most := rate*time.Since(begun).Seconds() + 4; rate > 0 && float64(r.Operations) > most {
					t.Errorf("got %d operations; the schedule has %.0f", r.Operations, most)
				}
			})
		}
	}
}

// scripted answers each connection with the given function after the Bolt handshake and login; it returns the address.
func scripted(t *testing.T, serve func(conn net.Conn, r *bolt.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var g group
	g.serve(l, func(c net.Conn) {
		if _, err := bolt.AcceptHandshake(c, []bolt.Version{bolt.V4_4}); err != nil {
			return
		}
		r := &bolt.Reader{Source: c}
		if _, err := r.ReadMessage(); err != nil {
			return
		}
		if _, err := c.Write(bolt.EmptySuccess); err == nil {
			serve(c, r)
		}
	})
	t.Cleanup(func() {
		l.Close()
		g.close()
		g.Wait()
	})
	return l.Addr().String()
}

// answerQueries answers RUN and PULL, one after the other, with what before says may come first.
func answerQueries(c net.Conn, r *bolt.Reader, before func(n int) (failure []byte)) {
	for n := 0; ; n++ {
		for range 2 {
			if _, err := r.ReadMessage(); err != nil {
				return
			}
		}
		answer := append([]byte{0, 0}, bolt.EmptySuccess...) // with a NOOP
		answer = bolt.AppendMessage(answer, bolt.TagRecord, []any{strings.Repeat("x", 9000)})
		answer = append(answer, bolt.EmptySuccess...)
		if f := before(n); f != nil {
			answer = f
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func TestFailuresAreCountedAndTheFirstIsToldOnAFreshConnectionEach(t *testing.T) {
	failure := bolt.AppendFailure(nil, bolt.V4_4, "Neo.TransientError.General.Test", "no luck")
	address := scripted(t, func(c net.Conn, r *bolt.Reader) {
		answerQueries(c, r, func(n int) []byte {
			if n%2 == 1 {
				return append(append([]byte{}, failure...), bolt.Ignored...)
			}
			return nil
		})
	})
	r, err := Run(t.Context(), Load{URI: "bolt://" + address, Clients: 2, Duration: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations == 0 || r.Errors == 0 || !strings.Contains(r.FirstError, "Neo.TransientError.General.Test") {
		t.Errorf("got %d operations, %d errors, the first %q; want both, and the server's code", r.Operations, r.Errors, r.FirstError)
	}
}

// A server that stops for a while delays the operations that were due meanwhile. Counted from when they were sent each would look quick.
func TestOpenLoopCountsTheWaitingThatASlowAnswerCauses(t *testing.T) {
	const pause = 300 * time.Millisecond
	address := scripted(t, func(c net.Conn, r *bolt.Reader) {
		answerQueries(c, r, func(n int) []byte {
			if n == 40 {
				time.Sleep(pause)
			}
			return nil
		})
	})
	r, err := Run(t.Context(), Load{URI: "bolt://" + address, Clients: 1, Rate: 200, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Max < float64(pause.Microseconds()) {
		t.Fatalf("max: got %.0f us; want %v at least", r.Max, pause)
	}
	if r.P90 < 50e3 { // some 60 of 200 operations were due in the pause, 5 ms apart, so a tenth of all waited 200 ms or more
		t.Errorf("p90: got %.0f us; want over 50 ms, for the operations due in the pause waited too", r.P90)
	}
}

func hangingAfter(t *testing.T, queries int) string {
	return scripted(t, func(c net.Conn, r *bolt.Reader) {
		answerQueries(c, r, func(n int) []byte {
			if n == queries {
				io.Copy(io.Discard, c) //nolint:errcheck // until the client leaves
			}
			return nil
		})
	})
}

func TestOperationsThatHangAreCutAndCounted(t *testing.T) {
	l := Load{URI: "bolt://" + hangingAfter(t, 3), Clients: 2, Duration: time.Second, grace: 50 * time.Millisecond}
	r, err := Run(t.Context(), l)
	if err != nil || r.Operations != 6 || r.Errors != 2 {
		t.Errorf("got %+v, %v; want three operations and an error of each client", r, err)
	}
}

func TestTheCallersEndIsNoError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := Run(ctx, Load{URI: "bolt://" + hangingAfter(t, 3), Clients: 2, Duration: time.Minute})
	if err != nil || r.Operations != 6 || r.Errors != 0 {
		t.Errorf("got %+v, %v; want three operations of each client and no error", r, err)
	}
}

func TestHTTPClientReadsWhatNetHTTPWrites(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		want   string // of the error; "": none
	}{
		{"a length", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"errors":[]}`) }, ""},
		{"chunks", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				io.WriteString(w, strings.Repeat("x", 5000))
				w.(http.Flusher).Flush()
			}
		}, ""},
		{"a status that is no success", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "503"},
		{"errors in a good answer", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"errors":[{"code":"Neo.X"}]}`) }, "Neo.X"},
		{"the request is whole", func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			var body struct{ Statements []struct{ Statement string } }
			err := json.NewDecoder(r.Body).Decode(&body)
			if err != nil || user != "u" || password != "p:w" || r.URL.Path != "/db/d/tx/commit" || r.Header.Get("X-Write") != "1" || body.Statements[0].Statement != `RETURN "1"` {
				w.WriteHeader(400)
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.handle)
			defer s.Close()
			l := Load{URI: s.URL, User: "u", Password: "p:w", Database: "d", Query: `RETURN "1"`, Access: "write"}.withDefaults()
			target, err := l.target(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c, err := target.dial(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			for range 2 {
				err := c.do()
				if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got error %v; want %q", err, tt.want)
				}
				if err != nil {
					return
				}
			}
		})
	}
}

func TestWrongUseIsToldBeforeAnythingIsDialled(t *testing.T) {
	for _, l := range []Load{
		{URI: "ftp://h"}, {URI: "bolt://"}, {URI: "bolt://h", Mode: Get}, {URI: "http://h", Mode: Auto}, {URI: "bolt://h", Mode: "fast"},
	} {
		if _, err := Run(t.Context(), l); !errors.Is(err, errUsage) {
			t.Errorf("%+v: got %v; want an error of use", l, err)
		}
	}
}

func TestAWrongAddressIsAnErrorAtOnce(t *testing.T) {
	free := loopback.Reserve(t)
	if _, err := Run(t.Context(), Load{URI: "bolt://" + free}); err == nil || !strings.Contains(err.Error(), free) {
		t.Errorf("got %v; want an error that names %s", err, free)
	}
}

func TestRelaysCarryEveryMode(t *testing.T) {
	at := startInstant(t, "")
	for _, two := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		through, done := make(chan Addresses, 1), make(chan error, 1)
		go func() {
			done <- ServeRelays(ctx, &Relay{Listen: "127.0.0.1:0", To: at.Bolt, Two: two}, &Relay{Listen: "127.0.0.1:0", To: at.HTTP, HTTP: true, Two: two},
				func(a Addresses) error { through <- a; return nil })
		}()
		a := <-through
		for _, m := range Modes {
			uri := "bolt://u:p@" + a.Bolt
			if m == Get || m == Post {
				uri = "http://u:p@" + a.HTTP
			}
			r, err := Run(t.Context(), Load{URI: uri, Mode: m, Clients: 2, Duration: 100 * time.Millisecond})
			if err != nil || r.Operations == 0 || r.Errors != 0 {
				t.Errorf("%s (two goroutines: %v): got %+v, %v; want operations without errors", m, two, r, err)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want the context's end", err)
		}
	}
}
