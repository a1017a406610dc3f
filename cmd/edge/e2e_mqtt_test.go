package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// peerProcess is a running program whose output is read line by line.
type peerProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   chan string
	kept  []string // read and not yet expected
}

// startLines starts a program that ends with the test.
func startLines(t *testing.T, name string, args ...string) *peerProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &peerProcess{t: t, cmd: exec.CommandContext(ctx, name, args...), out: make(chan string, 1<<16)}
	stdin, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stdin = stdin
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Stderr = testWriter{t}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s := bufio.NewScanner(stdout)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			l.out <- s.Text()
		}
		close(l.out)
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		l.cmd.Wait() //nolint:errcheck // it was killed
	})
	return l
}

// expect waits for a line that holds want and returns it. Lines that come before it are kept for a later expect.
func (l *peerProcess) expect(want string) string {
	l.t.Helper()
	for i, line := range l.kept {
		if strings.Contains(line, want) {
			l.kept = slices.Delete(l.kept, i, i+1)
			return line
		}
	}
	late := time.After(patience)
	for {
		select {
		case line, ok := <-l.out:
			if !ok {
				l.t.Fatalf("%v ended without %q; it said %q", l.cmd.Args, want, l.kept)
			}
			if strings.Contains(line, want) {
				return line
			}
			l.kept = append(l.kept, line)
		case <-late:
			l.t.Fatalf("%v: no %q within %s; it said %q", l.cmd.Args, want, patience, l.kept)
		}
	}
}

// send writes one line to the program.
func (l *peerProcess) send(format string, args ...any) {
	l.t.Helper()
	if _, err := fmt.Fprintf(l.stdin, format+"\n", args...); err != nil {
		l.t.Fatal(err)
	}
}

// TestMosquittoClients: mosquitto_pub and mosquitto_sub, written by others, exchange QoS 0, 1, 2, retained and
// will messages through our broker, in 3.1, 3.1.1 and 5.0.
func TestMosquittoClients(t *testing.T) {
	pub, sub := program(t, "mosquitto_pub", installMosquitto), program(t, "mosquitto_sub", installMosquitto)
	app := startApp(t, t.TempDir(), appOptions{})
	host, port, _ := net.SplitHostPort(app.MQTTAddr())
	for _, version := range []string{"31", "311", "5"} {
		t.Run("mqtt"+version, func(t *testing.T) {
			common := []string{"-h", host, "-p", port, "-V", version}
			run := func(args ...string) {
				t.Helper()
				if out, err := exec.Command(pub, append(common, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub %q: %v %s", args, err, out)
				}
			}
			base := "e2e/" + version
			run("-t", base+"/kept", "-m", "retained-"+version, "-r", "-q", "1")

			s := startLines(t, sub, append(common, "-t", base+"/#", "-q", "2", "-F", "%t %q %r %p")...)
			s.expect(base + "/kept 1 1 retained-" + version) // also says that the subscription stands
			for qos := range 3 {
				run("-t", fmt.Sprintf("%s/qos%d", base, qos), "-m", fmt.Sprintf("m%d", qos), "-q", fmt.Sprint(qos))
				s.expect(fmt.Sprintf("%s/qos%d %d 0 m%d", base, qos, qos, qos))
			}

			dying := startLines(t, sub, append(common, "-t", base+"/nothing", "-i", "dying"+version,
				"--will-topic", base+"/will", "--will-payload", "gone", "--will-qos", "1")...)
			eventually(t, patience, "the dying client is connected", func() bool { return app.connected(t, "dying"+version) })
			if err := dying.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			s.expect(base + "/will 1 0 gone")

			// a persistent session gets what came while it was away
			persistent := append(common, "-i", "away"+version, "-c", "-t", base+"/queue", "-q", "1", "-F", "%p")
			if version == "5" {
				persistent = append(persistent, "-x", "3600")
			}
			once := append(persistent, "-E") // subscribe and leave
			if out, err := exec.Command(sub, once...).CombinedOutput(); err != nil {
				t.Fatalf("mosquitto_sub %q: %v %s", once, err, out)
			}
			run("-t", base+"/queue", "-m", "while-away", "-q", "1")
			startLines(t, sub, persistent...).expect("while-away")
		})
	}
}

// connected tells whether a client identifier has a connection, as GET /api/v1/clients shows.
func (a *testApp) connected(t *testing.T, clientID string) bool {
	t.Helper()
	for _, c := range a.pipeline.server.Clients() {
		if c.ClientID == clientID {
			return c.Connected
		}
	}
	return false
}

// TestMQTTJS: mqtt.js, written by others, exchanges QoS 0, 1, 2, retained and will messages through our broker.
func TestMQTTJS(t *testing.T) {
	t.Parallel()
	node, script := peer(t, "mqttjs.mjs")
	app := startApp(t, t.TempDir(), appOptions{})
	for _, version := range []int{4, 5} {
		t.Run(fmt.Sprintf("version%d", version), func(t *testing.T) {
			t.Parallel()
			connect := func(id, more string) *peerProcess {
				t.Helper()
				c := startLines(t, node, script)
				c.send(`{"do":"connect","url":"mqtt://%s","version":%d,"client_id":"%s-%d"%s}`, app.MQTTAddr(), version, id, version, more)
				c.expect(`"event":"connect"`)
				return c
			}
			base := fmt.Sprintf("js/%d", version)
			pub := connect("js-pub", "")
			pub.send(`{"do":"pub","topic":"%s/kept","payload":"r","qos":1,"retain":true}`, base)
			pub.expect(`"event":"published"`)
			sub := connect("js-sub", "")
			sub.send(`{"do":"sub","topic":"%s/#","qos":2}`, base)
			sub.expect(`"event":"subscribed","granted":[2]`)
			sub.expect(fmt.Sprintf(`"topic":"%s/kept","payload":"r","qos":1,"retain":true`, base))
			for qos := range 3 {
				pub.send(`{"do":"pub","topic":"%s/q","payload":"m%d","qos":%d}`, base, qos, qos)
				sub.expect(fmt.Sprintf(`"payload":"m%d","qos":%d,"retain":false`, qos, qos))
				pub.expect(`"event":"published"`)
			}
			dying := connect("js-dying", fmt.Sprintf(`,"will":{"topic":"%s/will","payload":"gone","qos":2}`, base))
			dying.send(`{"do":"kill"}`)
			sub.expect(`"payload":"gone","qos":2`)
			leaving := connect("js-leaving", fmt.Sprintf(`,"will":{"topic":"%s/will","payload":"not sent","qos":2}`, base))
			leaving.send(`{"do":"end"}`)
			leaving.expect(`"event":"ended"`)
			pub.send(`{"do":"pub","topic":"%s/last","payload":"end","qos":1}`, base)
			if line := sub.expect(`"event":"message"`); !strings.Contains(line, `"payload":"end"`) {
				t.Errorf("after a clean DISCONNECT came %s, want no will", line)
			}
		})
	}
}
