package standin

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// httpTx is an explicit transaction over HTTP, kept at its member between requests.
type httpTx struct {
	*transaction
	id      string
	expires time.Time // guarded by the member's mu
	busy    sync.Mutex
}

// keepTx gives a transaction an id, drawn by next until it is free, and keeps it.
func (m *member) keepTx(t *transaction, next func() string) *httpTx {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for id, old := range m.httpTxs {
		if old.expires.Before(now) {
			delete(m.httpTxs, id)
		}
	}
	id := next()
	for m.httpTxs[id] != nil {
		id = next()
	}
	tx := &httpTx{transaction: t, id: id, expires: now.Add(m.c.opt.TxIdle)}
	m.httpTxs[id] = tx
	return tx
}

// heldTx finds an open transaction of user and db, and keeps it from expiring; nil when there is none.
func (m *member) heldTx(id, user, db string) *httpTx {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := m.httpTxs[id]
	now := time.Now()
	if tx == nil || tx.expires.Before(now) || tx.user != user || foldName(tx.db) != foldName(db) {
		return nil
	}
	tx.expires = now.Add(m.c.opt.TxIdle)
	return tx
}

func (m *member) dropHTTPTx(tx *httpTx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tx != nil && m.httpTxs[tx.id] == tx {
		delete(m.httpTxs, tx.id)
	}
}

// txAPI is the state of one request of the transactional API.
type txAPI struct {
	*httpRequest
	db     string
	root   string // URL of the collection of transactions
	tx     *httpTx
	t      *transaction
	commit bool
	out    *body
	marks  []string // bookmarks of the commit
}

// transactional answers /db/{db}/tx… and /db/data/transaction…; rest is what follows.
func (h *httpRequest) transactional(db string, rest []string) {
	a := &txAPI{httpRequest: h, db: db, root: h.base() + "/db/" + db + "/tx"}
	if !h.m.release().multi() {
		a.root = h.base() + "/db/data/transaction"
	}
	last := ""
	if len(rest) > 0 {
		last = rest[len(rest)-1]
	}
	switch {
	case h.r.Method == http.MethodDelete && len(rest) == 1 && last != "commit":
		a.rollbackTx(last)
	case h.r.Method != http.MethodPost:
		h.w.Header().Set("Allow", "POST, DELETE")
		h.text(http.StatusMethodNotAllowed, "text/plain", "")
	case len(rest) == 0:
		a.open(false)
	case len(rest) == 1 && last == "commit":
		a.open(true)
	case len(rest) == 1 || len(rest) == 2 && last == "commit":
		a.commit = len(rest) == 2
		a.resume(rest[0])
	default:
		h.notFound()
	}
}

// open begins a transaction: one of its own for tx/commit, else one that stays.
func (a *txAPI) open(commit bool) {
	a.commit = commit
	w, f := a.headerWork(a.db)
	if f == nil {
		a.t, f = a.asker().begin(w, a.ctx().Done())
	}
	switch {
	case f != nil && (f.Code == bolt.CodeDatabaseNotFound || f.Code == bolt.CodeDatabaseUnavailable):
		a.failure(http.StatusNotFound, f)
		return
	case f != nil:
		a.json(http.StatusOK, map[string]any{"results": []any{}, "errors": errorList(f)})
		return
	}
	status := http.StatusOK
	if !commit {
		status = http.StatusCreated
		a.tx = a.m.keepTx(a.t, func() string { // called with the member's mu held
			a.m.lastTx++
			return strconv.FormatInt(a.m.lastTx, 10)
		})
		a.w.Header().Set("Location", a.root+"/"+a.tx.id)
	}
	a.answer(status)
}

func (a *txAPI) resume(id string) {
	a.tx = a.m.heldTx(id, a.user, a.db)
	if a.tx == nil {
		a.unknownTx()
		return
	}
	a.tx.busy.Lock()
	defer a.tx.busy.Unlock()
	a.t = a.tx.transaction
	a.answer(http.StatusOK)
}

func (a *txAPI) unknownTx() {
	f := failure(codeTxNotFound, "Unrecognized transaction id. Transaction may have timed out and been rolled back.")
	a.json(http.StatusNotFound, map[string]any{"results": []any{}, "errors": errorList(f)})
}

func (a *txAPI) rollbackTx(id string) {
	tx := a.m.heldTx(id, a.user, a.db)
	if tx == nil {
		a.unknownTx()
		return
	}
	a.m.dropHTTPTx(tx)
	a.json(http.StatusOK, map[string]any{"results": []any{}, "errors": []any{}})
}

// answer runs the statements and streams their results; 3.x names the commit URL first, later versions last.
func (a *txAPI) answer(status int) {
	_ = http.NewResponseController(a.w).EnableFullDuplex() // results go out while statements still come in
	a.w.Header().Set("Content-Type", "application/json")
	a.w.WriteHeader(status)
	a.out = newBody(a.httpRequest)
	a.out.text("{")
	if !a.m.release().multi() && !a.commit {
		a.commitURL()
		a.out.text(",")
	}
	a.out.text(`"results":[`)
	f := a.statements()
	a.out.text("]")
	if f == nil && a.commit {
		f = a.finish()
	}
	if f != nil || a.commit {
		a.m.dropHTTPTx(a.tx)
	}
	a.tail(f)
	a.out.flush()
}

func (a *txAPI) commitURL() {
	a.out.text(`"commit":`)
	a.out.value(a.root + "/" + a.tx.id + "/commit")
}

func (a *txAPI) statements() *bolt.Failure {
	first := true
	return statements(a.r.Body, func(s *statement) *bolt.Failure {
		r, f := a.t.run(s.Statement, s.params(), a.ctx().Done())
		if f != nil {
			return f
		}
		if !first {
			a.out.text(",")
		}
		first = false
		a.out.text(`{"columns":`)
		a.out.value(r.fields)
		a.out.text(`,"data":[`)
		f = a.out.rows(r, `{"row":[`, `],"meta":[]}`, ",")
		a.out.text("]")
		if s.IncludeStats {
			a.out.text(`,"stats":`)
			a.out.value(httpStats(r))
		}
		a.out.text("}")
		return f
	})
}

func httpStats(r *result) map[string]any {
	created, _ := r.stats["nodes-created"].(int64)
	return map[string]any{"contains_updates": len(r.stats) > 0, "nodes_created": created}
}

// finish commits.
func (a *txAPI) finish() *bolt.Failure {
	if a.t.end.close == "commit" {
		a.out.flush()
		panic(http.ErrAbortHandler)
	}
	bookmark, f := a.t.commit(a.ctx().Done())
	if f == nil && a.t.end.close == "committed" {
		a.out.flush()
		panic(http.ErrAbortHandler)
	}
	a.marks = []string{bookmark}
	return f
}

func (a *txAPI) tail(f *bolt.Failure) {
	open := f == nil && !a.commit
	expires := func() {
		a.out.text(`,"transaction":`)
		a.out.value(map[string]any{"expires": time.Now().Add(a.m.c.opt.TxIdle).UTC().Format(time.RFC1123)})
	}
	if open && !a.m.release().multi() {
		expires()
	}
	a.out.text(`,"errors":`)
	a.out.value(errorList(f))
	switch {
	case open && a.m.release().multi():
		a.out.text(",")
		a.commitURL()
		expires()
	case f == nil && a.commit && a.m.release().atLeast(5, 0):
		a.out.text(`,"lastBookmarks":`)
		a.out.value(a.marks)
	}
	a.out.text("}")
}
