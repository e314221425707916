package standin

import (
	"context"
	"net"
)

type httpTx struct{}

func (m *member) serveHTTP(life context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}
