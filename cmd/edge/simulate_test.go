package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/broker/brokertest"
)

func TestSimulateAndTailRefuseWrongUse(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(context.Context, []string, streams) int
		args []string
		code int
		says string
	}{
		{"simulate help", runSimulate, []string{"--help"}, exitOK, "example: edge simulate --broker"},
		{"no broker", runSimulate, nil, exitUsage, "--broker is missing"},
		{"protocol", runSimulate, []string{"--broker", "x", "--protocol", "3"}, exitUsage, "want 5 or 3.1.1"},
		{"fault", runSimulate, []string{"--broker", "x", "--fault", "gremlins"}, exitUsage, "gremlins"},
		{"scheme", runSimulate, []string{"--broker", "http://x"}, exitUsage, "want tcp, mqtt, mqtts, ws, wss or unix"},
		{"group", runSimulate, []string{"--broker", "x", "--group", "a/b"}, exitUsage, "a/b"},
		{"interval", runSimulate, []string{"--broker", "x", "--interval", "-1s"}, exitUsage, "out of range"},
		{"history", runSimulate, []string{"--broker", "x", "--history", "soon"}, exitUsage, "soon"},
		{"no one there", runSimulate, []string{"--broker", "127.0.0.1:1", "--nodes", "1", "--duration", "50ms"}, exitFailed, "was never born: dial tcp"},
		{"tail help", runTail, []string{"--help"}, exitOK, "example: edge tail"},
		{"tail of nothing", runTail, nil, exitUsage, "usage: edge tail"},
		{"tail protocol", runTail, []string{"x", "--protocol", "3"}, exitUsage, "want 5 or 3.1.1"},
		{"tail count", runTail, []string{"x", "--count", "-1"}, exitUsage, "want 0 or more"},
		{"tail of no one", runTail, []string{"127.0.0.1:1"}, exitFailed, "connection refused"},
		{"tail of no one, 3.1.1", runTail, []string{"127.0.0.1:1", "--protocol", "3.1.1"}, exitFailed, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			code := c.run(context.Background(), c.args, streams{out: &out, err: &out})
			if code != c.code || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.says, &out)
			}
		})
	}
}

func TestSimulateOnARealBroker(t *testing.T) {
	broker := brokertest.StartMosquitto(t).Addr
	for _, protocol := range []string{"5", "3.1.1"} {
		for _, duration := range []string{"300ms", "2s", "10s", "30s"} { // a busy machine takes longer until all are online
			out, missing := simulateFor(t, broker, duration, protocol)
			if missing == "" {
				break
			}
			if duration == "30s" {
				t.Errorf("%s: no %q in\n%s", protocol, missing, out)
			}
		}
	}
}

// simulateFor runs `edge simulate` and returns what it printed, and what was to be there and is not.
func simulateFor(t *testing.T, broker, duration, protocol string) (printed, missing string) {
	var out bytes.Buffer
	args := []string{"--broker", broker, "--duration", duration, "--history", "1h", "--protocol", protocol}
	if code := runSimulate(context.Background(), args, streams{out: &out, err: &out}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"plant/press online bdSeq=0", "plant/oven stopped", "plant/utilities: 1 connects, 1 births"} {
		if !strings.Contains(out.String(), want) {
			missing = want
		}
	}
	return out.String(), missing
}

func TestPasswordFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cr/t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, file, want string }{
		{"127.0.0.1:1883", "", "127.0.0.1:1883"},
		{"u@127.0.0.1:1883", file, "tcp://u:s3cr%2Ft@127.0.0.1:1883"},
		{"mqtts://u@broker", file, "mqtts://u:s3cr%2Ft@broker:8883"},
	} {
		if got, err := withPassword(c.in, c.file); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.in, got, err)
		}
	}
	if _, err := withPassword("x", file+".none"); err == nil {
		t.Error("a password file that is not there is accepted")
	}
}
