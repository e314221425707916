package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a comparison found: every run, and rows worked out from them.
type Report struct {
	Made      time.Time `json:"made"`
	Machine   string    `json:"machine"`
	Kernel    string    `json:"kernel"`
	Cores     int       `json:"cores"`
	Go        string    `json:"go"`
	HAProxy   string    `json:"haproxy"` // version; "" when absent
	ProxyCore int       `json:"proxy_core"`
	LoadCore  int       `json:"load_core"`
	Skipped   []string  `json:"skipped,omitempty"`
	Rows      []Row     `json:"rows"`
	Idle      []Memory  `json:"idle_memory,omitempty"`
	Start     []Memory  `json:"start_memory,omitempty"`
	Runs      []RunLine `json:"runs"`
}

// RunLine is one raw run.
type RunLine struct {
	Measurement string `json:"measurement"`
	Contender   string `json:"contender"`
	Round       int    `json:"round"`
	Result
}

// Row sums up the runs of one measurement by one contender. Ratios are to HAProxy's row, rates' to direct; 0 where there is none.
type Row struct {
	Measurement string  `json:"measurement"`
	Contender   string  `json:"contender"`
	CPU         float64 `json:"cpu_us_per_op"` // of the proxy process, user and system, over all closed-loop rounds
	PerSecond   float64 `json:"per_second"`    // closed loop, median of the rounds
	Offered     float64 `json:"offered_per_second,omitempty"`
	P50         float64 `json:"p50_us"` // at the offered load, median of the rounds; closed loop where there is none
	P99         float64 `json:"p99_us"`
	P99Tenth    float64 `json:"p99_tenth_us"` // as P99, of each tenth of a second
	Errors      int64   `json:"errors"`
	CPURatio    float64 `json:"cpu_ratio,omitempty"`
	LoadedCPU   float64 `json:"cpu_us_per_op_at_offered_load,omitempty"` // as CPU, over the rounds at the offered load
	LoadedRatio float64 `json:"cpu_ratio_at_offered_load,omitempty"`
	P99Ratio    float64 `json:"p99_ratio,omitempty"`
	TenthRatio  float64 `json:"p99_tenth_ratio,omitempty"`
	RateRatio   float64 `json:"rate_ratio_to_direct,omitempty"`
}

func newReport(p *Plan) *Report {
	r := &Report{
		Made: time.Now().UTC().Truncate(time.Second), Machine: firstLine("/proc/cpuinfo", "model name"), Kernel: firstLine("/proc/version", ""),
		Cores: runtime.NumCPU(), Go: runtime.Version(), ProxyCore: p.ProxyCore, LoadCore: p.LoadCore,
	}
	if path, err := findHAProxy(); err == nil {
		out, _ := exec.Command(path, "-v").Output() //nolint:errcheck // without a version the report says less
		r.HAProxy, _, _ = strings.Cut(string(out), "\n")
	}
	return r
}

// firstLine returns the value of the first line of a file of /proc that has the key; of any line when key is "".
func firstLine(file, key string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if key == "" {
			return strings.Join(strings.Fields(line)[:3], " ")
		}
		if strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// add keeps a run and works the rows of its measurement out again.
func (r *Report) add(m measurement, contender string, round int, res Result) {
	r.Runs = append(r.Runs, RunLine{m.name, contender, round + 1, res})
	row := r.row(m.name, contender)
	r.summarize(row)
	for i := range r.Rows {
		if r.Rows[i].Measurement == m.name {
			r.compare(&r.Rows[i])
		}
	}
}

func (r *Report) row(measurement, contender string) *Row {
	if found := r.find(measurement, contender); found != nil {
		return found
	}
	r.Rows = append(r.Rows, Row{Measurement: measurement, Contender: contender})
	return &r.Rows[len(r.Rows)-1]
}

func (r *Report) find(measurement, contender string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Measurement == measurement && r.Rows[i].Contender == contender {
			return &r.Rows[i]
		}
	}
	return nil
}

func (r *Report) summarize(row *Row) {
	var cpu, ops, loadedCPU, loadedOps float64
	var rates, p50, p99, tenths, loaded50, loaded99, loadedTenths []float64
	row.Errors = 0
	for _, run := range r.Runs {
		if run.Measurement != row.Measurement || run.Contender != row.Contender {
			continue
		}
		row.Errors += run.Errors
		if run.Offered > 0 {
			row.Offered = run.Offered
			loadedCPU, loadedOps = loadedCPU+run.WatchedCPU*float64(run.Operations), loadedOps+float64(run.Operations)
			loaded50, loaded99, loadedTenths = append(loaded50, run.P50), append(loaded99, run.P99), append(loadedTenths, run.P99Tenth)
			continue
		}
		cpu, ops = cpu+run.WatchedCPU*float64(run.Operations), ops+float64(run.Operations)
		rates, p50, p99, tenths = append(rates, run.PerSecond), append(p50, run.P50), append(p99, run.P99), append(tenths, run.P99Tenth)
	}
	row.LoadedCPU = loadedCPU / max(loadedOps, 1)
	row.CPU, row.PerSecond, row.P50, row.P99, row.P99Tenth = cpu/max(ops, 1), median(rates), median(p50), median(p99), median(tenths)
	if len(loaded50) > 0 {
		row.P50, row.P99, row.P99Tenth = median(loaded50), median(loaded99), median(loadedTenths)
	}
}

func (r *Report) compare(row *Row) {
	row.CPURatio, row.LoadedRatio, row.P99Ratio, row.TenthRatio, row.RateRatio = 0, 0, 0, 0, 0
	if h := r.find(row.Measurement, HAProxy); h != nil && row.Contender != Direct {
		row.CPURatio, row.P99Ratio, row.TenthRatio = ratio(row.CPU, h.CPU), ratio(row.P99, h.P99), ratio(row.P99Tenth, h.P99Tenth)
		row.LoadedRatio = ratio(row.LoadedCPU, h.LoadedCPU)
	}
	if d := r.find(row.Measurement, Direct); d != nil {
		row.RateRatio = ratio(row.PerSecond, d.PerSecond)
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// line is a Result on one line, for progress and raw runs.
func (r Result) line() string {
	loop := "closed loop    "
	if r.Offered > 0 {
		loop = fmt.Sprintf("at %9.0f/s ", r.Offered)
	}
	text := fmt.Sprintf("%s %9.0f/s  p50 %7.0f us  p99 %7.0f us (of a tenth %7.0f)  max %8.0f us  proxy %6.2f us/op  generator %6.2f us/op",
		loop, r.PerSecond, r.P50, r.P99, r.P99Tenth, r.Max, r.WatchedCPU, r.OwnCPU)
	if r.Stolen >= stolenInText {
		text += fmt.Sprintf("  host took %.1f %%", 100*r.Stolen)
	}
	if r.Errors > 0 {
		text += fmt.Sprintf("  %d ERRORS, first: %s", r.Errors, r.FirstError)
	}
	return text
}

// String is a Result for a terminal.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d operations (%s) by %d clients in %.1f s: %.0f/s\n", r.Operations, r.Mode, r.Clients, r.Seconds, r.PerSecond)
	if r.Offered > 0 {
		fmt.Fprintf(&b, "offered %.0f/s; times count from the schedule\n", r.Offered)
	}
	fmt.Fprintf(&b, "time: mean %.0f us, p50 %.0f, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", r.Mean, r.P50, r.P90, r.P99, r.P999, r.Max)
	fmt.Fprintf(&b, "CPU: generator %.2f us per operation", r.OwnCPU)
	if r.WatchedCPU > 0 {
		fmt.Fprintf(&b, ", watched process %.2f us", r.WatchedCPU)
	}
	fmt.Fprintf(&b, "\nerrors: %d", r.Errors)
	if r.FirstError != "" {
		fmt.Fprintf(&b, ", the first: %s", r.FirstError)
	}
	return b.String() + "\n"
}

// Text is the report for a terminal: the table, memory, and every raw run.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.heading())
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for i, cells := range r.cells() {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
		if i == 0 {
			fmt.Fprintln(w)
		}
	}
	w.Flush() //nolint:errcheck // a strings.Builder takes everything
	b.WriteString("\n" + strings.Join(r.memoryLines(), "\n") + "\n\nraw runs:\n")
	for _, run := range r.Runs {
		fmt.Fprintf(&b, "%-12s %-9s %d %s\n", run.Measurement, run.Contender, run.Round, run.Result.line())
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "*** SKIPPED: %s\n", s)
	}
	return b.String()
}

// Markdown is the table and the memory, to be pasted into docs/performance.md.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.heading())
	for i, cells := range r.cells() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
	b.WriteString("\n")
	for _, line := range r.memoryLines() {
		fmt.Fprintf(&b, "* %s\n", line)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "* not measured: %s\n", s)
	}
	return b.String()
}

func (r *Report) heading() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, %s; %s", r.Machine, r.Cores, r.Kernel, r.Go, r.HAProxy, r.Made.Format("2006-01-02 15:04 MST"))
}

func (r *Report) cells() [][]string {
	list := [][]string{{
		"measurement", "through", "CPU µs/op", "to HAProxy's", "throughput /s", "to direct's", "offered /s", "CPU µs/op", "to HAProxy's", "p50 µs", "p99 µs", "to HAProxy's", "p99 of a tenth of a second, µs", "to HAProxy's", "errors",
	}}
	for _, row := range r.Rows {
		list = append(list, []string{
			row.Measurement, row.Contender, number(row.CPU, "%.1f"), number(row.CPURatio, "%.2f"), number(row.PerSecond, "%.0f"),
			number(row.RateRatio, "%.2f"), number(row.Offered, "%.0f"), number(row.LoadedCPU, "%.1f"), number(row.LoadedRatio, "%.2f"), number(row.P50, "%.0f"), number(row.P99, "%.0f"), number(row.P99Ratio, "%.2f"),
			number(row.P99Tenth, "%.0f"), number(row.TenthRatio, "%.2f"), fmt.Sprint(row.Errors),
		})
	}
	return list
}

// number formats v; nothing was measured where it is 0.
func number(v float64, format string) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

func (r *Report) memoryLines() []string {
	var lines []string
	for _, m := range r.Idle {
		lines = append(lines, fmt.Sprintf("%s: %.2f KiB resident (%.2f KiB proportional) per idle %s client, of %d",
			m.Contender, m.RSSPerClient/1024, m.PSSPerClient/1024, m.Protocol, m.Clients))
	}
	for _, m := range r.Start {
		lines = append(lines, fmt.Sprintf("%s: %.1f MiB resident 5 s after its start with 4 members", m.Contender, float64(m.RSS)/(1<<20)))
	}
	return lines
}
