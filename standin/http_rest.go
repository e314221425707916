package standin

import (
	"encoding/json"
	"net/http"

	"github.com/boltgate/boltgate/bolt"
)

// restRoot answers GET /db/data/ of 3.x and before.
func (h *httpRequest) restRoot() {
	base := h.base() + "/db/data/"
	h.json(http.StatusOK, map[string]any{
		"node": base + "node", "relationship": base + "relationship", "transaction": base + "transaction", "cypher": base + "cypher",
		"batch": base + "batch", "neo4j_version": h.m.release().text, "member": h.m.name, "role": h.m.c.Role("", h.m.name).String(),
	})
}

// rest answers every other path below /db/data/: it describes the member; a method that changes something is a write, with
// the path as its mark.
func (h *httpRequest) rest() {
	t, f := h.asker().begin(work{mode: "w"}, h.ctx().Done())
	text := "MATCH (n) RETURN n"
	write := h.r.Method != http.MethodGet && h.r.Method != http.MethodHead
	if write {
		text = "CREATE (n) RETURN n"
	}
	var r *result
	if f == nil {
		r, f = t.run(text, map[string]any{"mark": h.r.URL.Path}, h.ctx().Done())
	}
	if f == nil {
		_, f = t.commit(h.ctx().Done())
	}
	if f != nil {
		h.restFailure(f)
		return
	}
	status := http.StatusOK
	if write && h.r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	answer := make(map[string]any)
	row, _ := r.row(0) // a description never fails
	for i, name := range r.fields {
		answer[name] = row[i]
	}
	h.json(status, answer)
}

func (h *httpRequest) restFailure(f *bolt.Failure) {
	h.json(http.StatusInternalServerError, map[string]any{"message": f.Message, "exception": "TransactionFailureException",
		"errors": errorList(f)})
}

// cypherEndpoint answers POST /db/data/cypher: one statement, committed.
func (h *httpRequest) cypherEndpoint() {
	var q struct {
		Query  string         `json:"query"`
		Params map[string]any `json:"params"`
	}
	d := json.NewDecoder(h.r.Body)
	d.UseNumber()
	if err := d.Decode(&q); err != nil {
		h.failure(http.StatusBadRequest, failure(bolt.CodeInvalidFormat, "%v", err))
		return
	}
	params, _ := decoded(q.Params).(map[string]any)
	t, f := h.asker().begin(work{mode: "w"}, h.ctx().Done())
	var r *result
	if f == nil {
		r, f = t.run(q.Query, params, h.ctx().Done())
	}
	if f == nil {
		_, f = t.commit(h.ctx().Done())
	}
	if f != nil {
		h.json(http.StatusBadRequest, map[string]any{"message": f.Message, "errors": errorList(f)})
		return
	}
	h.w.Header().Set("Content-Type", "application/json")
	out := newBody(h)
	out.text(`{"columns":`)
	out.value(r.fields)
	out.text(`,"data":[`)
	_ = out.rows(r, "[", "]", ",")
	out.text("]}")
	out.flush()
}
