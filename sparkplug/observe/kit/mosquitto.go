package kit

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Mosquitto is a compliant broker that knows nothing of Sparkplug, as a process on loopback.
type Mosquitto struct {
	Addr string // host:port

	t          testing.TB
	path, conf string
	cmd        *exec.Cmd
	said       bytes.Buffer
}

// StartMosquitto runs one until the test ends; it keeps retained messages over Restart.
func StartMosquitto(t testing.TB) *Mosquitto {
	t.Helper()
	m := &Mosquitto{t: t, path: "/usr/sbin/mosquitto"}
	if found, err := exec.LookPath("mosquitto"); err == nil {
		m.path = found
	}
	if _, err := os.Stat(m.path); err != nil {
		t.Skip("mosquitto is not here: apt-get install mosquitto")
	}
	dir := t.TempDir()
	m.conf = filepath.Join(dir, "mosquitto.conf")
	for range 5 { // another process may take the port between our look and mosquitto's
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m.Addr = l.Addr().String()
		_ = l.Close()
		_, port, _ := net.SplitHostPort(m.Addr)
		conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nset_tcp_nodelay true\n"+
			"max_queued_messages 0\n", port, dir)
		if err := os.WriteFile(m.conf, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		if m.start() {
			t.Cleanup(m.Stop)
			return m
		}
	}
	t.Fatalf("mosquitto does not start: %s", m.said.String())
	return nil
}

// Restart stops mosquitto and starts it again with what it kept, at the same address.
func (m *Mosquitto) Restart() {
	m.t.Helper()
	m.Stop()
	if !m.start() {
		m.t.Fatalf("mosquitto does not start again: %s", m.said.String())
	}
}

// Stop ends the process as a service manager would.
func (m *Mosquitto) Stop() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(os.Interrupt)
	_ = m.cmd.Wait()
	m.cmd = nil
}

func (m *Mosquitto) start() bool {
	m.cmd = exec.Command(m.path, "-c", m.conf)
	m.cmd.Stderr = &m.said
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if c, err := net.Dial("tcp", m.Addr); err == nil {
			_ = c.Close()
			return true
		}
		if m.cmd.ProcessState != nil {
			break
		}
	}
	m.Stop()
	return false
}
