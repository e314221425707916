package health

import (
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// TestASilentMemberIsFoundInTime freezes a member at any moment between two checks.
func TestASilentMemberIsFoundInTime(t *testing.T) {
	for _, method := range []string{MethodAuto, MethodHTTP, MethodBolt} {
		for moment := time.Duration(0); moment < 2*time.Second; moment += 333 * time.Millisecond {
			t.Run(fmt.Sprint(method, " ", moment), func(t *testing.T) {
				over(t, standin.Options{Members: 3, Seed: 5}, Options{Method: method}, func(s *stand) {
					s.after(10*time.Second + moment)
					leader := s.Leader("")
					frozen := time.Now()
					s.Freeze(leader)
					bound := 2*time.Second + 2*time.Second // interval, and timeout x fall
					v := s.after(bound + 10*time.Millisecond)
					if m := v.Member(leader); m.Up || m.Silent.IsZero() || m.Silent.Before(frozen.Add(-time.Second)) {
						s.Errorf("%v after it froze: up %v, silent since %v; want down, and silent since %v or soon after", bound, m.Up, m.Silent, frozen)
					}
					s.Thaw(leader)
					if m := s.after(5 * time.Second).Member(leader); !m.Up || !m.Silent.IsZero() {
						s.Errorf("thawed: up %v, silent since %v", m.Up, m.Silent)
					}
				})
			})
		}
	}
}

// TestWhatIsNotSilent: members that are down, and yet are heard of.
func TestWhatIsNotSilent(t *testing.T) {
	for name, harm := range map[string]func(s *stand, m *cluster.Member){
		"one that was killed: its system refuses for it": func(s *stand, m *cluster.Member) { s.Kill(m.Name) },
		"one whose answers come too late": func(s *stand, m *cluster.Member) {
			for _, address := range []string{m.Bolt, m.HTTP} {
				s.network.Link("192.0.2.1", address).Delay(300 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			over(t, standin.Options{Members: 3, Seed: 5}, Options{}, func(s *stand) {
				s.after(10 * time.Second)
				m := s.Members()[0]
				harm(s, m)
				for range 40 {
					if now := s.after(500 * time.Millisecond).Member(m.Name); !now.Silent.IsZero() {
						t.Errorf("silent since %v: %s", now.Silent, now.LastError)
						return
					}
				}
				if s.current.View().Member(m.Name).Up {
					t.Error("it is up; the test needs it down")
				}
			})
		})
	}
}

// TestDroppedPacketsAreSilence: nothing is refused, nothing comes.
func TestDroppedPacketsAreSilence(t *testing.T) {
	over(t, standin.Options{Members: 3, Seed: 5}, Options{}, func(s *stand) {
		s.after(10 * time.Second)
		m := s.Members()[0]
		for _, address := range []string{m.Bolt, m.HTTP} {
			s.network.Link("192.0.2.1", address).Blackhole(true)
		}
		if now := s.after(4 * time.Second).Member(m.Name); now.Silent.IsZero() {
			t.Errorf("not silent: up %v, %s", now.Up, now.LastError)
		}
	})
}
