package bench

// This file owns the comparison: which runs are made, in which order. How contenders are started is in contender.go, memory in memory.go, and
// what is printed in report.go.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Plan says what a comparison measures. DefaultPlan fills it in; its zero value measures nothing.
type Plan struct {
	Contenders []string // Direct and proxies; those that this machine lacks are skipped and said so
	Only       []string // measurements by name; none: all
	Program    string   // a boltgate, which serves as generator and instant server; "": this one
	Gate       string   // a boltgate, which is measured; "": Program

	Real, RealUser, RealPassword string // HOST:PORT (Bolt) of a real Neo4j for connect-real; "": skipped and said so
	StartReal                    func() // called when that server's turn has come; may set the fields of the line before. nil: nothing to do

	Duration        time.Duration // counted in a round of the closed loop
	Rounds          int           // of it, interleaved over the contenders
	LatencyDuration time.Duration // counted in a round at equal offered load
	LatencyRounds   int           // of it, interleaved
	Warmup          time.Duration // before each round
	Load            float64       // offered load as part of the slowest contender's throughput
	Clients         int           // connections at work
	IdleClients     int           // logged-on clients whose memory is measured
	ProxyCore       int           // core of the proxies; negative: any
	LoadCore        int           // core of generator and instant server; negative: any

	Log io.Writer // progress; nil: none
}

// The contenders.
const (
	Direct   = "direct"
	HAProxy  = "haproxy"
	BareGo   = "relay"     // one goroutine a client, no gate at all: what Go itself costs
	BareGo2  = "relay-two" // the same with two
	Boltgate = "boltgate"
)

// DefaultPlan returns the plan whose figures docs/performance.md shows: some 15 minutes.
func DefaultPlan() *Plan {
	return &Plan{
		Contenders: []string{Direct, HAProxy, BareGo, BareGo2, Boltgate},
		Duration:   10 * time.Second, Rounds: 3, LatencyDuration: 5 * time.Second, LatencyRounds: 5, Warmup: time.Second,
		Load: 0.5, Clients: 32, IdleClients: 5000, LoadCore: min(1, runtime.NumCPU()-1),
	}
}

// QuickPlan returns a short plan, of some 3 minutes: for trying, not for figures to keep.
func QuickPlan() *Plan {
	p := DefaultPlan()
	p.Duration, p.Rounds, p.LatencyDuration, p.LatencyRounds = 5*time.Second, 1, 2*time.Second, 3
	p.Warmup, p.IdleClients = 500*time.Millisecond, 2000
	return p
}

// measurement is one line of load.
type measurement struct {
	name string
	mode Mode
	real bool // against Plan.Real
	rate bool // also at equal offered load
}

var measurements = []measurement{
	{name: "auto-commit", mode: Auto, rate: true},
	{name: "explicit", mode: Explicit, rate: true},
	{name: "http-get", mode: Get, rate: true},
	{name: "http-post", mode: Post, rate: true},
	{name: "connect", mode: Connect},
	{name: "connect-real", mode: Connect, real: true},
}

// warmJava is what a real server gets to compile its log-on before it counts.
const warmJava = 15 * time.Second

const (
	idleMemory  = "idle-memory"
	startMemory = "start-memory"
)

// MeasurementNames are the names that Plan.Only takes.
func MeasurementNames() []string {
	var names []string
	for _, m := range measurements {
		names = append(names, m.name)
	}
	return append(names, idleMemory, startMemory)
}

func (p *Plan) wants(name string) bool { return len(p.Only) == 0 || slices.Contains(p.Only, name) }

func (p *Plan) logf(format string, args ...any) {
	if p.Log != nil {
		fmt.Fprintf(p.Log, format+"\n", args...)
	}
}

// Run makes all measurements. An error means that one could not be made at all.
func (p *Plan) Run(ctx context.Context) (*Report, error) {
	for _, name := range p.Only {
		if !slices.Contains(MeasurementNames(), name) {
			return nil, fmt.Errorf("%w: no measurement %q; there are %v", errUsage, name, MeasurementNames())
		}
	}
	c := &comparison{plan: p, ctx: ctx, report: newReport(p)}
	defer c.end()
	return c.report, c.run()
}

// comparison is a plan under way.
type comparison struct {
	plan   *Plan
	ctx    context.Context
	report *Report
	self   string
	folder string // of configuration files; removed at the end
	live   []*process
}

func (c *comparison) run() (err error) {
	if c.self = c.plan.Program; c.self == "" {
		if c.self, err = os.Executable(); err != nil {
			return err
		}
	}
	if c.folder, err = os.MkdirTemp("", "boltgate-bench-"); err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		c.skip("cores", "this machine has one core only: proxy and load share it, so throughput and times say little")
		c.plan.ProxyCore, c.plan.LoadCore = -1, -1
	}
	if err := c.instantMeasurements(); err != nil {
		return err
	}
	if c.plan.wants(idleMemory) {
		if err := c.measureIdle(); err != nil {
			return err
		}
	}
	if c.plan.wants(startMemory) {
		if err := c.measureStart(); err != nil {
			return err
		}
	}
	return c.realMeasurement() // last: a Java server that runs would disturb the others
}

// skip says loudly what is not measured.
func (c *comparison) skip(what, why string) {
	text := what + ": " + why
	if !slices.Contains(c.report.Skipped, text) {
		c.report.Skipped = append(c.report.Skipped, text)
		c.plan.logf("\n*** SKIPPED: %s\n", text)
	}
}

func (c *comparison) instantMeasurements() error {
	var list []measurement
	for _, m := range measurements {
		if !m.real && c.plan.wants(m.name) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	members, err := c.startInstant("")
	if err != nil {
		return err
	}
	defer c.endProcesses()
	contenders, err := c.start(scene{members: members, generation: "standalone", checkPath: "/", auth: login{"neo4j", "bench"}, await: modes(list)})
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := c.measure(m, contenders, login{"neo4j", "bench"}); err != nil {
			return err
		}
	}
	return nil
}

func modes(list []measurement) []Mode {
	var all []Mode
	for _, m := range list {
		all = append(all, m.mode)
	}
	return all
}

func (c *comparison) realMeasurement() error {
	m := measurements[len(measurements)-1]
	if !c.plan.wants(m.name) {
		return nil
	}
	if c.plan.StartReal != nil {
		c.plan.StartReal()
	}
	if c.plan.Real == "" {
		c.skip(m.name, "there is no real Neo4j (make bench starts one where Java is; bench compare takes --real HOST:PORT)")
		return nil
	}
	auth := login{c.plan.RealUser, c.plan.RealPassword}
	s := scene{members: []Addresses{{Bolt: c.plan.Real}}, generation: "standalone", auth: auth, await: []Mode{m.mode}}
	contenders, err := c.start(s)
	if err != nil {
		return err
	}
	defer c.endProcesses()
	if _, err := c.generate(m, contenders[0], auth, warmJava, 0); err != nil { // not counted: a young JVM would make the first rounds slow
		return err
	}
	return c.measure(m, contenders, auth)
}

// measure makes the rounds of one measurement: first the closed loop, then, from what it found, equal offered load.
func (c *comparison) measure(m measurement, contenders []*contender, auth login) error {
	least := 0.0
	for round := range c.plan.Rounds {
		for _, k := range rotate(contenders, round) {
			r, err := c.round(m, k, auth, c.plan.Duration, 0)
			if err != nil {
				return err
			}
			c.report.add(m, k.name, round, r)
			if least == 0 || r.PerSecond < least {
				least = r.PerSecond
			}
		}
	}
	if !m.rate {
		return nil
	}
	rate := float64(int(least * c.plan.Load))
	for round := range c.plan.LatencyRounds {
		for _, k := range rotate(contenders, round) {
			r, err := c.round(m, k, auth, c.plan.LatencyDuration, rate)
			if err != nil {
				return err
			}
			c.report.add(m, k.name, round, r)
		}
	}
	return nil
}

// rotate returns the list beginning with another element each round, so that drift of the machine meets all alike.
func rotate[T any](list []T, by int) []T {
	at := by % max(len(list), 1)
	return append(slices.Clone(list[at:]), list[:at]...)
}

// round makes one run that counts.
func (c *comparison) round(m measurement, k *contender, auth login, counted time.Duration, rate float64) (Result, error) {
	r, err := undisturbed(func() (Result, error) { return c.generate(m, k, auth, counted, rate) }, machineSteal, c.rest)
	if err == nil {
		c.plan.logf("%-12s %-9s %s", m.name, k.name, r.line())
	}
	return r, err
}

// rest waits, unless the comparison ends.
func (c *comparison) rest(d time.Duration) error {
	c.plan.logf("the machine's host took its time away; resting for %v", d)
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// generate makes one run, in a process of its own on the load core.
func (c *comparison) generate(m measurement, k *contender, auth login, counted time.Duration, rate float64) (Result, error) {
	args := []string{
		"bench", k.uri(m.mode), "--json", "--mode", string(m.mode), "--user", auth.user, "--clients", strconv.Itoa(c.plan.Clients),
		"--duration", counted.String(), "--warmup", c.plan.Warmup.String(), "--watch-pid", strconv.Itoa(k.pid()),
	}
	if rate > 0 {
		args = append(args, "--rate", strconv.FormatFloat(rate, 'f', -1, 64))
	}
	cmd := exec.CommandContext(c.ctx, c.self, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "BOLTGATE_PASSWORD="+auth.password)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := startOn(cmd, c.plan.LoadCore)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return Result{}, fmt.Errorf("bench: %s through %s: %w: %s", m.name, k.name, err, bytes.TrimSpace(complaint.Bytes()))
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("bench: %s through %s: %w", m.name, k.name, err)
	}
	return r, nil
}

// median of an odd number of values; of an even one, the upper of the middle two. 0 of none.
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

func (c *comparison) end() {
	c.endProcesses()
	if c.folder != "" {
		os.RemoveAll(c.folder) //nolint:errcheck // a temporary folder
	}
}

func (c *comparison) endProcesses() {
	for _, p := range slices.Backward(c.live) {
		p.end()
	}
	c.live = nil
}

var errGone = errors.New("bench: the process ended")
