package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"edge/sparkplug"
)

// child is `edge run` as a process of its own, whose log the test reads.
type child struct {
	t          testing.TB
	cmd        *exec.Cmd
	mqtt, page string        // once it is up
	ended      chan struct{} // closed when it has ended and its log is read

	mu    sync.Mutex
	lines []string
}

// configure writes a configuration with free ports and its data in dir/data, unless more says otherwise, which is put behind it.
func configure(t *testing.T, dir, more string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "edge.yaml")
	text := "http: {address: \"127.0.0.1:0\"}\n"
	if !strings.Contains(more, "data:") {
		text += fmt.Sprintf("data: %s\n", filepath.Join(dir, "data"))
	}
	if !strings.Contains(more, "broker:") {
		text += "broker: {listeners: [{name: plant, address: \"127.0.0.1:0\", anonymous: true}]}\n"
	}
	if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// launch starts `edge run` and does not wait until it is up.
func launch(t testing.TB, config string, env ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: asProgram(context.Background(), t, "run", "--config", config), ended: make(chan struct{})}
	c.cmd.Env = append(c.cmd.Env, env...)
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(stderr)
	t.Cleanup(c.kill)
	return c
}

func (c *child) read(stderr io.Reader) {
	defer close(c.ended)
	for s := bufio.NewScanner(stderr); s.Scan(); {
		c.mu.Lock()
		c.lines = append(c.lines, s.Text())
		c.mu.Unlock()
	}
	c.cmd.Wait() //nolint:errcheck // its exit code tells
}

var startedLine = regexp.MustCompile(`msg=started .*mqtt=(\S+) page=(\S+)`)

// start runs `edge run` until it lets clients in.
func start(t testing.TB, config string, env ...string) *child {
	t.Helper()
	c := launch(t, config, env...)
	eventually(t, patience, "edge run starts", func() bool {
		if c.hasEnded() {
			t.Fatalf("edge run ended with %d:\n%s", c.cmd.ProcessState.ExitCode(), c.log())
		}
		m := startedLine.FindStringSubmatch(c.log())
		if m != nil {
			c.mqtt, c.page = m[1], m[2]
		}
		return m != nil
	})
	return c
}

func (c *child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// log is all that it said so far.
func (c *child) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// logs waits until it said something that matches.
func (c *child) logs(pattern string) {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	if !within(patience, func() bool { return re.MatchString(c.log()) }) {
		c.t.Fatalf("the log never says %q:\n%s", pattern, c.log())
	}
}

// signal sends a signal.
func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits until it has ended by itself and returns its exit code.
func (c *child) exit() int {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("edge run has not ended:\n%s", c.log())
	}
	return c.cmd.ProcessState.ExitCode()
}

// stop ends it with SIGTERM.
func (c *child) stop() {
	c.t.Helper()
	c.signal(os.Interrupt)
	if code := c.exit(); code != exitOK {
		c.t.Fatalf("edge run ended with %d:\n%s", code, c.log())
	}
}

// kill is kill -9.
func (c *child) kill() {
	c.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-c.ended
	if c.t.Failed() {
		c.t.Logf("log of process %d:\n%s", c.cmd.Process.Pid, c.log())
	}
}

// get asks the HTTP interface.
func (c *child) get(path string, v any) {
	c.t.Helper()
	getJSON(c.t, c.page+path, v)
}

// point is one sample as GET /api/v1/history gives it.
type point struct {
	T, Q string
	V    any
}

// history returns all good samples of a node's metric, oldest first.
func (c *child) history(node, metric string) (good []point) {
	c.t.Helper()
	query := url.Values{"group": {"Crash"}, "node": {node}, "device": {""}, "metric": {metric},
		"from": {time.Now().Add(-72 * time.Hour).UTC().Format(time.RFC3339)}, "to": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}
	for {
		var answer struct {
			Samples []point
			Next    string
		}
		c.get("api/v1/history?"+query.Encode(), &answer)
		for _, p := range answer.Samples {
			if p.Q == "good" {
				good = append(good, p)
			}
		}
		if answer.Next == "" {
			return good
		}
		query.Set("from", answer.Next)
	}
}

// gaps are the causes of the gaps in the last hour of a node's metric.
func (c *child) gaps(node, metric string) (causes []string) {
	c.t.Helper()
	query := url.Values{"group": {"Crash"}, "node": {node}, "device": {""}, "metric": {metric},
		"from": {time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, "to": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}
	var answer struct{ Gaps []struct{ Cause string } }
	c.get("api/v1/history?"+query.Encode(), &answer)
	for _, g := range answer.Gaps {
		causes = append(causes, g.Cause)
	}
	return causes
}

// connect is a plain 3.1.1 client, which gives up when its connection ends.
func (c *child) connect(id string, clean bool, change ...func(*mqtt.ClientOptions)) mqtt.Client {
	c.t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + c.mqtt).SetClientID(id).SetCleanSession(clean).
		SetAutoReconnect(false).SetOrderMatters(true).SetWriteTimeout(patience).SetPingTimeout(patience)
	for _, f := range change {
		f(o)
	}
	client := mqtt.NewClient(o)
	c.must(client.Connect())
	c.t.Cleanup(func() { client.Disconnect(0) })
	return client
}

// must waits for what has to succeed.
func (c *child) must(token mqtt.Token) {
	c.t.Helper()
	if !token.WaitTimeout(patience) {
		c.t.Fatalf("no answer within %s:\n%s", patience, c.log())
	}
	if token.Error() != nil {
		c.t.Fatalf("%v:\n%s", token.Error(), c.log())
	}
}

// edgeNode is a node that says one number, and remembers nothing: the test counts.
type edgeNode struct {
	mqtt.Client
	name string
	conn net.Conn
	seq  uint64
	at   int64 // of the last value; each value has a time of its own
}

// node connects and is born.
func (c *child) node(name string, first int64, change ...func(*mqtt.ClientOptions)) *edgeNode {
	c.t.Helper()
	n := &edgeNode{name: name}
	ref := sparkplug.NodeRef{Group: "Crash", Node: name}
	death := sparkplug.NodeDeath(ref, 0, time.Now())
	n.Client = c.connect("node-"+name, true, func(o *mqtt.ClientOptions) {
		o.SetBinaryWill(death.Topic, death.Payload, 1, false)
		o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			conn, err := net.Dial("tcp", c.mqtt)
			n.conn = conn
			return conn, err
		})
		for _, f := range change {
			f(o)
		}
	})
	c.must(n.say("NBIRTH", 0, first, sparkplug.BdSeqMetric(0, time.Now())))
	return n
}

// cut ends its connection without a word.
func (n *edgeNode) cut() { n.conn.Close() }

// data says a value.
func (n *edgeNode) data(qos byte, value int64) mqtt.Token { return n.say("NDATA", qos, value) }

// tick takes the next millisecond for a value. It waits for it: a node that ran ahead of the clock would, after a restart, say
// another value with a time that it has used.
func (n *edgeNode) tick() {
	<-time.After(time.Until(time.UnixMilli(n.at + 1)))
	n.at = max(time.Now().UnixMilli(), n.at+1)
}

func (n *edgeNode) say(kind string, qos byte, value int64, more ...sparkplug.Metric) mqtt.Token {
	n.tick()
	p := sparkplug.Payload{Timestamp: uint64(n.at), HasTimestamp: true, Seq: n.seq, HasSeq: true, Metrics: append(more, sparkplug.Metric{
		Name: "Count", Type: sparkplug.Int64, Timestamp: uint64(n.at), HasTimestamp: true, Value: sparkplug.Int64Value(sparkplug.Int64, value),
	})}
	n.seq = (n.seq + 1) % 256
	return n.Publish("spBv1.0/Crash/"+kind+"/"+n.name, qos, false, sparkplug.Encode(&p))
}

// within waits until ok holds and tells whether it did before the deadline.
func within(deadline time.Duration, ok func() bool) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(deadline)
	for !ok() {
		select {
		case <-ticker.C:
		case <-late:
			return false
		}
	}
	return true
}

// runProgram runs `edge args...` to its end and returns its exit code and what it said.
func runProgram(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := asProgram(ctx, t, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("edge %q: %v %s", args, err, out)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(out)
}
