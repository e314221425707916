package admin

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns /metrics: what the counters say, read at each scrape and at no other time. Labels are names of members,
// frontends, databases and backup jobs, and codes of failures, each of a bounded number.

const maxLabelled = 200 // databases that are told apart

func describeMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("boltgate_"+name, help, labels, nil)
}

// The metrics. A new one also stands in docs/admin.md.
var (
	mInfo        = describeMetric("info", "1, with the version of the gate.", "version")
	mReady       = describeMetric("ready", "1 while the gate takes new clients, as /readyz says.")
	mUp          = describeMetric("member_up", "1 while the checks find the member up.", "member")
	mCondition   = describeMetric("member_condition", "1 for the condition that the operator asked for.", "member", "condition")
	mLeader      = describeMetric("database_has_leader", "1 while the database has a leader that takes writes.", "database")
	mCheckTook   = describeMetric("member_check_seconds", "What the last check of the member took.", "member")
	mCheckFailed = describeMetric("member_check_failures_total", "Checks that failed while the member was up.", "member")
	mFalls       = describeMetric("member_falls_total", "How often the member went down.", "member")
	mRole        = describeMetric("member_role", "1 for the role of the member for the database.", "member", "database", "role")
	mLag         = describeMetric("member_lag_transactions", "Transactions that the member is behind the leader, where that is known.", "member", "database")
	mInFlight    = describeMetric("member_in_flight", "Units of work at the member.", "member")
	mQueued      = describeMetric("member_queued", "Units of work that wait for a place at the member.", "member")
	mSlots       = describeMetric("member_slots", "Units of work that the member takes at once.", "member")
	mConnections = describeMetric("member_connections", "Bolt connections to the member.", "member")
	mIdle        = describeMetric("member_connections_idle", "Connections to the member without work, of Bolt and HTTP.", "member")
	mOpened      = describeMetric("member_connections_opened_total", "Connections that were opened to the member.", "member")
	mBroken      = describeMetric("member_broken_total", "Units of work with which a connection to the member was given up.", "member")
	mFailures    = describeMetric("member_failures_total", "Failures that the member answered, whether or not a client saw them.", "member", "code")
	mDuration    = describeMetric("unit_duration_seconds", "From when the member was had for a unit of work to the unit's end.", "member", "access", "protocol")
	mMemberIn    = describeMetric("member_bytes_in_total", "Bytes of requests to the member, of units of work that ended.", "member")
	mMemberOut   = describeMetric("member_bytes_out_total", "Bytes of the member's answers, of units of work that ended.", "member")
	mClients     = describeMetric("frontend_connections", "Client connections.", "frontend")
	mWorking     = describeMetric("frontend_connections_working", "Client connections with work.", "frontend")
	mMaxClients  = describeMetric("frontend_connections_max", "Client connections at most; 0 without a limit.", "frontend")
	mAccepted    = describeMetric("frontend_connections_total", "Client connections that were accepted.", "frontend")
	mRefused     = describeMetric("frontend_connections_refused_total", "Client connections that the frontend does not let in.", "frontend")
	mUnits       = describeMetric("frontend_units_total", "Units of work that were given to a member.", "frontend", "access", "protocol")
	mFrontIn     = describeMetric("frontend_bytes_in_total", "Bytes from clients.", "frontend")
	mFrontOut    = describeMetric("frontend_bytes_out_total", "Bytes to clients.", "frontend")
	mFailed      = describeMetric("frontend_failures_total", "Failures that the gate itself answered.", "frontend", "code")
	mHeld        = describeMetric("held_units", "Units of work that wait for a leader, or for any member.")
	mHeldBytes   = describeMetric("held_bytes", "Bytes of the requests of held units of work.")
	mInDoubt     = describeMetric("in_doubt_total", "Commits whose answer was lost: whether they are there is not known.")
	mResent      = describeMetric("resent_total", "Units of work that were sent again, by why.", "why")
	mCertificate = describeMetric("certificate_end_timestamp_seconds", "When the certificate that is shown to clients or operators ends, as Unix time.", "of")
	mBackup      = describeMetric("backup_last_timestamp_seconds", "When the backup job last ended well, as Unix time; left out when nothing of it was found.", "backup") // not "job": Prometheus has that for itself
	mBackupDue   = describeMetric("backup_due_timestamp_seconds", "When the backup job is overdue, as Unix time.", "backup")
	mSpans       = describeMetric("spans_sent_total", "Spans that the collector took.")
	mSpansLost   = describeMetric("spans_dropped_total", "Spans that the collector did not get or take, by why.", "why")
	mLimited     = describeMetric("limited_total", "What limits did beside turning away: units of work ended or refused for good, idle clients closed, log-ons slowed.", "limit")
	mReplays     = describeMetric("replays_total", "Transactions whose member was lost with failover.replay, by how that ended.", "end")
	mTurned      = describeMetric("turned_away_total", "Units of work that were told to come back later, by why.", "why")
)

// getMetrics answers scrapes; who may is in the newest options.
func (s *Server) getMetrics() http.HandlerFunc {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	open := promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	known := s.need(Viewer)(open)
	return func(w http.ResponseWriter, r *http.Request) {
		if s.state.Load().MetricsLogin {
			known.ServeHTTP(w, r)
			return
		}
		open.ServeHTTP(w, r)
	}
}

// collector reads everything at a scrape.
type collector struct{ *Server }

// Describe says nothing: which series there are changes with the members.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	v := c.world.Current.View()
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	gauge(mInfo, 1, c.world.Version)
	gauge(mReady, truth(c.ready()))
	c.collectCounts(out)
	dbs := databasesOf(v)
	for _, db := range dbs[:min(len(dbs), maxLabelled)] {
		if !db.Stopped {
			gauge(mLeader, truth(db.Leader != ""), db.Name)
		}
	}
	for _, m := range v.Members {
		c.collectMember(out, m, dbs[:min(len(dbs), maxLabelled)])
	}
	c.collectFrontends(out)
	for of, ends := range c.world.Certificates() {
		if !ends.IsZero() {
			gauge(mCertificate, float64(ends.Unix()), of)
		}
	}
	for _, b := range c.world.Backups() {
		if !b.Last.IsZero() {
			gauge(mBackup, float64(b.Last.Unix()), b.Job)
		}
		gauge(mBackupDue, float64(b.Due.Unix()), b.Job)
	}
}

// collectCounts tells what did not go the straight way.
func (c collector) collectCounts(out chan<- prometheus.Metric) {
	n := c.world.Gate.Counts()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
	}
	send(mHeld, prometheus.GaugeValue, n.Held)
	send(mHeldBytes, prometheus.GaugeValue, n.HeldBytes)
	send(mInDoubt, prometheus.CounterValue, n.InDoubt)
	send(mSpans, prometheus.CounterValue, int64(n.Spans.Sent))
	send(mSpansLost, prometheus.CounterValue, int64(n.Spans.Full), "queue_full")
	send(mSpansLost, prometheus.CounterValue, int64(n.Spans.Refused), "refused")
	send(mSpansLost, prometheus.CounterValue, int64(n.Spans.Lost), "unreachable")
	for why, count := range n.Resent {
		send(mResent, prometheus.CounterValue, count, why)
	}
	for limit, count := range n.Limited {
		send(mLimited, prometheus.CounterValue, count, limit)
	}
	for end, count := range n.Replays {
		send(mReplays, prometheus.CounterValue, count, end)
	}
	for why, count := range n.Refused {
		send(mTurned, prometheus.CounterValue, count, why)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c collector) collectMember(out chan<- prometheus.Metric, m *cluster.Status, dbs []DatabaseInfo) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, n, append([]string{m.Name}, labels...)...)
	}
	send(mUp, prometheus.GaugeValue, truth(m.Up))
	checks := c.world.Monitor.Checks(m.Name)
	send(mCheckTook, prometheus.GaugeValue, checks.Took.Seconds())
	send(mCheckFailed, prometheus.CounterValue, float64(checks.Failed))
	send(mFalls, prometheus.CounterValue, float64(checks.Falls))
	for name, condition := range conditions {
		send(mCondition, prometheus.GaugeValue, truth(m.Condition == condition), name)
	}
	for _, db := range dbs {
		if role, ok := m.Roles[db.Name]; ok {
			send(mRole, prometheus.GaugeValue, 1, db.Name, role.String())
		}
		if behind, known := lagOf(m, db.Name); known {
			send(mLag, prometheus.GaugeValue, float64(behind), db.Name)
		}
	}
	p, n := c.world.Pools.Stats(m.Name), c.world.Pools.Counters(m.Name)
	send(mInFlight, prometheus.GaugeValue, float64(p.InFlight))
	send(mQueued, prometheus.GaugeValue, float64(p.Queued))
	send(mSlots, prometheus.GaugeValue, float64(c.world.Pools.Slots(m.Member)))
	send(mConnections, prometheus.GaugeValue, float64(p.Open))
	send(mIdle, prometheus.GaugeValue, float64(p.Idle))
	send(mOpened, prometheus.CounterValue, float64(n.Opened))
	send(mBroken, prometheus.CounterValue, float64(n.Broken))
	send(mMemberIn, prometheus.CounterValue, float64(n.In))
	send(mMemberOut, prometheus.CounterValue, float64(n.Out))
	for code, count := range n.Failures {
		send(mFailures, prometheus.CounterValue, float64(count), code)
	}
	for i, protocol := range protocolNames {
		out <- durations(&n.Writes[i], m.Name, "write", protocol)
		out <- durations(&n.Reads[i], m.Name, "read", protocol)
	}
}

var protocolNames = [...]string{pool.Bolt: "bolt", pool.HTTPUnits: "http"}

func durations(h *pool.Histogram, labels ...string) prometheus.Metric {
	buckets, n := make(map[float64]uint64, len(pool.Bounds)), uint64(0)
	for i, bound := range pool.Bounds {
		n += h.Buckets[i]
		buckets[bound.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(mDuration, h.Count(), h.Sum.Seconds(), buckets, labels...)
}

func (c collector) collectFrontends(out chan<- prometheus.Metric) {
	for name, f := range c.world.Gate.Frontends() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, n float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, kind, n, slices.Concat([]string{name}, labels)...)
		}
		send(mClients, prometheus.GaugeValue, float64(f.Open))
		send(mWorking, prometheus.GaugeValue, float64(f.Working))
		send(mMaxClients, prometheus.GaugeValue, float64(f.Max))
		send(mAccepted, prometheus.CounterValue, float64(f.Accepted))
		send(mRefused, prometheus.CounterValue, float64(f.Refused))
		send(mFrontIn, prometheus.CounterValue, float64(f.In))
		send(mFrontOut, prometheus.CounterValue, float64(f.Out))
		for i, protocol := range protocolNames {
			send(mUnits, prometheus.CounterValue, float64(f.Writes[i]), "write", protocol)
			send(mUnits, prometheus.CounterValue, float64(f.Reads[i]), "read", protocol)
		}
		for code, count := range f.Failures {
			send(mFailed, prometheus.CounterValue, float64(count), code)
		}
	}
}
