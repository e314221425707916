package proxy

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// format1 is how format 1 looks. Processes of released versions write and read it: a change makes another format.
const (
	format1Bolt = `{"Front":"main","Local":"10.0.0.1:7687","Remote":"10.0.0.9:5000","By":7,"Bolt":{"ID":"boltgate-1","Version":1284,"UTC":true,` +
		`"Failed":true,"Address":"YQ==","Routed":true,"Agent":"Yg==","Notify":"Yw==","NotifyN":1,"Auth":"ZA==","Asks":true,` +
		`"GateUser":{"Name":"ZQ==","ReadOnly":true,"Key":"Zg==","Sum":"Zw=="},` +
		`"Seen":{"List":[{"DB":"aA==","Tx":1,"At":2,"Format":3}],"Wrote":4,"Loose":5},"Database":"aQ=="}}`
	format1HTTP   = `{"Front":"main","Local":"a","Remote":"b","By":0,"HTTP":{"Posted":true,"Requests":3,"Database":"aQ=="}}`
	format1Memory = `{"Login":{"Key":"aw==","Marks":{"List":null,"Wrote":0,"Loose":0},"Home":"neo4j","HomeAt":1,"Checked":2},` +
		`"Transaction":{"Member":"s1","ID":"MQ==","Until":3}}`
)

func TestFormat1IsWhatItWas(t *testing.T) {
	for text, v := range map[string]any{format1Bolt: new(passedClient), format1HTTP: new(passedClient), format1Memory: new(passedMemory)} {
		if err := strict([]byte(text), v); err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		got, err := json.Marshal(v)
		if err != nil || string(got) != text {
			t.Errorf("got %s, %v\nwant %s", got, err, text)
		}
	}
}

// Whatever is not to the letter is refused, and then the client stays with the process that has it.
func TestAClientThatIsNotUnderstoodIsRefused(t *testing.T) {
	g := startGate(t, gateOptions{})
	good := format1HTTP
	for what, state := range map[string]string{
		"nothing":              "",
		"half of it":           good[:len(good)/2],
		"something new":        strings.Replace(good, `"Posted"`, `"Poster":1,"Posted"`, 1),
		"no protocol":          strings.Replace(good, `"HTTP":`, `"HTTP":null,"x":`, 1),
		"an unknown frontend":  strings.Replace(good, `"main"`, `"other"`, 1),
		"a version of nobody":  strings.Replace(format1Bolt, "1284", "99", 1),
		"a login that is none": format1Bolt,
	} {
		before := g.server.Sessions()
		near, far := net.Pipe()
		if _, _, err := g.server.Adopt([]byte(state), near); err == nil {
			t.Errorf("%s: it was taken", what)
		}
		if n := g.server.Sessions(); n != before {
			t.Errorf("%s: %d clients before, %d after", what, before, n)
		}
		near.Close()
		far.Close()
	}
}

func TestMarksOfAnotherProcessAreAdded(t *testing.T) {
	from, to := newLogins(func() time.Duration { return time.Minute }), newLogins(func() time.Duration { return time.Minute })
	to.salt = from.salt
	db, now := [16]byte{1}, time.Now()
	ann := bolt.Basic("ann", "secret")
	here, _ := to.enter(ann, nil)
	here.marks.raise(bolt.Position{DB: db, Tx: 7}, bolt.BookmarkFabric, now)
	there, _ := from.enter(ann, nil)
	there.marks.raise(bolt.Position{DB: db, Tx: 9}, bolt.BookmarkFabric, now)
	there.marks.raise(bolt.Position{DB: [16]byte{2}, Tx: 3}, bolt.BookmarkFabric, now)
	there.marks.written(now)
	for _, p := range from.pass(now) {
		to.recall(*p.Login)
	}
	if k := here.marks.of(db); k == nil || k.tx.Load() != 9 {
		t.Errorf("the higher transaction does not count: %+v", k)
	}
	if k := here.marks.of([16]byte{2}); k == nil || k.tx.Load() != 3 {
		t.Error("a database that this process had not seen is not there")
	}
	if got := here.marks.since(false, now); !got.Equal(time.Unix(0, now.UnixNano())) {
		t.Errorf("the last write was at %v; want %v", got, now)
	}
	later := now.Add(time.Second)
	to.loosen(later)
	fresh, _ := to.enter(bolt.Basic("bob", "secret"), nil)
	if got := fresh.marks.since(true, later); got.Before(later.Truncate(0)) {
		t.Errorf("a login that was not known when a process was lost sees what was written until %v; want %v", got, later)
	}
}
