package brokertest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mosquitto is a mosquitto as a process on loopback, without persistence: a compliant broker of other makers, that knows nothing of
// Sparkplug.
type Mosquitto struct {
	Addr string // host:port, the same after Kill and Start

	t             testing.TB
	program, conf string
	cmd           *exec.Cmd     // nil while it is down
	ended         chan struct{} // closed by readLog
}

// StartMosquitto runs one until the test ends. Without the program the test is skipped.
func StartMosquitto(t testing.TB) *Mosquitto {
	t.Helper()
	m := &Mosquitto{t: t, program: "/usr/sbin/mosquitto", conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	if found, err := exec.LookPath("mosquitto"); err == nil {
		m.program = found
	} else if _, err := os.Stat(m.program); err != nil {
		t.Skip("mosquitto is not here: apt-get install mosquitto")
	}
	port := HoldPort(t)
	m.Addr = fmt.Sprint("127.0.0.1:", port)
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\n"+
		"log_dest stderr\nlog_type error\nlog_type warning\nlog_type information\n", port)
	if err := os.WriteFile(m.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(m.Kill)
	return m
}

// Broker is it as scripts see it.
func (m *Mosquitto) Broker() Broker {
	return Broker{Dial: func() net.Conn {
		conn, err := net.Dial("tcp", m.Addr)
		if err != nil {
			m.t.Fatal(err)
		}
		return conn
	}}
}

// Start runs it again after Kill, and returns once it says that it listens. That the port answers would prove nothing.
func (m *Mosquitto) Start() {
	m.t.Helper()
	cmd := exec.Command(m.program, "-c", m.conf)
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	running := make(chan struct{})
	var said []string // written by readLog, read after its end
	m.cmd, m.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) { // readLog: to the end, or mosquitto would wait for room in the pipe
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.HasSuffix(lines.Text(), " running") {
				close(running)
			} else if len(said) < 100 {
				said = append(said, lines.Text())
			}
		}
	}(m.ended)
	select {
	case <-running:
	case <-m.ended:
		m.t.Fatalf("mosquitto does not start:\n%s", strings.Join(said, "\n"))
	case <-time.After(Timeout):
		m.t.Fatal("mosquitto does not start in time")
	}
}

// Kill ends it at once, as a loss of power would.
func (m *Mosquitto) Kill() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	<-m.ended
	_ = m.cmd.Wait()
	m.cmd = nil
}
