package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"edge/historian/journal/powercut"
)

// TestMain lets the test binary be the program itself: testscript runs it as `edge`, and so do the crash tests,
// which kill it.
func TestMain(m *testing.M) {
	powercut.Main()
	switch os.Getenv("EDGE_TEST_AS_PROGRAM") {
	case "1":
		main()
	case "impatient":
		impatient()
	case "target":
		runTarget()
	case "attacker":
		attackerMain()
	}
	testscript.Main(m, map[string]func(){"edge": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), Setup: func(e *testscript.Env) error {
		packaged, err := filepath.Abs(filepath.Join("..", "..", "packaging"))
		e.Setenv("PACKAGING", packaged)
		return err
	}})
}

// asProgram returns the command line of `edge args...`, to be run as a process of its own.
func asProgram(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "EDGE_TEST_AS_PROGRAM=1")
	return cmd
}

// testApp is an appliance that runs in the test's process until the test ends.
type testApp struct {
	*App
	stop func() error // stops it and returns what Run returned; further calls return the same
}

// startApp runs an appliance on free loopback ports with its data in dir, changed by mutate.
func startApp(t *testing.T, dir string, o appOptions, mutate ...func(*Config)) *testApp {
	t.Helper()
	cfg := defaultConfig()
	cfg.Data = dir
	cfg.Broker.Listeners[0].Address, cfg.HTTP.Address = "127.0.0.1:0", "127.0.0.1:0"
	for _, f := range mutate {
		f(&cfg)
	}
	app, err := NewApp(&cfg, testLog(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	a := &testApp{App: app, stop: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, app.Close())
	})}
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Errorf("stopping the appliance: %v", err)
		}
	})
	eventually(t, patience, "the appliance is ready", func() bool {
		resp, err := http.Get(a.URL() + "readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK && dialable(a.MQTTAddr())
	})
	return a
}

func dialable(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// testLog shows warnings and errors of the parts in the test's output.
func testLog(t *testing.T) *slog.Logger {
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// get asks the HTTP interface and decodes the answer into v.
func (a *testApp) get(t *testing.T, path string, v any) {
	t.Helper()
	getJSON(t, a.URL()+strings.TrimPrefix(path, "/"), v)
}

func getJSON(t testing.TB, url string, v any) {
	t.Helper()
	if !findJSON(t, url, v) {
		t.Fatalf("GET %s: not found", url)
	}
}

// findJSON leaves v as it is, and is false, where the answer is 404.
func findJSON(t testing.TB, url string, v any) bool {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusNotFound {
		return false
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s %v", url, resp.Status, body, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("GET %s: %v in %s", url, err, body)
	}
	return true
}

// post sends a JSON body and returns the status.
func (a *testApp) post(t *testing.T, path string, body any) int {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(a.URL()+strings.TrimPrefix(path, "/"), "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// nodeState is what GET /api/v1/nodes says of one node.
type nodeState struct {
	Group, Node, State string
	BdSeq              int `json:"bd_seq"`
	LastDeath          struct {
		Time   time.Time
		Reason string
	} `json:"last_death"`
	Devices  []struct{ Device, State string }
	Rebirths struct{ Asked, Answered int }
}

// node returns one node as the API shows it; ok is false before it is known.
func (a *testApp) node(t *testing.T, group, node string) (n nodeState, ok bool) {
	t.Helper()
	var all []nodeState
	a.get(t, "api/v1/nodes", &all)
	for _, n := range all {
		if n.Group == group && n.Node == node {
			return n, true
		}
	}
	return nodeState{}, false
}

// patience is how long a test waits for what must come, on a machine that has much else to do. It costs nothing when it comes.
const patience = 90 * time.Second

// eventually waits until ok holds, looking every 20 ms, and fails the test after the deadline.
func eventually(t testing.TB, deadline time.Duration, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(deadline)
	for !ok() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

// program finds an outside program, or skips the test with what to install.
func program(t testing.TB, name, install string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Skipf("%s is not here; install it with: %s", name, install)
	return ""
}

const (
	installMosquitto = "apt-get install mosquitto mosquitto-clients"
	installChromium  = "apt-get install chromium"
	installPeers     = "npm ci --prefix cmd/edge/testdata/peers"
)

// peer finds a script of testdata/peers and the node that runs it, or skips the test with what to install.
func peer(t *testing.T, script string) (node, path string) {
	t.Helper()
	node = program(t, "node", "apt-get install nodejs npm, then "+installPeers)
	dir := filepath.Join("testdata", "peers")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skipf("the npm test peers are not here; install them with: %s", installPeers)
	}
	return node, filepath.Join(dir, script)
}
