package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestFleetFits: a thousand nodes of a hundred metrics each live in one `edge simulate` of less than 256 MB; a tenth of them,
// without EDGE_LONG, in their share and what the program itself takes.
func TestFleetFits(t *testing.T) {
	nodes, limit := 100, int64(48<<20)
	if longRun() {
		nodes, limit = 1000, 256<<20
	}
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
		c.Broker.Limits.Clients, c.Broker.Limits.AcceptsPerSecond = 2000, 2000
	})
	for _, protocol := range []string{"5", "3.1.1"} {
		sim := asProgram(t.Context(), t, "simulate", "--broker", "tcp://"+app.MQTTAddr(), "--group", "of"+strings.ReplaceAll(protocol, ".", ""),
			"--nodes", fmt.Sprint(nodes), "--devices", "2", "--metrics", "50", "--protocol", protocol)
		out, err := sim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.Start(); err != nil {
			t.Fatal(err)
		}
		online, peak := 0, int64(0)
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.Contains(s.Text(), " online bdSeq=") {
				online++
			}
			if online == nodes {
				online++ // asked once
				peak = highWater(t, sim.Process.Pid)
				if err := sim.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := sim.Wait(); err != nil || online < nodes {
			t.Fatalf("%s: %d of %d nodes came online; %v", protocol, online, nodes, err)
		}
		t.Logf("MQTT %s: %d nodes of 100 metrics took %d MB at the peak", protocol, nodes, peak>>20)
		if peak > raceMemory*limit {
			t.Errorf("MQTT %s: %d bytes at the peak, want at most %d", protocol, peak, raceMemory*limit)
		}
	}
}

// highWater is the most bytes that a process ever held in memory. (What wait reports is at least what its parent had.)
func highWater(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if n, err := fmt.Sscanf(line, "VmHWM: %d kB", &bytes); n == 1 && err == nil {
			return bytes << 10
		}
	}
	t.Fatalf("no VmHWM in\n%s", status)
	return 0
}
