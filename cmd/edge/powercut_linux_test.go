package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edge/historian/journal/powercut"
)

// TestPowerCut is TestPromises with the power of the disk cut instead of a kill, while the program runs. Journal and broker.db are on it.
func TestPowerCut(t *testing.T) {
	if os.Getenv("EDGE_LONG") == "" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	d := powercut.New(t)
	rounds := 100
	if os.Getenv(unsyncedEnv) != "" {
		rounds = 5
	}
	keepPromises(t, filepath.Join(d.Dir, "data"), rounds, func(c *child) {
		d.Cut()
		c.kill()
		d.Restore()
	})
	t.Logf("%d cuts", rounds)
}

// TestPowerCutIsOne is the negative control: without flushes TestPowerCut finds that promises are broken.
func TestPowerCutIsOne(t *testing.T) {
	if os.Getenv("EDGE_LONG") == "" || os.Getuid() != 0 {
		t.Skip("power cuts need EDGE_LONG=1, root, mkfs.ext4 and a loop device")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestPowerCut$", "-test.v")
	cmd.Env = append(os.Environ(), unsyncedEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestPowerCut") || !strings.Contains(string(out), "session present false, want true") {
		t.Errorf("without flushes nothing was lost: %v\n%s", err, out)
	}
	t.Log("without flushes the cuts are found out")
}
