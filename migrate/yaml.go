package migrate

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/internal/durations"
)

// This file owns the text of boltgate.yaml: keys in the order of the reference, each with the line that it comes from. Values are written
// in double quotes where anything but plain characters stands in them, so that no text of the file can become YAML of its own.

// Secrets says how passwords get into the file.
type secrets struct {
	files bool   // in files beside it; else the check's is a variable, and hashes stand in the file
	stem  string // how the files' names begin
}

const passwordVariable = "NEO4J_CHECK_PASSWORD"

type writer struct{ bytes.Buffer }

// put writes one line; from, which may be empty, says where it comes from.
func (w *writer) put(depth int, text, from string) {
	line := strings.Repeat("  ", depth) + text
	if from != "" {
		line = fmt.Sprintf("%-51s # %s", line, from)
	}
	w.WriteString(line + "\n")
}

// quoted is a string as YAML takes it. JSON's escapes are YAML's too; Go's beyond them are avoided by shown, and by ToASCII.
func quoted(s string) string { return strconv.QuoteToASCII(s) }

func list(items []string) string {
	q := make([]string, len(items))
	for i, s := range items {
		q[i] = quoted(s)
	}
	if len(q) == 1 {
		return q[0]
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// write returns the file, and what belongs into files beside it by name.
func (g *gate) write(name string, all []Note, hash func(password string) (string, error), s secrets) ([]byte, map[string]string, error) {
	w, files := new(writer), map[string]string{}
	w.head(name, all, g, s)
	common := g.commonRouting()
	w.put(0, "frontends:", "")
	for _, f := range g.fronts {
		w.front(f, common == nil)
	}
	w.cluster(g, s, files)
	if common != nil && *common != (choices{}) {
		w.put(0, "", "")
		w.routing(0, *common)
	}
	if g.connectAt != nil && g.connect > 0 {
		w.put(0, "\npool:", "")
		w.put(1, "connect_timeout: "+durations.Short(g.connect), lineWords(g.connectAt)+": timeout connect")
	}
	if g.admin != nil {
		if err := w.operator(g.admin, hash, s, files); err != nil {
			return nil, nil, err
		}
	}
	return w.Bytes(), files, nil
}

func (w *writer) head(name string, all []Note, g *gate, s secrets) {
	w.put(0, "# Made by `boltgate migrate` of "+shown(name)+". See docs/migrating.md.", "")
	if g.user != "" && !s.files {
		w.put(0, "# Set "+passwordVariable+" to the password of the checks' user, or name a password_file instead.", "")
	}
	for _, lost := range []bool{true, false} {
		title := "# Not carried over:"
		if !lost {
			title = "# There in another form, or not needed:"
		}
		for _, n := range all {
			if n.Lost == lost {
				if title != "" {
					w.put(0, "#\n"+title, "")
					title = ""
				}
				w.put(0, "#   "+n.String(), "")
			}
		}
	}
	w.put(0, "", "")
}

// commonRouting is what all frontends have; nil when they differ.
func (g *gate) commonRouting() *choices {
	for _, f := range g.fronts {
		if f.routing != g.fronts[0].routing {
			return nil
		}
	}
	return &g.fronts[0].routing
}

func (w *writer) front(f *front, ownRouting bool) {
	w.put(1, "- name: "+quoted(f.name), lineWords(f.head))
	w.put(2, "bind: "+list(f.binds), "")
	w.put(2, "protocols: ["+strings.Join(f.protocols, ", ")+"]", "")
	if f.cert != "" {
		w.put(2, fmt.Sprintf("tls: {cert: %s, key: %s, mode: required%s}", quoted(f.cert), quoted(f.cert), clientCA(f.clientCA)), "")
	}
	if f.fromProxy {
		w.put(2, `proxy_protocol: {from: ["0.0.0.0/0", "::/0"]}`, "")
	}
	if f.maximum > 0 {
		w.put(2, "max_connections: "+strconv.Itoa(f.maximum), lineWords(f.maxAt...)+": maxconn")
	}
	for _, nets := range []struct {
		key  string
		list []string
	}{{"allow", f.allow}, {"deny", f.deny}} {
		if len(nets.list) > 0 {
			w.put(2, nets.key+": ["+strings.Trim(list(nets.list), "[]")+"]", "")
		}
	}
	if len(f.timeouts) > 0 {
		w.put(2, "timeouts:", "")
		for _, t := range f.timeouts {
			w.put(3, t.key+": "+durations.Short(t.d), lineWords(t.from)+": "+shown(strings.Join(t.from.words[:min(2, len(t.from.words))], " ")))
		}
	}
	if f.access != "" {
		w.put(2, "access: "+f.access, f.why)
	}
	if ownRouting && f.routing != (choices{}) {
		w.routing(2, f.routing)
	}
}

func (w *writer) routing(depth int, c choices) {
	w.put(depth, "routing:", "")
	if c.undeclared != "" {
		w.put(depth+1, "undeclared: "+c.undeclared, "what does not declare a write (X-Write: 1) is a read")
	}
	if c.balance != "" {
		w.put(depth+1, "balance: "+c.balance, "")
	}
	if c.leaderReads != "" {
		w.put(depth+1, "leader_reads: "+c.leaderReads, `"fallback" keeps reads off the leader while another member is up`)
	}
}

func (w *writer) cluster(g *gate, s secrets, files map[string]string) {
	w.put(0, "\ncluster:", "")
	if g.generation != "" {
		w.put(1, "generation: "+g.generation, "")
	}
	if len(g.members) > 0 {
		w.put(1, "members:", "")
	}
	for _, m := range g.members {
		w.put(2, "- "+m.text(), lineWords(m.lines...))
	}
	if len(g.dns)+len(g.srv) > 0 {
		w.put(1, "discover:", "")
		if len(g.dns) > 0 {
			w.put(2, "dns: "+list(g.dns), "")
		}
		if len(g.srv) > 0 {
			w.put(2, "srv: "+list(g.srv), "")
		}
	}
	w.check(g, s, files)
	if g.tls != nil {
		w.tls(g.tls)
	}
}

func (m *member) text() string {
	parts := []string{"name: " + quoted(m.name)}
	if m.bolt != "" {
		parts = append(parts, "bolt: "+quoted(m.bolt))
	}
	if m.http != "" {
		parts = append(parts, "http: "+quoted(m.http))
	}
	if m.weight > 1 {
		parts = append(parts, "weight: "+strconv.Itoa(m.weight))
	}
	if m.limit > 0 {
		parts = append(parts, "max_in_flight: "+strconv.Itoa(m.limit))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// check writes the checks; the reference's defaults stay where haproxy.cfg says nothing.
func (w *writer) check(g *gate, s secrets, files map[string]string) {
	var lines writer
	t := &g.check
	if g.byHTTP {
		lines.put(2, "method: http", "")
	}
	if t.interval > 0 {
		lines.put(2, "interval: "+durations.Short(t.interval), lineWords(t.at["interval"])+": inter")
	}
	if fast := t.fast; fast > 0 || t.interval > 0 && t.interval < fastDefault {
		if fast == 0 || t.interval > 0 && fast > t.interval {
			fast = t.interval
		}
		lines.put(2, "fast_interval: "+durations.Short(fast), "")
	}
	if t.timeout > 0 {
		lines.put(2, "timeout: "+durations.Short(t.timeout), lineWords(t.at["timeout"])+": timeout check")
	}
	for _, one := range []struct {
		key   string
		count int
	}{{"rise", t.rise}, {"fall", t.fall}} {
		if one.count > 0 {
			lines.put(2, one.key+": "+strconv.Itoa(one.count), lineWords(t.at[one.key]))
		}
	}
	if g.user != "" {
		lines.put(2, "user: "+quoted(escaped(g.user)), lineWords(g.userLine)+": Authorization")
		if s.files {
			file := s.stem + ".check-password"
			files[file] = g.password + "\n"
			lines.put(2, "password_file: "+quoted(file), "")
		} else {
			lines.put(2, `password: "${`+passwordVariable+`}"`, "")
		}
	}
	if lines.Len() > 0 {
		w.put(1, "check:", "")
		w.Write(lines.Bytes())
	}
}

func (w *writer) tls(t *tlsTo) {
	mode := "verify"
	if t.insecure {
		mode = "insecure"
	}
	w.put(1, "tls:", lineWords(t.line))
	w.put(2, "mode: "+mode, "")
	if t.ca != "" && !t.insecure {
		w.put(2, "ca: "+quoted(t.ca), "")
	}
	if t.name != "" {
		w.put(2, "server_name: "+quoted(t.name), "")
	}
	if t.cert != "" {
		w.put(2, "cert: "+quoted(t.cert), "")
		w.put(2, "key: "+quoted(t.cert), "")
	}
}

// clientCA is the rest of a tls section, where clients have to show a certificate.
func clientCA(ca string) string {
	if ca == "" {
		return ""
	}
	return ", client_ca: " + quoted(ca)
}

func (w *writer) operator(o *operator, hash func(string) (string, error), s secrets, files map[string]string) error {
	if o.bind == "" && len(o.users) == 0 {
		return nil
	}
	w.put(0, "\nadmin:", lineWords(o.lines...))
	if o.bind != "" {
		w.put(1, "bind: "+quoted(o.bind), "")
	}
	if o.cert != "" {
		w.put(1, fmt.Sprintf("tls: {cert: %s, key: %s%s}", quoted(o.cert), quoted(o.cert), clientCA(o.ca)), "")
	}
	if len(o.users) > 0 {
		w.put(1, "users:", "")
	}
	for _, u := range o.users {
		role := "viewer"
		if u.acts {
			role = "operator"
		}
		text, err := hash(u.password)
		if err != nil {
			return fmt.Errorf("the password of stats auth in %s: %w", lineWords(u.line), err)
		}
		w.put(2, "- name: "+quoted(escaped(u.name)), lineWords(u.line))
		w.put(3, "role: "+role, "")
		if s.files {
			file := s.stem + ".admin-" + plainName(u.name, "user") + ".bcrypt"
			files[file] = text + "\n"
			w.put(3, "password_file: "+quoted(file), "")
		} else {
			w.put(3, "password: "+quoted(text), "a bcrypt hash")
		}
	}
	return nil
}

// escaped keeps boltgate from reading ${ in a name as a variable.
func escaped(s string) string { return strings.ReplaceAll(s, "${", "$${") }
