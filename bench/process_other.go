//go:build !linux

package bench

import (
	"errors"
	"os/exec"
	"time"
)

var errNotLinux = errors.New("bench: CPU time, memory and cores of another process are read on Linux only")

func processCPU(int) (time.Duration, error)         { return 0, errNotLinux }
func selfCPU() time.Duration                        { return 0 }
func machineSteal() steal                           { return steal{} }
func processMemory(int) (rss, pss int64, err error) { return 0, 0, errNotLinux }
func startOn(cmd *exec.Cmd, _ int) error            { return cmd.Start() }
