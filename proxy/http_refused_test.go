package proxy

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/standin"
)

// post sends one request over conn and reads its answer.
func post(t *testing.T, conn net.Conn, path, body string) (status int, retry string, answer map[string]any) {
	t.Helper()
	login := base64.StdEncoding.EncodeToString([]byte(standin.DefaultUser + ":" + standin.DefaultPassword))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, login, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body) //nolint:errcheck // shows in the text
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%d %q: %v", resp.StatusCode, text, err)
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), answer
}

// TestATransactionWhoseLeaderMovedIsToldToTryAgain: its member says NotALeader, which is not the client's business; it is told in a way that makes it
// try all of it again, and the gate does not count the transaction any more.
func TestATransactionWhoseLeaderMovedIsToldToTryAgain(t *testing.T) {
	const write = `{"statement":"CREATE (n)","parameters":{"mark":"moved"}}`
	for _, late := range []bool{false, true} {
		for _, c := range []struct{ name, begin, more, end string }{
			{"a statement", "/db/neo4j/tx", `{"statements":[` + write + `]}`, ""},
			{"the statement of its commit", "/db/neo4j/tx", `{"statements":[` + write + `]}`, "/commit"},
			{"Query API", "/db/neo4j/query/v2/tx", write, ""},
		} {
			t.Run(fmt.Sprintf("%s, refused late: %v", c.name, late), func(t *testing.T) {
				inBubble(t, gateOptions{standin: standin.Options{Seed: 1, LateRefusal: late}}, func(t *testing.T, g *gate) {
					conn := g.plainConn()
					_, _, began := post(t, conn, c.begin, "{}")
					path := began["commit"]
					if tx, ok := began["transaction"].(map[string]any); ok && path == nil {
						path = c.begin + "/" + tx["id"].(string)
					}
					url := strings.TrimSuffix(path.(string), "/commit")
					url = url[strings.Index(url, "/db/"):]
					g.anotherLeads()
					status, retry, answer := post(t, conn, url+c.end, c.more)
					if text := fmt.Sprint(answer); status != 503 || retry == "" || !strings.Contains(text, codeLeaderSwitch) {
						t.Errorf("got %d, Retry-After %q, %v; want 503 %s", status, retry, text, codeLeaderSwitch)
					}
					for _, m := range g.cluster.Members() {
						if n := g.server.Transactions(m); n != 0 {
							t.Errorf("%d transactions count as open at %s", n, m.Name)
						}
					}
					if marks := g.marks(); len(marks) != 0 {
						t.Errorf("%v is committed", marks)
					}
				})
			})
		}
	}
}
