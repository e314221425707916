package main

// This file owns how much memory the process may have (limits.memory): what the machine or its cgroup has, and what the collector is told.

import (
	"bytes"
	"io/fs"
	"iter"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/configs"
)

// memoryLimit is limits.memory in bytes: what the file says, else half of what there is; 0 where nobody can tell.
func memoryLimit(cfg *configs.Config) int64 {
	if cfg.Limits.Memory > 0 {
		return int64(cfg.Limits.Memory)
	}
	return availableMemory(os.DirFS("/")) / 2
}

// limitCollector has the garbage collector work harder near limits.memory. GOMEMLIMIT in the environment is the operator's own word.
func limitCollector(cfg *configs.Config) {
	if _, given := os.LookupEnv("GOMEMLIMIT"); given {
		return
	}
	if limit := memoryLimit(cfg); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
}

// availableMemory is what the machine has, or the smallest limit of the cgroups around this process where that is less; root is the
// file system. 0: nothing says.
func availableMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	for line := range linesOf(root, "proc/meminfo") {
		if rest, found := strings.CutPrefix(line, "MemTotal:"); found {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			least = kib << 10
		}
	}
	for line := range linesOf(root, "proc/self/cgroup") { // hierarchy:controllers:path; version 2 has 0 and no controllers
		fields := strings.SplitN(line, ":", 3)
		if len(fields) < 3 {
			continue
		}
		base, name := "sys/fs/cgroup", "memory.max"
		if fields[1] != "" {
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if fields[1] == "" || fields[1] == "memory" {
			least = min(least, cgroupLimit(root, base, strings.Trim(fields[2], "/"), name))
		}
	}
	if least == math.MaxInt64 || least <= 0 {
		return 0
	}
	return least
}

// cgroupLimit is the smallest limit of a cgroup and those around it. In a container its own is the root of what it sees.
func cgroupLimit(root fs.FS, base, group, name string) int64 {
	least := int64(math.MaxInt64)
	for dir := group; ; dir = path.Dir(dir) {
		if text, err := fs.ReadFile(root, path.Join(base, dir, name)); err == nil {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil && n > 0 { // else "max"
				least = min(least, n)
			}
		}
		if dir == "" || dir == "." {
			return least
		}
	}
}

// linesOf are those of a file; none when it cannot be read.
func linesOf(root fs.FS, name string) iter.Seq[string] {
	text, _ := fs.ReadFile(root, name) //nolint:errcheck // what is not there says nothing
	return strings.SplitSeq(string(bytes.TrimSpace(text)), "\n")
}
