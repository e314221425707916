package proxy

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// This file holds what is let through against a second opinion: what another parser reads is what was looked at.

// anotherReading is a body as Go's own parser has it, to which case does not matter and the last of two keys counts.
func anotherReading(body []byte, query bool) (texts []string, mode, as string) {
	var b struct {
		Statement        *string
		AccessMode       string
		ImpersonatedUser string
		Statements       []struct{ Statement string }
	}
	if json.Unmarshal(body, &b) != nil {
		return nil, "", ""
	}
	if query {
		if b.Statement != nil {
			texts = append(texts, *b.Statement)
		}
		return texts, b.AccessMode, b.ImpersonatedUser
	}
	for _, s := range b.Statements {
		texts = append(texts, s.Statement)
	}
	return texts, "", ""
}

func FuzzRestrictedBody(f *testing.F) {
	for _, body := range []string{
		oneRead, `{}`, ``, ` { } `, `{"statements":[]}`, `{"statement":"RETURN 7"}`, `{"statement":"a","accessMode" : "WRITE" ,"x":[{}]}`,
		`{"accessMode":"READ","statement":"\u0041","parameters":{"statement":"x"}}`, `{"Statement":"x"}`, `{"statement":"a","statement":"b"}`,
		`{"statements":[{"statement":"a","parameters":{"statements":[]}},{"statement":"b"}]}`, `{"impersonatedUser":null,"statement":"a"}`, `{"statements":null}`,
	} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, query bool) {
		var looked []string
		r := &bodyReader{route: httpRoute{kind: routeStatements, query: query}, scan: jsonScan{b: body}, text: func(text []byte) string {
			looked = append(looked, string(text))
			return ""
		}}
		if r.read() != "" {
			return
		}
		texts, _, as := anotherReading(body, query)
		if !slices.Equal(texts, looked) || as != "" {
			t.Fatalf("another parser reads %q of %q, by %q; looked at were %q", texts, body, as, looked)
		}
		if !query {
			return
		}
		u := httpUnit{body: body, modeValue: r.mode, bodyOpen: r.open, bodyBare: r.bare}
		sent := u.withReadMode()
		texts, mode, _ := anotherReading(sent, true)
		if !json.Valid(sent) || mode != "Read" || !slices.Equal(texts, looked) {
			t.Fatalf("%q is sent as %q", body, sent)
		}
	})
}

func FuzzRestrictedExtra(f *testing.F) {
	for _, extra := range []m{{}, {"mode": "w"}, {"mode": "r", "db": "neo4j"}, {"mode": 7, "bookmarks": []any{"a"}}, {"imp_user": nil, "tx_metadata": m{"mode": "w"}}, {"imp_user": "x"}} {
		f.Add(packstream.AppendValue(nil, extra), true)
		f.Add(packstream.AppendValue(nil, extra), false)
	}
	f.Add([]byte("\xa2\x84mode\x81r\x84mode\x81w"), true)
	f.Fuzz(func(t *testing.T, extra []byte, begin bool) {
		s := &boltSession{version: bolt.V5_8, busy: new(busy)}
		tag, payload := bolt.TagBegin, packstream.AppendStruct(nil, bolt.TagBegin, 1)
		if !begin {
			tag = bolt.TagRun
			payload = packstream.AppendMap(packstream.AppendString(packstream.AppendStruct(nil, bolt.TagRun, 3), "RETURN 7"), 0)
		}
		head := len(payload)
		payload = append(payload, extra...)
		o, err := s.parseOpening(tag, payload)
		if err != nil || o.length != len(payload) || refusesExtra(o.extra) != "" {
			return
		}
		s.unit.readOnly = true
		sent, _ := bolt.Payload(s.appendRebuilt(nil, payload, o), nil)
		if !bytes.Equal(sent[:head], payload[:head]) {
			t.Fatalf("%x is sent as %x", payload, sent)
		}
		given, said := packstream.NewDecoder(extra), packstream.NewDecoder(sent[head:])
		was, _ := given.Value().(map[string]any)
		if given.Err() != nil { // further in than anybody looks: the member's to refuse
			return
		}
		is, ok := said.Value().(map[string]any)
		if said.Err() != nil || said.Len() > 0 || !ok || is["mode"] != "r" || is["imp_user"] != nil || bytes.Count(sent[head:], []byte("\x84mode")) > 1+bytes.Count(extra, []byte("\x84mode")) {
			t.Fatalf("%x is sent as %x: %v", extra, sent[head:], is)
		}
		delete(was, "mode")
		delete(is, "mode")
		if len(was) != len(is) {
			t.Fatalf("%v is sent as %v", was, is)
		}
	})
}
