package admin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/querystats"
)

// This file owns what the API tells of queries: which shapes of text take the gate's time, and which runs were slow. Texts are in normal form;
// no literal, and no parameter, is in any answer.

const (
	usualTop = 100
	maxTop   = querystats.MaxShapes + 1
)

// limitOf reads the parameter limit, or answers that it is wrong.
func (s *Server) limitOf(w http.ResponseWriter, r *http.Request, usual, most int) (limit int, ok bool) {
	if !r.URL.Query().Has("limit") {
		return usual, true
	}
	n, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || n < 1 || n > most {
		s.fail(w, http.StatusBadRequest, "limit is a number from 1 to "+strconv.Itoa(most))
		return 0, false
	}
	return n, true
}

func (s *Server) getTop(w http.ResponseWriter, r *http.Request) {
	limit, ok := s.limitOf(w, r, usualTop, maxTop)
	if !ok {
		return
	}
	order := querystats.ByTime
	if r.URL.Query().Has("order") {
		var err error
		if order, err = querystats.ParseOrder(r.URL.Query().Get("order")); err != nil {
			s.fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	s.reply(w, s.top(order, limit))
}

func (s *Server) getSlow(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.slow()) }

func (s *Server) top(order string, limit int) TopInfo {
	r := s.world.Gate.Queries().Top(order, limit)
	info := TopInfo{Since: r.Since, Shapes: r.Shapes, Calls: r.Calls, Failed: r.Failed, Total: inMS(r.Total), Queries: []QueryInfo{}}
	for i := range r.Top {
		q := &r.Top[i]
		info.Queries = append(info.Queries, QueryInfo{ID: int(q.ID), Text: q.Text, Calls: q.Calls, Failed: q.Failed, Rows: q.Rows, Total: inMS(q.Total), Mean: inMS(q.Mean()),
			Longest: inMS(q.Longest), Latency: Latency{P50: inMS(q.P50), P95: inMS(q.P95), P99: inMS(q.P99)}, Share: q.Share})
	}
	return info
}

func (s *Server) slow() []SlowInfo {
	all := []SlowInfo{}
	for _, q := range s.world.Gate.SlowQueries() {
		all = append(all, slowOf(q))
	}
	return all
}

func slowOf(q proxy.SlowQuery) SlowInfo {
	access := "write"
	if q.Read {
		access = "read"
	}
	return SlowInfo{Time: q.At, Text: q.Text, Took: inMS(q.Took), Rows: q.Rows, Failed: q.Failed, Session: q.Session, User: q.User, Frontend: q.Frontend,
		Address: q.Client, Member: q.Member, Database: q.Database, Access: access, Trace: q.Trace}
}

// inMS is a duration in milliseconds.
func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
