package main

import (
	"testing"
	"testing/fstest"

	"github.com/boltgate/boltgate/configs"
)

func TestAvailableMemory(t *testing.T) {
	const meminfo = "MemTotal:        1000 kB\nMemFree: 10 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing says", nil, 0},
		{"the machine", map[string]string{"proc/meminfo": meminfo}, 1000 << 10},
		{"a cgroup of version 2", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "4096\n"}, 4096},
		{"one around it has less", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "8192\n", "sys/fs/cgroup/a/memory.max": "4096\n"}, 4096},
		{"no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 1000 << 10},
		{"in a container", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"a container that sees another path", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/memory.max": "4096\n"}, 4096},
		{"version 1", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n", "sys/fs/cgroup/a/memory.max": "1"}, 4096},
		{"more than the machine has", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9223372036854771712\n"}, 1000 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := availableMemory(root); got != tt.want {
				t.Errorf("got %d; want %d", got, tt.want)
			}
		})
	}
}

func TestMemoryOfTheFileCounts(t *testing.T) {
	cfg := configs.Default()
	if got := memoryLimit(cfg); got < 1<<20 {
		t.Errorf("by default got %d bytes of this machine", got)
	}
	cfg.Limits.Memory = 1 << 30
	if got := memoryLimit(cfg); got != 1<<30 {
		t.Errorf("got %d; want 1GiB", got)
	}
}
