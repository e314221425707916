package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

func TestTheRecordOfChecks(t *testing.T) {
	run(t, Options{Interval: time.Second, FastInterval: 100 * time.Millisecond, Fall: 2}, haCluster(), func(r *rig) {
		r.after(10 * time.Second)
		if c := r.monitor.Checks("s2"); c.Result != Passed || c.Failed != 0 || c.Falls != 0 || c.Down != 0 || time.Since(c.At) > time.Second {
			t.Errorf("before anything happens: %+v", c)
		}
		r.cut(r.members[1], true)
		r.after(10 * time.Second)
		c := r.monitor.Checks("s2")
		if c.Result != Unreachable || c.Failed != 2 || c.Falls != 1 || c.Down < 8*time.Second || c.Down > 10*time.Second {
			t.Errorf("after ten seconds away: %+v", c)
		}
		r.cut(r.members[1], false)
		r.after(10 * time.Second)
		if back := r.monitor.Checks("s2"); back.Result != Passed || back.Falls != 1 || back.Down < c.Down || back.Down > c.Down+time.Second {
			t.Errorf("when it was back for a while: %+v; it was down for %v before", back, c.Down)
		}
		r.members[1].set(func() { r.members[1].hang = true })
		r.after(10 * time.Second)
		if c := r.monitor.Checks("s2"); c.Result != TimedOut || c.Took < time.Second || c.Falls != 2 {
			t.Errorf("hung: %+v", c)
		}
		o := *r.monitor.o
		o.Conditions = map[string]cluster.Condition{"s2": cluster.Maint}
		r.monitor.Update(o)
		r.after(time.Minute)
		r.members[1].set(func() { r.members[1].hang = false })
		o.Conditions = nil
		r.monitor.Update(o)
		r.after(10 * time.Second)
		if c := r.monitor.Checks("s2"); c.Result != Passed || c.Down > 30*time.Second {
			t.Errorf("after a minute of maint: %+v; want nothing of it in Down", c)
		}
		o.Members = o.Members[:1]
		r.monitor.Update(o)
		r.after(time.Second)
		if c := r.monitor.Checks("s2"); c != (Checks{}) {
			t.Errorf("when it is listed no more: %+v", c)
		}
	})
}
