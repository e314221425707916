package standin

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// FuzzServer sends a connection anything at all: with a handshake or without, logged on or not. It must end, and the
// member must still serve the next client.
func FuzzServer(f *testing.F) {
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(1), []byte{0, 2, 0xB0, bolt.TagReset, 0, 0})
	f.Add(byte(200), bolt.AppendMessage(nil, bolt.TagRun, "RETURN 1", map[string]any{}, map[string]any{}))
	f.Add(byte(90), []byte{0, 9, 0xB1, bolt.TagPull, 0xDA, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 'n', 0, 0})
	f.Add(byte(33), []byte{0, 4, 0xB1, bolt.TagBegin, 0x95, 0x91})
	f.Fuzz(func(t *testing.T, how byte, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			v := bolt.Versions[int(how)%len(bolt.Versions)]
			b := start(t, serverOf(v))
			conn := b.fuzzed(v, how)
			defer conn.Close()
			go func() {
				conn.Write(sent)
				conn.(interface{ CloseWrite() error }).CloseWrite()
			}()
			conn.SetReadDeadline(time.Now().Add(time.Hour))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
					t.Fatalf("the connection did not end: %v", err)
				}
			}
			row(t, b.client("s1", v), "RETURN 1", nil, nil)
		})
	})
}

// fuzzed opens a connection in one of three conditions.
func (b *bench) fuzzed(v bolt.Version, how byte) net.Conn {
	switch how / 86 {
	case 0:
		conn, err := b.net.Dial(b.t.Context(), "", "s1:7687")
		if err != nil {
			b.t.Fatal(err)
		}
		return conn
	case 1:
		return b.raw("s1", v)
	}
	return b.client("s1", v).Conn
}
