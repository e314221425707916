package bolt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt/packstream"
)

func pipeEnds() (near, far net.Conn) { return net.Pipe() }

// step is one exchange of a script: the requests that have to come, and the answers that go out for them.
type step struct {
	want  []string // each message's tag and decoded fields, as say writes them
	reply [][]byte
}

// say writes a message for comparing.
func say(tag byte, fields ...any) string { return fmt.Sprintf("%02x %v", tag, fields) }

// scripted returns a client whose server goes through the steps; at the end of the test all of them were taken.
func scripted(t *testing.T, v Version, steps ...step) *Client {
	t.Helper()
	near, far := pipeEnds()
	done := make(chan error, 1)
	go func() { done <- follow(far, steps) }()
	near.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows in use
	t.Cleanup(func() {
		near.Close()
		if err := <-done; err != nil {
			t.Errorf("the script: %v", err)
		}
	})
	return NewClient(near, v)
}

func follow(conn net.Conn, steps []step) error {
	defer conn.Close()
	r := &Reader{Source: conn}
	for i, s := range steps {
		for _, want := range s.want {
			m, err := r.ReadMessage()
			if err != nil {
				return fmt.Errorf("step %d: %w instead of %s", i, err, want)
			}
			d := packstream.NewDecoder(m.Fields)
			var fields []any
			for range m.Count {
				fields = append(fields, d.Value())
			}
			if got := say(m.Tag, fields...); got != want || d.Err() != nil {
				return fmt.Errorf("step %d: got %s; want %s (%v)", i, got, want, d.Err())
			}
		}
		if _, err := conn.Write(bytes.Join(s.reply, nil)); err != nil {
			return fmt.Errorf("step %d: answering: %w", i, err)
		}
	}
	if m, err := r.ReadMessage(); err == nil && m.Tag != TagGoodbye {
		return fmt.Errorf("a message with tag %02x after the last step", m.Tag)
	}
	return nil
}

func success(metadata map[string]any) []byte { return AppendSuccess(nil, metadata) }

func failure(v Version, code string) []byte { return AppendFailure(nil, v, code, "no") }

var (
	basicMap = map[string]any{"scheme": "basic", "principal": "ann", "credentials": "s3cret"}
	welcome  = success(map[string]any{"server": "Neo4j/5.26.0", "connection_id": "bolt-1"})
)

func merged(maps ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

func TestLogonInEveryVersion(t *testing.T) {
	agent := map[string]any{"user_agent": "test/1"}
	routing := map[string]any{"routing": map[string]any{"address": "gate:7687"}}
	product := map[string]any{"bolt_agent": map[string]any{"product": "test/1"}}
	filter := map[string]any{"notifications_minimum_severity": "OFF"}
	for _, v := range Versions {
		hello := []map[string]any{agent, routing}
		switch {
		case v < V3:
		case v < V4_1:
			hello = []map[string]any{agent, basicMap}
		case v == V4_3 || v == V4_4:
			hello = append(hello, basicMap, map[string]any{"patch_bolt": []any{"utc"}})
		case v < V5_1:
			hello = append(hello, basicMap)
		case v >= V5_3:
			hello = append(hello, product, filter)
		case v == V5_2:
			hello = append(hello, filter)
		}
		want := []string{say(TagHello, merged(hello...))}
		replies := [][]byte{Noop, welcome}
		if v < V3 {
			want = []string{say(TagHello, "test/1", basicMap)}
		}
		if v >= V5_1 {
			want = append(want, say(TagLogon, basicMap))
			replies = append(replies, success(map[string]any{"credentials_expired": true}))
		}
		t.Run(v.String(), func(t *testing.T) {
			c := scripted(t, v, step{want, replies})
			notes := packstream.AppendString(packstream.AppendString(nil, "notifications_minimum_severity"), "OFF")
			o := HelloOptions{Agent: "test/1", UTC: true, Routing: map[string]string{"address": "gate:7687"}, Notifications: notes, NotifyCount: 1}
			if err := c.Logon(o, Basic("ann", "s3cret")); err != nil {
				t.Fatal(err)
			}
			if c.Server != "Neo4j/5.26.0" || c.Hello["connection_id"] != "bolt-1" || v >= V5_1 && c.Hello["credentials_expired"] != true {
				t.Errorf("kept server %q, hello %v", c.Server, c.Hello)
			}
			if err := c.Trim(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLogonWithoutRouting(t *testing.T) {
	c := scripted(t, V4_4, step{[]string{say(TagHello, map[string]any{"user_agent": "boltgate/1"})}, [][]byte{welcome}})
	if err := c.Logon(HelloOptions{}, Auth{}); err != nil {
		t.Error(err)
	}
}

func TestLogonRefused(t *testing.T) {
	for _, v := range []Version{V2, V4_4, V5_0, V5_4, V5_8} {
		near, far := pipeEnds()
		go func() {
			(&Reader{Source: far}).ReadMessage() //nolint:errcheck // whatever it is
			replies := [][]byte{failure(v, CodeUnauthorized)}
			if v >= V5_1 {
				replies = [][]byte{welcome, failure(v, CodeUnauthorized)}
			}
			far.Write(bytes.Join(replies, nil)) //nolint:errcheck // shows below
			io.Copy(io.Discard, far)            //nolint:errcheck // until the client leaves
		}()
		var f *Failure
		if err := NewClient(near, v).Logon(HelloOptions{}, Basic("ann", "wrong")); !errors.As(err, &f) || f.Code != CodeUnauthorized {
			t.Errorf("%v: got %v; want the member's refusal", v, err)
		}
		near.Close()
		far.Close()
	}
}

func TestIntroduce(t *testing.T) {
	c := scripted(t, V5_4, step{[]string{say(TagHello, map[string]any{"user_agent": "boltgate/1", "bolt_agent": map[string]any{"product": "boltgate/1"}})}, [][]byte{welcome}})
	if err := c.Introduce(HelloOptions{}); err != nil || c.Server != "Neo4j/5.26.0" {
		t.Errorf("got %v, server %q", err, c.Server)
	}
	if err := scripted(t, V5_0).Introduce(HelloOptions{}); err == nil {
		t.Error("5.0 introduced itself without a login; want an error")
	}
}

func runPull(v Version, text string, extra map[string]any) []string {
	if extra == nil {
		extra = map[string]any{}
	}
	switch {
	case v < V3:
		return []string{say(TagRun, text, map[string]any{}), say(TagPull)}
	case v < V4_0:
		return []string{say(TagRun, text, map[string]any{}, extra), say(TagPull)}
	}
	return []string{say(TagRun, text, map[string]any{}, extra), say(TagPull, map[string]any{"n": int64(-1)})}
}

func TestQuery(t *testing.T) {
	for _, v := range []Version{V1, V3, V4_0, V5_8, V6_1} {
		record := AppendMessage(nil, TagRecord, []any{1, "a"})
		c := scripted(t, v, step{runPull(v, "RETURN 1", map[string]any{"mode": "r"}), [][]byte{
			success(map[string]any{"fields": []any{"n", "s"}}), Noop, record, Noop, Noop, record, success(map[string]any{"type": "r"}),
		}})
		got, err := c.Query("RETURN 1", nil, map[string]any{"mode": "r"})
		want := &Result{[]string{"n", "s"}, [][]any{{int64(1), "a"}, {int64(1), "a"}}, map[string]any{"type": "r"}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %v, %v; want %v", v, got, err, want)
		}
	}
}

func TestQueryAfterAFailureTheConnectionServesOn(t *testing.T) {
	for _, v := range []Version{V2, V4_4, V5_8} {
		done := [][]byte{success(map[string]any{"fields": []any{}}), success(nil)}
		reset := step{[]string{say(TagReset)}, [][]byte{EmptySuccess}}
		c := scripted(t, v,
			step{runPull(v, "at RUN", nil), [][]byte{failure(v, CodeNotALeader), Ignored}}, reset,
			step{runPull(v, "at PULL", nil), [][]byte{success(map[string]any{"fields": []any{"n"}}), AppendMessage(nil, TagRecord, []any{1}), failure(v, CodeNotALeader)}}, reset,
			step{runPull(v, "fine", nil), done})
		for _, text := range []string{"at RUN", "at PULL"} {
			var f *Failure
			if _, err := c.Query(text, nil, nil); !errors.As(err, &f) || f.Code != CodeNotALeader {
				t.Fatalf("%v %s: got %v; want the member's refusal", v, text, err)
			}
		}
		if _, err := c.Query("fine", nil, nil); err != nil {
			t.Errorf("%v: after RESET: %v", v, err)
		}
	}
}

func TestResetCountsWhatIsOwed(t *testing.T) {
	record := AppendMessage(nil, TagRecord, []any{1})
	tests := []struct {
		name  string
		owed  int
		reply [][]byte
		ok    bool
	}{
		{"nothing owed", 0, [][]byte{EmptySuccess}, true},
		{"a stream is cut short", 1, [][]byte{record, record, Ignored, EmptySuccess}, true},
		{"failures among what is owed", 3, [][]byte{record, failure(V4_4, CodeUnknown), Ignored, Ignored, EmptySuccess}, true},
		{"a stream that ends by itself", 2, [][]byte{EmptySuccess, record, EmptySuccess, EmptySuccess}, true},
		{"RESET fails", 1, [][]byte{Ignored, failure(V4_4, CodeInvalidRequest)}, false},
		{"RESET is ignored", 1, [][]byte{EmptySuccess, Ignored}, false},
		{"an answer that is none", 1, [][]byte{AppendMessage(nil, TagRun, "x"), EmptySuccess}, false},
		{"the server leaves", 1, [][]byte{record}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pipeEnds()
			go func() {
				(&Reader{Source: far}).ReadMessage() //nolint:errcheck // the RESET
				far.Write(bytes.Join(tt.reply, nil)) //nolint:errcheck // shows below
				far.Close()
			}()
			c := NewClient(near, V4_4)
			err := c.Reset(tt.owed)
			if (err == nil) != tt.ok {
				t.Errorf("got %v; want success: %v", err, tt.ok)
			}
			if tt.ok && c.Trim() != nil {
				t.Error("answers were left unread")
			}
			near.Close()
		})
	}
}

func TestRelogon(t *testing.T) {
	bob := map[string]any{"scheme": "basic", "principal": "bob", "credentials": "s3cret"}
	c := scripted(t, V5_4, step{[]string{say(TagLogoff), say(TagLogon, bob)}, [][]byte{EmptySuccess, EmptySuccess}},
		step{[]string{say(TagLogoff), say(TagLogon, bob)}, [][]byte{EmptySuccess, failure(V5_4, CodeUnauthorized)}})
	if err := c.Relogon(Basic("bob", "s3cret")); err != nil {
		t.Fatal(err)
	}
	var f *Failure
	if err := c.Relogon(Basic("bob", "s3cret")); !errors.As(err, &f) || f.Code != CodeUnauthorized {
		t.Errorf("got %v; want the member's refusal", err)
	}
}

func TestTrimFindsWhatNobodyAskedFor(t *testing.T) {
	c := scripted(t, V4_4, step{[]string{say(TagReset)}, [][]byte{EmptySuccess, EmptySuccess}})
	if err := c.Reset(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Trim(); err == nil {
		t.Error("a second answer to one RESET passed; want an error")
	}
}

func TestAnswersOutOfPlace(t *testing.T) {
	for name, reply := range map[string][]byte{
		"a RECORD":              AppendMessage(nil, TagRecord, []any{1}),
		"IGNORED":               Ignored,
		"a request":             AppendMessage(nil, TagRun, "x"),
		"SUCCESS without a map": AppendMessage(nil, TagSuccess, 1),
		"SUCCESS with nothing":  AppendMessage(nil, TagSuccess),
		"FAILURE without a map": AppendMessage(nil, TagFailure, 1),
		"no structure":          {0, 1, 0xA0, 0, 0},
		"the end":               nil,
	} {
		near, far := pipeEnds()
		go func() { far.Write(reply); far.Close() }() //nolint:errcheck // shows below
		if m, err := NewClient(near, V5_8).Success(); err == nil {
			t.Errorf("%s: got %v; want an error", name, m)
		}
		near.Close()
	}
}

func TestRequestIn(t *testing.T) {
	type row struct {
		tag    byte
		since  Version
		until  Version // the first without it; 0: none
		name   string
		fields int
	}
	rows := []row{
		{TagHello, V1, V3, "INIT", 2}, {TagHello, V3, 0, "HELLO", 1}, {TagGoodbye, V3, 0, "GOODBYE", 0}, {TagAckFailure, V1, V3, "ACK_FAILURE", 0},
		{TagReset, V1, 0, "RESET", 0}, {TagRun, V1, V3, "RUN", 2}, {TagRun, V3, 0, "RUN", 3}, {TagBegin, V3, 0, "BEGIN", 1},
		{TagCommit, V3, 0, "COMMIT", 0}, {TagRollback, V3, 0, "ROLLBACK", 0}, {TagDiscard, V1, V4_0, "DISCARD_ALL", 0},
		{TagDiscard, V4_0, 0, "DISCARD", 1}, {TagPull, V1, V4_0, "PULL_ALL", 0}, {TagPull, V4_0, 0, "PULL", 1},
		{TagTelemetry, V5_4, 0, "TELEMETRY", 1}, {TagRoute, V4_3, 0, "ROUTE", 3}, {TagLogon, V5_1, 0, "LOGON", 1}, {TagLogoff, V5_1, 0, "LOGOFF", 0},
	}
	for _, v := range Versions {
		known := map[byte]row{}
		for _, r := range rows {
			if v >= r.since && (r.until == 0 || v < r.until) {
				known[r.tag] = r
			}
		}
		for tag := range 256 {
			got, ok := RequestIn(byte(tag), v)
			want, has := known[byte(tag)]
			if ok != has || ok && (got.Name != want.name || got.Fields != want.fields) {
				t.Errorf("%02x in %v: got %v, %v; want %v, %v", tag, v, got, ok, want, has)
			}
		}
	}
}

func TestFailureOfEveryVersion(t *testing.T) {
	for _, v := range Versions {
		for _, code := range []string{CodeNotALeader, CodeLeaderSwitch, "Neo.ClientError.Made.Up"} {
			m, err := (&Reader{Source: bytes.NewReader(AppendFailure(nil, v, code, "why"))}).ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			f, err := ParseFailure(m.Fields)
			if err != nil || f.Code != code || f.Message != "why" || f.Error() != code+": why" {
				t.Errorf("%v: got %v, %v", v, f, err)
			}
			d := packstream.NewDecoder(m.Fields)
			keys := d.Value().(map[string]any)
			if _, old := keys["code"]; old != (v < V5_7) || len(keys) != map[bool]int{true: 2, false: 4}[old] || (f.GQL != "") == old {
				t.Errorf("%v: FAILURE has %v", v, keys)
			}
		}
	}
}

func TestAServersFailureIsAppendedAsItCame(t *testing.T) {
	for _, v := range Versions {
		sent := AppendMessage(nil, TagFailure, map[string]any{"neo4j_code": "a", "message": "m", "diagnostic_record": map[string]any{"OPERATION": ""},
			"cause": map[string]any{"message": strings.Repeat("inner", 20_000)}}) // more than one chunk
		m, err := (&Reader{Source: bytes.NewReader(sent)}).ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFailure(m.Fields)
		if err != nil {
			t.Fatal(err)
		}
		clear(m.Fields) // borrowed
		if got := f.Append([]byte("before"), v); string(got) != "before"+string(sent) {
			t.Errorf("%v: got %d bytes, want the %d that the server sent", v, len(got)-len("before"), len(sent))
		}
		if got, want := (&Failure{Code: "a", Message: "m"}).Append(nil, v), AppendFailure(nil, v, "a", "m"); !bytes.Equal(got, want) {
			t.Errorf("%v: a failure of our own: got %q, want %q", v, got, want)
		}
	}
}

func TestParseFailureOfAServer(t *testing.T) {
	cause := map[string]any{"message": "inner", "gql_status": "22N01", "description": "inner", "code": "wrong"}
	tests := []struct {
		name   string
		fields any
		want   Failure
	}{
		{"nothing in it", map[string]any{}, Failure{}},
		{"a message that is null", map[string]any{"code": "a", "message": nil}, Failure{Code: "a"}},
		{"values of other types", map[string]any{"code": 5, "message": []any{}, "gql_status": map[string]any{}}, Failure{}},
		{"5.7 with a cause", map[string]any{"neo4j_code": "a", "message": "m", "gql_status": "50N42", "description": "d",
			"diagnostic_record": map[string]any{"OPERATION": ""}, "cause": cause}, Failure{Code: "a", Message: "m", GQL: "50N42"}},
	}
	for _, tt := range tests {
		tt.want.Raw = packstream.AppendValue(nil, tt.fields)
		got, err := ParseFailure(append(slices.Clone(tt.want.Raw), "what follows"...))
		if err != nil || !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: got %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	whole := packstream.AppendValue(nil, map[string]any{"code": "a", "message": "m"})
	for cut := range whole {
		if f, err := ParseFailure(whole[:cut]); !errors.Is(err, packstream.ErrShort) {
			t.Errorf("cut at %d: got %v, %v; want ErrShort", cut, f, err)
		}
	}
}

func TestFixedMessages(t *testing.T) {
	for want, got := range map[string][]byte{
		"0002b07e0000": Ignored, "0003b170a00000": EmptySuccess, "0002b00f0000": Reset, "0002b0020000": Goodbye, "0000": Noop,
	} {
		if hex.EncodeToString(got) != want {
			t.Errorf("got %x; want %s", got, want)
		}
	}
	if !bytes.Equal(AppendSuccess(nil, nil), EmptySuccess) || !bytes.Equal(AppendMessage(nil, TagReset), Reset) {
		t.Error("the appended forms differ from the fixed ones")
	}
}

func TestVersions(t *testing.T) {
	for i, v := range Versions {
		if i > 0 && Versions[i-1] <= v {
			t.Errorf("%v stands behind %v", v, Versions[i-1])
		}
		if V(v.Major(), v.Minor()) != v || v == V(5, 5) {
			t.Errorf("%v is not a version", v)
		}
	}
	if got := fmt.Sprint(V3, V4_0, V5_8, V6_1); got != "3 4.0 5.8 6.1" {
		t.Errorf("got %s", got)
	}
	if got := Common([]Version{V6_0, V5_8, V4_4}, []Version{V4_4, V6_0}); !reflect.DeepEqual(got, []Version{V6_0, V4_4}) {
		t.Errorf("got %v; want the first's order", got)
	}
	if strings.Contains(fmt.Sprint(Common(Versions, nil)), "1") {
		t.Error("something is common with nothing")
	}
}

func TestAskReadyResetsAfterAFailure(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after string // what the server answers to RESET; "" closes
		clean bool
	}{
		{"it answers", "success", true},
		{"it closes", "", false},
	} {
		near, far := pipeEnds()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer far.Close()
			in := Reader{Source: far}
			in.ReadMessage() //nolint:errcheck // its bytes do not matter
			far.Write(AppendFailure(nil, V5_4, "a.code", "why"))
			if m, err := in.ReadMessage(); err != nil || m.Tag != TagReset {
				t.Errorf("%s: got %02x, %v; want RESET", tt.name, m.Tag, err)
			}
			if tt.after != "" {
				far.Write(EmptySuccess)
			}
		}()
		_, err := NewClient(near, V5_4).AskReady(AppendMessage(nil, TagRoute, map[string]any{}, []any{}, map[string]any{}))
		var f *Failure
		if !errors.As(err, &f) || f.Code != "a.code" || (err == error(f)) != tt.clean {
			t.Errorf("%s: got %v; want the failure, alone: %v", tt.name, err, tt.clean)
		}
		near.Close()
		<-ended
	}
}
