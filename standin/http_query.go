package standin

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// queryRequest is the body of a Query API request.
type queryRequest struct {
	statement
	AccessMode       string   `json:"accessMode"`
	Bookmarks        []string `json:"bookmarks"`
	ImpersonatedUser string   `json:"impersonatedUser"`
	IncludeCounters  bool     `json:"includeCounters"`
}

const queryIDLength = 4 // hex digits, internal.server.queryapi.transactionid_length

// queryAPI answers /db/{db}/query/v2… (5.19+); rest is what follows.
func (h *httpRequest) queryAPI(db string, rest []string) {
	if h.r.Method == http.MethodDelete && len(rest) == 2 && rest[0] == "tx" {
		if tx := h.queryTx(rest[1], db); tx != nil {
			h.m.dropHTTPTx(tx)
			h.json(http.StatusOK, map[string]any{})
		}
		return
	}
	if h.r.Method != http.MethodPost {
		h.text(http.StatusMethodNotAllowed, "text/plain", "")
		return
	}
	q, f := h.readQuery()
	if f != nil {
		h.failure(http.StatusBadRequest, f)
		return
	}
	switch {
	case len(rest) == 0:
		h.queryOnce(db, q)
	case len(rest) == 1 && rest[0] == "tx":
		h.queryOpen(db, q)
	case rest[0] == "tx" && (len(rest) == 2 || len(rest) == 3 && rest[2] == "commit"):
		h.queryResume(rest[1], db, q, len(rest) == 3)
	default:
		h.notFound()
	}
}

// readQuery reads the body, which may be empty.
func (h *httpRequest) readQuery() (*queryRequest, *bolt.Failure) {
	q := new(queryRequest)
	d := json.NewDecoder(h.r.Body)
	d.UseNumber()
	if err := d.Decode(q); err != nil && err.Error() != "EOF" {
		return nil, failure(bolt.CodeInvalidRequest, "Bad Request: %v", err)
	}
	return q, nil
}

func (h *httpRequest) queryBegin(db string, q *queryRequest) *transaction {
	w := work{db: db, mode: "w", bookmarks: q.Bookmarks, impersonate: q.ImpersonatedUser}
	if strings.EqualFold(q.AccessMode, "read") {
		w.mode = "r"
	}
	t, f := h.asker().begin(w, h.ctx().Done())
	if f != nil {
		h.queryFailure(f)
		return nil
	}
	return t
}

func (h *httpRequest) queryFailure(f *bolt.Failure) {
	status := http.StatusBadRequest
	switch {
	case f.Code == bolt.CodeDatabaseNotFound:
		status = http.StatusNotFound
	case strings.HasPrefix(f.Code, "Neo.DatabaseError"):
		status = http.StatusInternalServerError
	}
	if !h.streamsEvents() {
		h.failure(status, f)
		return
	}
	h.w.Header().Set("Content-Type", h.queryType())
	h.w.WriteHeader(status)
	out := newBody(h)
	out.event("Error", errorList(f))
	out.flush()
}

func (h *httpRequest) queryOnce(db string, q *queryRequest) {
	if t := h.queryBegin(db, q); t != nil {
		h.queryAnswer(t, nil, q, true)
	}
}

func (h *httpRequest) queryOpen(db string, q *queryRequest) {
	t := h.queryBegin(db, q)
	if t == nil {
		return
	}
	tx := h.m.keepTx(t, func() string {
		const digits = "0123456789abcdef"
		var id strings.Builder
		for _, b := range h.m.c.garbage(queryIDLength) {
			id.WriteByte(digits[b&0x0F])
		}
		return id.String()
	})
	h.queryAnswer(t, tx, q, false)
}

func (h *httpRequest) queryTx(id, db string) *httpTx {
	tx := h.m.heldTx(id, h.user, db)
	if tx == nil {
		h.failure(http.StatusNotFound, invalidRequest("Transaction with Id: \"%s\" was not found. It may have timed out and therefore rolled back or the routing header 'neo4j-cluster-affinity' was not provided.", id))
	}
	return tx
}

func (h *httpRequest) queryResume(id, db string, q *queryRequest, commit bool) {
	tx := h.queryTx(id, db)
	if tx == nil {
		return
	}
	if !tx.busy.TryLock() {
		h.failure(http.StatusBadRequest, failure("Neo.ClientError.Transaction.TransactionAccessedConcurrently", "Transaction with Id: \"%s\" is being used by another request.", id))
		return
	}
	defer tx.busy.Unlock()
	h.queryAnswer(tx.transaction, tx, q, commit)
}

// queryAnswer runs the request's statement, if any, and streams 202.
func (h *httpRequest) queryAnswer(t *transaction, tx *httpTx, q *queryRequest, commit bool) {
	var r *result
	if q.Statement != "" || tx == nil {
		var f *bolt.Failure
		if r, f = t.run(q.Statement, q.params(), h.ctx().Done()); f != nil {
			h.m.dropHTTPTx(tx)
			h.queryFailure(f)
			return
		}
	}
	h.w.Header().Set("Content-Type", h.queryType())
	h.w.WriteHeader(http.StatusAccepted)
	out := newBody(h)
	data, end := out.queryData, out.queryEnd
	if h.streamsEvents() {
		data, end = out.queryRecords, out.querySummary
	}
	f := data(r)
	summary := map[string]any{}
	if f == nil && q.IncludeCounters && r != nil {
		created, _ := r.stats["nodes-created"].(int64)
		summary["counters"] = map[string]any{"containsUpdates": len(r.stats) > 0, "nodesCreated": created}
	}
	if f == nil && commit {
		f = h.queryCommit(t, out, summary)
	}
	if f != nil || commit {
		h.m.dropHTTPTx(tx)
	} else {
		summary["transaction"] = map[string]any{"id": tx.id, "expires": time.Now().Add(h.m.c.opt.TxIdle).UTC().Format(time.RFC3339)}
	}
	end(summary, f)
	out.flush()
}

func (h *httpRequest) queryCommit(t *transaction, out *body, summary map[string]any) *bolt.Failure {
	if t.end.close == "commit" {
		out.flush()
		panic(http.ErrAbortHandler)
	}
	bookmark, f := t.commit(h.ctx().Done())
	if f != nil {
		return f
	}
	if t.end.close == "committed" {
		out.flush()
		panic(http.ErrAbortHandler)
	}
	summary["bookmarks"] = []string{bookmark}
	return nil
}

// queryData begins an answer in one piece: with "data", where there is a result.
func (b *body) queryData(r *result) (f *bolt.Failure) {
	b.text("{")
	if r != nil {
		b.text(`"data":{"fields":`)
		b.value(r.fields)
		b.text(`,"values":[`)
		f = b.rows(r, "[", "]", ",")
		b.text("]},")
	}
	return f
}

// queryEnd ends it.
func (b *body) queryEnd(summary map[string]any, f *bolt.Failure) {
	if f != nil {
		summary["errors"] = errorList(f)
	}
	raw, _ := json.Marshal(summary)
	b.text(strings.TrimPrefix(string(raw), "{"))
}

// streamsEvents tells whether the answer is a stream of events, one a line (2025.12+).
func (h *httpRequest) streamsEvents() bool {
	return strings.HasSuffix(h.queryType(), "jsonl")
}

// queryType is the media type of the answer.
func (h *httpRequest) queryType() string {
	if accept := h.r.Header.Get("Accept"); strings.HasSuffix(accept, "jsonl") && h.m.release().atLeast(2025, 12) {
		return accept
	}
	return "application/json"
}

func (b *body) event(name string, v any) {
	b.text(`{"$event":"`, name, `","_body":`)
	b.value(v)
	b.text("}\n")
}

// queryRecords begins such a stream.
func (b *body) queryRecords(r *result) *bolt.Failure {
	if r == nil {
		b.event("Header", map[string]any{})
		return nil
	}
	b.event("Header", map[string]any{"fields": r.fields})
	return b.rows(r, `{"$event":"Record","_body":[`, "]}\n", "")
}

// querySummary ends it.
func (b *body) querySummary(summary map[string]any, f *bolt.Failure) {
	if f != nil {
		b.event("Error", errorList(f))
		return
	}
	b.event("Summary", summary)
}
