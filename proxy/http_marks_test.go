package proxy

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHTTPNoForeignByteReachesAClient has many clients on few member connections, each asking for its own mark, cut off by
// itself or by the members at random bytes. One foreign mark fails (design rule 1).
func TestHTTPNoForeignByteReachesAClient(t *testing.T) {
	clients, rounds := 200, 12
	if testing.Short() || raceDetector {
		clients = 50
	}
	members := make([]*scripted, 3)
	for i := range members {
		members[i] = startScripted(t, fmt.Sprintf("s%d", i+1), marking(uint64(i)))
		members[i].Member.MaxInFlight = 8
	}
	g := startRelay(t, func(o *Options, f *Frontend) {
		o.Hold = 20 * time.Second
		f.Policy.LeaderAlwaysReads = true
	}, members...)
	var wg sync.WaitGroup
	whole := make([]int, clients)
	for id := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(id)))
			for round := range rounds {
				whole[id] += askForMark(t, g, random, fmt.Sprintf("client-%d-round-%d.", id, round))
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range whole {
		total += n
	}
	if total < clients*rounds/2 {
		t.Errorf("only %d answers came whole; the test shows little", total)
	}
}

// marking is a script of a member that answers with the asker's mark many times, in one of several framings, and breaks off
// at a random byte now and then: it closes, or falls silent until the client loses patience.
func marking(seed uint64) script {
	var connections atomic.Uint64
	return func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		random := rand.New(rand.NewPCG(seed, connections.Add(1)))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			mark := r.Header.Get("X-Mark")
			if strings.ReplaceAll(string(body), mark, "") != "" {
				io.WriteString(conn, ok("FOREIGN BODY "+string(body))) //nolint:errcheck // the client tells
			}
			text := strings.Repeat(mark, 1+random.IntN(400))
			a, end := ok(text), false
			switch random.IntN(5) {
			case 0, 1:
				a = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + string(appendChunk(appendChunk(nil, []byte(text[:len(text)/2])), []byte(text[len(text)/2:]))) + lastChunk
			case 2:
				a, end = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+text, true
			}
			switch random.IntN(200) {
			case 0:
				a = a[:random.IntN(len(a))] // and then nothing
			case 1, 2, 3, 4:
				a, end = a[:random.IntN(len(a))], true
			}
			if _, err := io.WriteString(conn, a); err != nil || end {
				return
			}
		}
	}
}

// askForMark sends some requests on one connection, which it may cut, and returns how many answers came whole.
func askForMark(t *testing.T, g *gate, random *rand.Rand, mark string) (whole int) {
	c := g.raw()
	defer c.Close()
	var all strings.Builder
	var ends []int
	n := 1 + random.IntN(5)
	for range n {
		body := strings.Repeat(mark, random.IntN(40)*random.IntN(40))
		switch random.IntN(3) {
		case 0:
			fmt.Fprintf(&all, "GET /%s HTTP/1.1\r\nHost: a\r\nX-Write: 0\r\nX-Mark: %s\r\n\r\n", mark, mark)
		case 1:
			fmt.Fprintf(&all, "POST /%s HTTP/1.1\r\nHost: a\r\nX-Write: 0\r\nX-Mark: %s\r\nContent-Length: %d\r\n\r\n%s", mark, mark, len(body), body)
		case 2:
			fmt.Fprintf(&all, "POST /db/data/transaction/commit HTTP/1.1\r\nHost: a\r\nX-Write: 0\r\nX-Mark: %s\r\nTransfer-Encoding: chunked\r\n\r\n%s%s", mark, appendChunk(nil, []byte(body)), lastChunk)
		}
		ends = append(ends, all.Len())
	}
	out := all.String()
	if random.IntN(4) == 0 {
		out = out[:random.IntN(len(out))]
		for n > 0 && ends[n-1] > len(out) {
			n--
		}
	}
	go func() {
		io.WriteString(c, out) //nolint:errcheck // the answers tell
	}()
	for range n {
		c.SetReadDeadline(time.Now().Add(3 * time.Second)) //nolint:errcheck // a silent member gives no answer
		if random.IntN(10) == 0 {
			c.br.Discard(random.IntN(2000)) //nolint:errcheck // and then leave in the middle of an answer
			return whole
		}
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			return whole
		}
		body, err := io.ReadAll(resp.Body)
		switch {
		case resp.StatusCode >= 500 || resp.StatusCode == 400:
		case !strings.HasPrefix(mark, strings.ReplaceAll(string(body), mark, "")): // a part of the mark may be left of a cut answer
			t.Errorf("%s got %.300q", mark, body)
			return whole
		case err == nil:
			whole++
		}
		if resp.Close || err != nil {
			return whole
		}
	}
	if len(out) < all.Len() {
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) //nolint:errcheck // the gate has the cut request meanwhile
		c.br.Peek(1)                                             //nolint:errcheck // it gets no answer
	}
	return whole
}

func TestAnswerMarks(t *testing.T) {
	const header, record = `{"$event":"Header","_body":{"fields":["bookmarks"]}}` + "\n", `{"$event":"Record","_body":[{"bookmarks":["b"]}]}` + "\n"
	for answer, want := range map[string]string{
		`{"data":{"fields":["n"],"values":[[{"bookmarks":["b"]}]]},"bookmarks":["a"]}`: `["a"]`,
		`{"results":[],"errors":[],"lastBookmarks":["a"]}`:                             `["a"]`,
		`{"results":[],"errors":[{"code":"x"}],"lastBookmarks":["a"]}`:                 "",
		`{"bookmarks":["a"]`: "",
		header + record + `{"$event":"Summary","_body":{"queryType":"w","bookmarks":["a"]}}` + "\n": `["a"]`,
		header + record + `{"$event":"Error","_body":[{"code":"x"}]}` + "\n":                        "",
		header + record: "",
	} {
		if got := string(answerMarks([]byte(answer))); got != want {
			t.Errorf("%s: got %s; want %s", answer, got, want)
		}
	}
}
