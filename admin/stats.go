package admin

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
)

// This file owns /stats;csv and /stats;json: what HAProxy's scrapers read, under HAProxy's names. A column that has no
// meaning here, or is not known, stays empty, as HAProxy does it.

// columns are those of HAProxy 2.6, in its order.
var columns = strings.Split("pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,"+
	"chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,"+
	"check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,"+
	"comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,"+
	"check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,"+
	"conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,"+
	"rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight", ",")

// The types of rows.
const (
	frontendRow = "0"
	backendRow  = "1"
	serverRow   = "2"
)

// backendName is the proxy under which the members stand.
const backendName = "members"

type row map[string]string

func (r row) set(column string, value any) { r[column] = fmt.Sprint(value) }

// statsRows are the frontends, the members, and the members together.
func (s *Server) statsRows() []row {
	s.sampler.look()
	var rows []row
	for i, f := range s.frontends() {
		r := row{"pxname": f.Name, "svname": "FRONTEND", "status": "OPEN", "type": frontendRow, "pid": "1", "mode": "tcp"}
		r.set("iid", i+2)
		r.set("sid", 0)
		r.set("scur", f.Open)
		r.set("slim", f.Max)
		r.set("stot", f.Accepted)
		r.set("conn_tot", f.Accepted)
		r.set("dcon", f.Refused)
		r.set("req_tot", f.Units)
		r.set("rate", whole(f.ConnectionRate))
		r.set("conn_rate", whole(f.ConnectionRate))
		r.set("req_rate", whole(f.Rate))
		r.set("bin", f.BytesIn)
		r.set("bout", f.BytesOut)
		r.set("ereq", sum(f.Failures))
		rows = append(rows, r)
	}
	return append(rows, s.memberRows()...)
}

func (s *Server) memberRows() (rows []row) {
	all := row{"pxname": backendName, "svname": "BACKEND", "status": "DOWN", "type": backendRow, "pid": "1", "iid": "1", "sid": "0", "mode": "tcp"}
	total := map[string]float64{}
	v := s.world.Current.View()
	for i, m := range v.Members {
		info := s.member(v, m)
		r := memberRow(m, info)
		r.set("sid", i+1)
		for _, column := range []string{"qcur", "scur", "slim", "stot", "bin", "bout", "eresp", "econ", "rate", "lbtot", "act", "weight", "chkfail", "idle_conn_cur", "used_conn_cur"} {
			n, _ := strconv.ParseFloat(r[column], 64)
			total[column] += n
		}
		if m.Up && m.Condition == cluster.Ready {
			all["status"] = "UP"
		}
		rows = append(rows, r)
	}
	for column, n := range total {
		all.set(column, whole(n))
	}
	all["req_tot"] = all["stot"]
	all.set("wredis", sum(s.world.Gate.Counts().Resent))
	return append(rows, all)
}

func memberRow(m *cluster.Status, info MemberInfo) row {
	r := row{"pxname": backendName, "svname": m.Name, "type": serverRow, "pid": "1", "iid": "1", "mode": "tcp", "bck": "0", "act": "0", "addr": m.Bolt,
		"status": serverStatus(m), "last_chk": info.LastError, "check_status": checkStatus[info.Check.Result]}
	if m.Bolt == "" {
		r["addr"] = m.HTTP
	}
	if m.Up && m.Condition == cluster.Ready {
		r["act"] = "1"
	}
	r.set("qcur", info.Queued)
	r.set("scur", info.InFlight)
	r.set("slim", info.Slots)
	r.set("stot", info.Units)
	r.set("lbtot", info.Units)
	r.set("req_tot", info.Units)
	r.set("bin", info.BytesIn)
	r.set("bout", info.BytesOut)
	r.set("eresp", sum(info.Failures))
	r.set("econ", info.Broken)
	r.set("weight", info.Weight)
	r.set("uweight", info.Weight)
	r.set("rate", whole(info.Rate))
	r.set("lastchg", int(time.Since(m.Since).Seconds()))
	r.set("downtime", whole(info.Check.Down))
	r.set("chkfail", info.Check.Failed)
	r.set("chkdown", info.Check.Falls)
	r.set("check_duration", whole(info.Check.Took))
	r.set("ttime", whole(info.Latency.P50))
	r.set("idle_conn_cur", info.Idle)
	r.set("used_conn_cur", info.InFlight)
	return r
}

// checkStatus is what HAProxy calls the result of a check.
var checkStatus = map[string]string{
	health.NotChecked.String(): "INI", health.Passed.String(): "L7OK", health.Connected.String(): "L4OK", health.Unreachable.String(): "L4CON",
	health.TimedOut.String(): "L7TOUT", health.Wrong.String(): "L7RSP",
}

func serverStatus(m *cluster.Status) string {
	switch {
	case m.Condition == cluster.Maint:
		return "MAINT"
	case !m.Up:
		return "DOWN"
	case m.Condition == cluster.Drain:
		return "DRAIN"
	}
	return "UP"
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

func sum[N int64 | uint64](m map[string]N) (n N) {
	for v := range maps.Values(m) {
		n += v
	}
	return n
}

func (s *Server) getStatsCSV(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // as HAProxy's
	fmt.Fprint(w, "# ")
	out := csv.NewWriter(w)
	out.Write(append(slices.Clip(columns), "")) //nolint:errcheck // the reader is gone
	for _, r := range s.statsRows() {
		fields := make([]string, len(columns)+1) // HAProxy ends each line with a comma
		for i, column := range columns {
			fields[i] = r[column]
		}
		out.Write(fields) //nolint:errcheck // as above
	}
	out.Flush()
}

func (s *Server) getStatsJSON(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.statsRows()) }
