package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/eclipse/paho.golang/paho"

	"edge/sparkplug/simulate"
)

// startTransports runs an appliance with a listener of every kind; the name of each is its scheme.
func startTransports(t *testing.T, origins ...string) (app *testApp, ca string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	app = startApp(t, filepath.Join(dir, "data"), appOptions{}, func(cfg *Config) {
		secure := TLSConfig{Cert: cert, Key: key}
		cfg.Broker.Listeners = append(cfg.Broker.Listeners,
			ListenerConfig{Name: "mqtts", Address: "127.0.0.1:0", Transport: "tcp", Anonymous: true, TLS: secure},
			ListenerConfig{Name: "ws", Address: "127.0.0.1:0", Transport: "ws", Path: "/mqtt", Origins: origins, Anonymous: true},
			ListenerConfig{Name: "wss", Address: "127.0.0.1:0", Transport: "ws", Path: "/mqtt", Anonymous: true, TLS: secure},
			ListenerConfig{Name: "unix", Address: "mqtt.sock", Transport: "unix", Mode: "0660", Anonymous: true},
			ListenerConfig{Name: "six", Address: "[::1]:0", Transport: "tcp", Anonymous: true})
	})
	return app, cert
}

// url is where the listener of that name can be reached.
func (a *testApp) url(name string) string {
	for _, l := range a.mqtt {
		if l.Name != name {
			continue
		}
		switch name {
		case "ws", "wss":
			return name + "://" + l.Addr().String() + "/mqtt"
		case "six":
			return "mqtt://" + l.Addr().String()
		case "unix":
			return "unix://" + l.Addr().String()
		}
		return name + "://" + l.Addr().String()
	}
	return ""
}

// TestMQTTJSTransports: mqtt.js, written by others, over WebSocket, TLS and IPv6.
func TestMQTTJSTransports(t *testing.T) {
	t.Parallel()
	node, script := peer(t, "mqttjs.mjs")
	app, ca := startTransports(t)
	c := startLines(t, node, script)
	for _, name := range []string{"ws", "wss", "mqtts", "six"} {
		for _, version := range []int{4, 5} {
			t.Run(fmt.Sprintf("%s version %d", name, version), func(t *testing.T) {
				c.t = t
				c.send(`{"do":"connect","url":"%s","version":%d,"client_id":"js-%s-%d","ca":"%s"}`, app.url(name), version, name, version, ca)
				c.expect(`"event":"connect"`)
				topic := fmt.Sprintf("transport/%s/%d", name, version)
				c.send(`{"do":"sub","topic":"%s","qos":2}`, topic)
				c.expect(`"event":"subscribed","granted":[2]`)
				large := strings.Repeat("x", 200_000)
				c.send(`{"do":"pub","topic":"%s","payload":"%s","qos":2}`, topic, large)
				c.expect(large)
				c.expect(`"event":"published"`)
				c.send(`{"do":"end"}`)
				c.expect(`"event":"ended"`)
			})
		}
	}
}

// TestPahoTransports: paho.golang, written by others, over the unix socket and IPv6; the page shows who is there.
func TestPahoTransports(t *testing.T) {
	app, _ := startTransports(t)
	for name, address := range map[string]*regexp.Regexp{
		"unix": regexp.MustCompile(fmt.Sprintf(`^unix:pid=%d,uid=%d$`, os.Getpid(), os.Getuid())),
		"six":  regexp.MustCompile(`^\[::1\]:\d+$`),
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(app.url(name))
			if err != nil {
				t.Fatal(err)
			}
			network, at := "tcp", u.Host
			if u.Scheme == "unix" {
				network, at = "unix", u.Path
			}
			conn, err := net.Dial(network, at)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got := make(chan string, 1)
			c := paho.NewClient(paho.ClientConfig{Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(r paho.PublishReceived) (bool, error) { got <- string(r.Packet.Payload); return true, nil },
			}})
			if _, err := c.Connect(ctx, &paho.Connect{ClientID: name, KeepAlive: 30, CleanStart: true}); err != nil {
				t.Fatal(err)
			}
			defer c.Disconnect(&paho.Disconnect{})
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: name, QoS: 1}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Publish(ctx, &paho.Publish{Topic: name, QoS: 1, Payload: []byte("hello")}); err != nil {
				t.Fatal(err)
			}
			select {
			case m := <-got:
				if m != "hello" {
					t.Errorf("got %q", m)
				}
			case <-ctx.Done():
				t.Fatal("no message")
			}
			for _, i := range app.pipeline.server.Clients() {
				if i.ClientID == name && !address.MatchString(i.Addr) {
					t.Errorf("the client's address is shown as %q", i.Addr)
				}
			}
		})
	}
}

// TestMosquittoTransports: mosquitto_pub and mosquitto_sub, written by others, over the unix socket, IPv6 and TLS.
func TestMosquittoTransports(t *testing.T) {
	pub, sub := program(t, "mosquitto_pub", installMosquitto), program(t, "mosquitto_sub", installMosquitto)
	app, ca := startTransports(t)
	for _, name := range []string{"unix", "six", "mqtts"} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(app.url(name))
			if err != nil {
				t.Fatal(err)
			}
			to := []string{"-h", u.Hostname(), "-p", u.Port()}
			switch name {
			case "unix":
				to = []string{"--unix", u.Path}
			case "mqtts":
				to = append(to, "--cafile", ca)
			}
			args := append(to, "-V", "5", "-t", "m/"+name, "-q", "1")
			if out, err := exec.Command(pub, append(args, "-r", "-m", "hello")...).CombinedOutput(); err != nil {
				t.Fatalf("mosquitto_pub: %v %s", err, out)
			}
			if out, err := exec.Command(sub, append(args, "-C", "1", "-W", "10")...).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "hello" {
				t.Errorf("mosquitto_sub: %v %q", err, out)
			}
		})
	}
}

// TestForeignPage: in a real browser, a page of another origin opens no WebSocket unless the listener names its origin.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	program(t, "chromium", installChromium)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>a page of somebody else</title>")
	}))
	defer pages.Close()
	foreign, _ := startTransports(t)
	listed, _ := startTransports(t, pages.URL)
	b := openTab(t, pages.URL)
	// a CONNECT is sent; the outcome is the type of the packet that comes back
	const script = `(() => {
		const done = what => document.body.dataset.outcome = what;
		const s = new WebSocket(%q, "mqtt");
		s.binaryType = "arraybuffer";
		s.onopen = () => s.send(new Uint8Array([0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 30, 0, 1, 98]));
		s.onmessage = e => { done("packet-" + (new Uint8Array(e.data)[0] >> 4)); s.close() };
		s.onerror = () => done("refused");
		return true;
	})()`
	for _, c := range []struct {
		app  *testApp
		want string
	}{{foreign, "refused"}, {listed, "packet-2"}} {
		do(b, chromedp.Evaluate[bool](fmt.Sprintf(script, c.app.url("ws"))))
		b.see(fmt.Sprintf(`body[data-outcome=%q]`, c.want))
	}
	if n := foreign.pipeline.server.Refusals()["WebSocket upgrade refused"]; n != 1 {
		t.Errorf("%d refusals counted", n)
	}
}

// TestUnixSocket: only its owner and group may connect, a dead program's socket is replaced, a living one's is not, and nothing stays behind.
func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if _, err := listenUnix("key", path, 0o660); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the socket of a living program: %v", err)
	}
	stale.Close()
	l, err := listenUnix("key", path, 0o620)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("mode %v %v", info, err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix("key", path, 0o660); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file is gone")
	}
}

// TestUnixSocketOfTheProgram is killed and started again, then stopped.
func TestUnixSocketOfTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := configure(t, dir, "broker: {listeners: [{name: local, address: mqtt.sock, transport: unix, anonymous: true}]}\n")
	socket := filepath.Join(dir, "data", "mqtt.sock")
	c := start(t, config)
	if c.mqtt != socket {
		t.Errorf("it listens on %s", c.mqtt)
	}
	c.signal(syscall.SIGKILL)
	<-c.ended
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("nothing stale to replace: %v", err)
	}
	c = start(t, config)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	c.stop()
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("after the stop: %v", err)
	}
}

// TestTailAndSimulateTransports: `edge simulate` sends and `edge tail` prints over every transport.
func TestTailAndSimulateTransports(t *testing.T) {
	app, _ := startTransports(t)
	for _, name := range []string{"ws", "unix", "six"} {
		for _, protocol := range []string{"5", "3.1.1"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				level, err := simulate.ParseProtocol(protocol)
				if err != nil {
					t.Fatal(err)
				}
				group := "g" + name + strings.ReplaceAll(protocol, ".", "")
				fleet, err := simulate.New(simulate.Options{Broker: app.url(name), Protocol: level, Nodes: simulate.Generic(group, 1, 1, 1), Interval: 50 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- fleet.Run(ctx) }()
				var out, errs strings.Builder
				code := runTail(t.Context(), []string{app.url(name), "spBv1.0/" + group + "/#", "--count", "2", "--protocol", protocol}, streams{out: &out, err: &errs})
				cancel()
				if err := <-ended; err != nil || code != exitOK || strings.Count(out.String(), "\n") < 2 {
					t.Errorf("simulate %v, tail %d %q %q", err, code, out.String(), errs.String())
				}
			})
		}
	}
}
