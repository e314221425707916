package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/doctor"
	"github.com/boltgate/boltgate/standin"
)

// doctorOf runs the command in front of stand-ins with a configuration file.
func doctorOf(t *testing.T, d *testDaemon, args ...string) (string, error) {
	c := newDoctorCommand()
	c.SetArgs(append([]string{"-c", d.file}, args...))
	c.SilenceErrors, c.SilenceUsage = true, true
	var out bytes.Buffer
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDoctorSaysWhereAndFails(t *testing.T) {
	d, c := newTestDaemonWith(t, standin.Options{Seed: 1})
	d.write(d.address)
	if out, err := doctorOf(t, d); err != nil || !strings.Contains(out, "autonomous, 3 of 3 members up, 0 things found") {
		t.Fatalf("with nothing wrong: %v\n%s", err, out)
	}
	follower := followers(c)[0]
	if err := c.Kill(follower); err != nil {
		t.Fatal(err)
	}
	out, err := doctorOf(t, d, "--within", "2s")
	if !errors.Is(err, errSaid) || !strings.Contains(out, "error: "+d.file+":") || !strings.Contains(out, follower+": the checks find it down") {
		t.Errorf("with %s down: %v\n%s", follower, err, out)
	}
	out, err = doctorOf(t, d, "--within", "2s", "--json")
	var r doctor.Report
	if e := json.Unmarshal([]byte(out), &r); e != nil || !errors.Is(err, errSaid) || !r.Failed() || r.Findings[0].Member != follower || !strings.HasPrefix(r.Findings[0].Where, d.file+":") {
		t.Errorf("JSON: %v, %v\n%s", err, e, out)
	}
}
