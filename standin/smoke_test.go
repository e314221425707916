package standin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/test/drivers"
	"github.com/boltgate/boltgate/test/labs"
)

// TestDriversOfAllLanguages runs the smoke programs that real servers pass against stand-ins of each generation, routed
// and without a gate.
func TestDriversOfAllLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("short: no drivers of other languages")
	}
	for _, d := range drivers.All() {
		t.Run(d.Name, func(t *testing.T) {
			labs.Require(t, d.Name, d.Available())
			program, err := d.Install(t.Context())
			if err != nil {
				labs.Require(t, d.Name, err)
			}
			for _, o := range []Options{
				{Generation: cluster.Causal, ServerVersion: "3.5.35"},
				{Generation: cluster.Causal, ServerVersion: "4.4.48"},
				{ServerVersion: "5.26.30"},
				{ServerVersion: "2026.08.1", SSR: true},
			} {
				if o.ServerVersion == "4.4.48" && strings.Contains(d.Name, " 1.7") {
					continue // it knows only Bolt 3 of it, whose bookmarks the server refuses: TestBolt3On44RefusesItsOwnBookmarks
				}
				smoke(t, program, o)
			}
		})
	}
}

func smoke(t *testing.T, p drivers.Program, o Options) {
	o.Replicas, o.Lag = 1, 20*time.Millisecond
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var speaks []string
	for _, v := range c.members[0].release().versions {
		speaks = append(speaks, v.String())
	}
	r := p.Smoke(t.Context(), drivers.Target{URI: p.Driver.Routing + "://" + c.Members()[1].Bolt, User: DefaultUser, Password: DefaultPassword,
		Mark: fmt.Sprint("smoke-", p.Driver.Name), Timeout: 30 * time.Second})
	if !p.Driver.Shares(speaks) {
		if !r.Refused() {
			t.Errorf("%s: want a clean refusal; got %s", o.ServerVersion, r)
		}
		return
	}
	if !r.Passed() {
		t.Errorf("%s: %s", o.ServerVersion, r)
	}
}
