package bench

// This file owns the processes of a comparison: instant servers, HAProxy, the bare relay, boltgate, each started on its core and waited for.

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed haproxy.cfg.tmpl
var haproxyTemplate string

//go:embed boltgate.yaml.tmpl
var boltgateTemplate string

// Addresses are where one server or proxy listens, HOST:PORT each; "" where it does not.
type Addresses struct {
	Bolt string `json:"bolt"`
	HTTP string `json:"http"`
}

type login struct{ user, password string }

// scene is what contenders stand in front of.
type scene struct {
	members    []Addresses // proxies other than boltgate take the first alone
	generation string
	checkPath  string // what HAProxy checks over HTTP
	auth       login  // for boltgate's checks
	maxConn    int    // clients at once; 0: 1000
	await      []Mode // operations that must pass before a contender is ready
}

// contender is one way to the server.
type contender struct {
	name       string
	bolt, http string
	process    *process // nil: direct
}

func (k *contender) pid() int {
	if k.process == nil {
		return 0
	}
	return k.process.cmd.Process.Pid
}

// process is a child; what it printed is shown when it ends by itself.
type process struct {
	name   string
	cmd    *exec.Cmd
	output bytes.Buffer // read only after done is closed
	done   chan struct{}
}

const (
	readyTime = 20 * time.Second
	endTime   = 5 * time.Second
)

// launch starts a child on a core. first, if not nil, gets what the first line of its standard output says.
func (c *comparison) launch(name string, core int, cmd *exec.Cmd, first *Addresses) (*process, error) {
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = &p.output
	var stdout *bufio.Reader
	if first != nil {
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		stdout = bufio.NewReader(pipe)
	} else {
		cmd.Stdout = &p.output
	}
	if err := startOn(cmd, core); err != nil {
		return nil, fmt.Errorf("bench: cannot start %s: %w", name, err)
	}
	var parsed error
	if first != nil {
		var line []byte
		line, parsed = stdout.ReadBytes('\n')
		if parsed == nil {
			parsed = json.Unmarshal(line, first)
		}
	}
	go func() {
		cmd.Wait() //nolint:errcheck // whoever waits for it to answer sees that it ended
		close(p.done)
	}()
	c.live = append(c.live, p)
	if parsed != nil {
		p.end()
		return nil, fmt.Errorf("bench: %s: %w: %s", name, parsed, p.output.Bytes())
	}
	return p, nil
}

// end asks the process to end, kills it when it does not, and waits.
func (p *process) end() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.done:
	case <-time.After(endTime):
		p.cmd.Process.Kill() //nolint:errcheck // the same
		<-p.done
	}
}

// startInstant starts an instant server for each HA role given ("": standalone).
func (c *comparison) startInstant(roles ...string) ([]Addresses, error) {
	var members []Addresses
	for _, role := range roles {
		var a Addresses
		if _, err := c.launch("instant server", c.plan.LoadCore, exec.Command(c.self, "bench", "serve", "--role", role), &a); err != nil {
			return nil, err
		}
		members = append(members, a)
	}
	return members, nil
}

// start starts all contenders of the plan in front of a scene and waits until each takes a query.
func (c *comparison) start(s scene) ([]*contender, error) {
	var list []*contender
	for _, name := range c.plan.Contenders {
		k, err := c.startOne(name, s)
		if err != nil {
			return nil, err
		}
		if k != nil {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("bench: no contender can run on this machine")
	}
	return list, nil
}

// startOne returns nil where the machine lacks the contender.
func (c *comparison) startOne(name string, s scene) (*contender, error) {
	if s.maxConn == 0 {
		s.maxConn = 1000
	}
	k := &contender{name: name}
	var err error
	switch name {
	case Direct:
		k.bolt, k.http = s.members[0].Bolt, s.members[0].HTTP
	case HAProxy:
		var path string
		if path, err = findHAProxy(); err != nil {
			c.skip(HAProxy, "not installed (Debian: apt-get install haproxy), so there is nothing to compare with")
			return nil, nil
		}
		err = c.startHAProxy(k, path, s)
	case BareGo, BareGo2:
		var a Addresses
		cmd := exec.Command(c.self, "bench", "relay", "--to-bolt", s.members[0].Bolt, "--to-http", s.members[0].HTTP, "--two="+strconv.FormatBool(name == BareGo2))
		k.process, err = c.launch(name, c.plan.ProxyCore, cmd, &a)
		k.bolt, k.http = a.Bolt, a.HTTP
	case Boltgate:
		err = c.startGate(k, s)
	default:
		err = fmt.Errorf("%w: no contender %q; there are %v", errUsage, name, DefaultPlan().Contenders)
	}
	if err != nil {
		return nil, err
	}
	return k, c.awaitReady(k, s)
}

func findHAProxy() (string, error) {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/haproxy") // Debian's, where PATH lacks sbin
	}
	return path, err
}

func (c *comparison) startHAProxy(k *contender, path string, s scene) error {
	if err := freePorts(&k.bolt, &k.http); err != nil {
		return err
	}
	to := s.members[0]
	if to.HTTP == "" { // a member for Bolt alone: the HTTP half of the file stays unused
		to.HTTP = to.Bolt
	}
	file, err := c.render("haproxy.cfg", haproxyTemplate, map[string]string{
		"MaxConn": strconv.Itoa(s.maxConn), "ListenBolt": k.bolt, "ListenHTTP": k.http, "Bolt": to.Bolt, "HTTP": to.HTTP, "CheckPath": cmp.Or(s.checkPath, "/"),
	})
	if err != nil {
		return err
	}
	k.process, err = c.launch(HAProxy, c.plan.ProxyCore, exec.Command(path, "-db", "-f", file), nil)
	return err
}

func (c *comparison) startGate(k *contender, s scene) error {
	if err := freePorts(&k.bolt); err != nil {
		return err
	}
	k.http = k.bolt // one port
	secret := filepath.Join(c.folder, "password")
	if err := os.WriteFile(secret, []byte(s.auth.password+"\n"), 0o600); err != nil {
		return err
	}
	file, err := c.render("boltgate.yaml", boltgateTemplate, gateValues(s, k.bolt, secret))
	if err != nil {
		return err
	}
	k.process, err = c.launch(Boltgate, c.plan.ProxyCore, exec.Command(cmp.Or(c.plan.Gate, c.self), "run", "-c", file), nil)
	return err
}

// gateValues are the variables of boltgate's file.
func gateValues(s scene, listen, passwordFile string) map[string]string {
	var members []string
	for i, m := range s.members {
		members = append(members, fmt.Sprintf("{name: s%d, bolt: %q, http: %q}", i+1, m.Bolt, m.HTTP))
	}
	login := ""
	if s.auth.user != "" {
		login = fmt.Sprintf(", user: %q, password_file: %q", s.auth.user, passwordFile)
	}
	return map[string]string{"MaxConn": strconv.Itoa(s.maxConn), "Listen": listen, "Generation": s.generation, "Members": strings.Join(members, ", "), "Login": login}
}

// render fills a configuration in and writes it to a file of its own.
func (c *comparison) render(name, text string, values map[string]string) (string, error) {
	text, err := fill(text, values)
	if err != nil {
		return "", fmt.Errorf("bench: %s: %w", name, err)
	}
	f, err := os.CreateTemp(c.folder, "*-"+name)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}

// fill puts values in the place of ${variables}, each of which has to have one.
func fill(text string, values map[string]string) (string, error) {
	var err error
	filled := os.Expand(text, func(name string) string {
		value, known := values[name]
		if !known {
			err = errors.Join(err, fmt.Errorf("no value for ${%s}", name))
		}
		return value
	})
	return filled, err
}

// freePorts sets each address to a loopback port that was free a moment ago.
func freePorts(addresses ...*string) error {
	for _, a := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		defer l.Close() // after all are chosen, so that they differ
		*a = l.Addr().String()
	}
	return nil
}

// awaitReady waits until each kind of operation that the scene needs passes.
func (c *comparison) awaitReady(k *contender, s scene) error {
	for _, m := range s.await {
		if err := c.await(k, Load{URI: k.uri(m), Mode: m, User: s.auth.user, Password: s.auth.password}); err != nil {
			return err
		}
	}
	return nil
}

// uri is where an operation of the mode goes.
func (k *contender) uri(m Mode) string {
	if m == Get || m == Post {
		return "http://" + k.http
	}
	return "bolt://" + k.bolt
}

func (c *comparison) await(k *contender, l Load) error {
	ctx, cancel := context.WithTimeout(c.ctx, readyTime)
	defer cancel()
	l = l.withDefaults()
	for {
		err := once(ctx, l)
		if err == nil {
			return nil
		}
		if k.process != nil {
			select {
			case <-k.process.done:
				return fmt.Errorf("%w: %s: %s", errGone, k.name, k.process.output.Bytes())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bench: %s takes no %s within %v: %w", k.name, l.Mode, readyTime, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func once(ctx context.Context, l Load) error {
	t, err := l.target(ctx)
	if err != nil {
		return err
	}
	k, err := t.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer k.close()
	return k.do()
}
