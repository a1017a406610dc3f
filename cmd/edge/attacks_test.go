package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// attack is one way to hurt a broker with the limits that it has by default, from one process that may open many connections.
type attack struct {
	name    string
	do      func(a *attacker)
	refused []string // reasons, of Stats.Refused or Stats.Dropped, that must be counted and, but for the second, logged once
	mib     int64    // the most that the memory of the whole appliance may grow by, 0: calmMiB
	stays   bool     // sessions and retained messages may stay, within their limits
	ws      bool     // on the WebSocket listener; the honest client is on the other one
}

// calmMiB is what an appliance may grow by under an attack that has no business with memory.
const calmMiB = 48

// attacks are the classes that have hurt brokers; each function says which.
var attacks = []attack{
	{name: "slow CONNECT", do: slowConnect},
	{name: "length bombs before login", do: lengthBombs, refused: []string{"malformed CONNECT"}},
	{name: "keep alive of the longest", do: slowITe},
	{name: "half packets", do: halfPackets, refused: []string{"no room for large packets that are not finished"}, mib: 320},
	{name: "subscription bomb", do: subscriptionBomb, refused: []string{"subscription refused"}, mib: 400},
	{name: "retained bomb", do: retainedBomb, refused: []string{"retained messages full"}, mib: 400, stays: true},
	{name: "client identifier storm", do: identifierStorm},
	{name: "take-over storm", do: takeOverStorm},
	{name: "will storm", do: willStorm, refused: []string{"malformed CONNECT"}, mib: 200},
	{name: "65,535 levels", do: manyLevels, refused: []string{"refused", "subscription refused"}},
	{name: "bad UTF-8", do: badUTF8, refused: []string{"protocol error"}},
	{name: "topics that begin with $", do: dollarTopics, refused: []string{"not authorized"}},
	{name: "malformed properties", do: badProperties, refused: []string{"protocol error"}, mib: 160},
	{name: "small packets", do: smallPackets},
	{name: "reader that never reads", do: neverReads, refused: []string{"slow consumer"}, mib: 400},
	{name: "each packet in each state", do: eachPacketInEachState, refused: []string{"malformed CONNECT", "protocol error"}},
	{name: "QoS 2 never completed", do: neverCompleted},
	{name: "receive maximum overrun", do: receiveMaximum, refused: []string{"protocol error"}},
	{name: "topic aliases", do: topicAliases, refused: []string{"protocol error"}},
	{name: "WebSocket floods", do: webSocketFloods, refused: []string{"WebSocket upgrade refused", "protocol error"}, ws: true},
	{name: "sessions that never come back", do: hoardedSessions, refused: []string{"all queues full"}, mib: 600, stays: true},
}

// TestAttacks runs each attack on an appliance of its own, with an honest client beside it that publishes to itself before, during
// and after. It loses nothing, is not refused when it comes anew, and is answered; the memory stays below its cap; what was refused is counted
// and logged; and when the attacker has gone the appliance is what it was. With EDGE_LONG the attacks last, and the honest
// client's 99th percentile stays within three times of what it was.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			if !longRun() { // which measures
				t.Parallel()
			}
			target := startTarget(t)
			honest := newHonest(t, target.mqtt)
			before := target.settle()
			target.resetPeak()
			normal := honest.rounds(samples(60))
			at := target.mqtt
			if a.ws {
				at = before.WS
			}
			during := honest.whileRunning(func() { runAttacker(t, a.name, at) })
			peak := target.peak()
			after := honest.rounds(samples(60))
			target.judge(&a, before, peak)
			t.Logf("%s: p99 %v before, %v during (%d), %v after; memory %d MiB and %d more at the peak", a.name,
				p99(normal), p99(during), len(during), p99(after), before.RSS>>20, (peak-before.RSS)>>20)
			if longRun() && len(during) >= 500 && p99(during) > 3*p99(normal) && p99(during) > millisecond {
				t.Errorf("p99 during the attack is %v, %.1f times what it was", p99(during), float64(p99(during))/float64(p99(normal)))
			}
		})
	}
}

// millisecond is what a machine that runs the honest client and the attacker as well takes more now and then: below it, a ratio
// is of the machine.
const millisecond = time.Millisecond

func longRun() bool { return os.Getenv("EDGE_LONG") != "" }

func samples(n int) int {
	if longRun() {
		return 20 * n
	}
	return n
}

func p99(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)*99)/100].Round(10 * time.Microsecond)
}

// judge holds the appliance against what it was before the attack.
func (g *target) judge(a *attack, before report, peak int64) {
	t := g.t
	t.Helper()
	if limit := cmpOr(a.mib, calmMiB) * raceMemory << 20; peak-before.RSS > limit {
		t.Errorf("memory grew by %d MiB, more than %d", (peak-before.RSS)>>20, limit>>20)
	}
	now := g.report()
	for _, reason := range a.refused {
		if now.Stats.Refused[reason] == 0 && now.Stats.Dropped[reason] == 0 {
			t.Errorf("%q is not counted: %v %v", reason, now.Stats.Refused, now.Stats.Dropped)
		}
		if now.Stats.Refused[reason] > 0 && !strings.Contains(g.log(), fmt.Sprintf("reason=%q", reason)) {
			t.Errorf("%q is not logged", reason)
		}
	}
	if n := strings.Count(g.log(), "\n"); n > 5000 {
		t.Errorf("%d lines of log", n)
	}
	eventually(t, patience, "the appliance is what it was", func() bool {
		now = g.report()
		s := &now.Stats
		return s.Clients == 1 && s.Connections == 1 && s.OutboxBytes == 0 && now.Goroutines <= before.Goroutines+5 && now.FDs <= before.FDs+5 &&
			(a.stays || s.Sessions == 1 && s.Subscriptions == before.Stats.Subscriptions && s.Retained == before.Stats.Retained)
	})
	if s := &now.Stats; s.Sessions > 10000 || s.Retained > 10100 || s.RetainedBytes > 64<<20 || s.QueuedBytes > 256<<20+128<<10 {
		t.Errorf("what stays is more than the limits allow: %+v", s)
	}
	for _, line := range strings.Split(g.log(), "\n") {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			t.Errorf("log: %s", line)
		}
	}
}

func cmpOr(a, b int64) int64 {
	if a != 0 {
		return a
	}
	return b
}

// honest is a client that publishes to itself, QoS 1, and must get each of its messages once and in order.
type honest struct {
	t      *testing.T
	addr   string
	client *brokertest.Client
	n      int
}

func newHonest(t *testing.T, addr string) *honest {
	h := &honest{t: t, addr: addr, client: connectTo(t, addr, "honest")}
	h.client.Subscribe("honest/+", 1)
	return h
}

// connectTo connects with the patience of a test, which is more than what a client has.
func connectTo(t *testing.T, addr, id string) *brokertest.Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, conn, packets.V5)
	c.Patience = patience
	c.Connect(id, true)
	return c
}

// round sends one message there and back.
func (h *honest) round() time.Duration {
	h.n++
	payload := strconv.Itoa(h.n)
	id := h.client.NextID()
	began := time.Now()
	h.client.Send(&packets.Publish{Topic: "honest/x", QoS: 1, PacketID: id, Payload: []byte(payload)})
	for acked, got := false, false; !acked || !got; {
		p, err := h.client.Next()
		if err != nil {
			h.t.Fatalf("honest client, message %d: %v", h.n, err)
		}
		switch p := p.(type) {
		case *packets.Puback:
			if acked = p.PacketID == id && !p.Code.Failed(); !acked {
				h.t.Fatalf("honest client, message %d: PUBACK %d %v", h.n, p.PacketID, p.Code)
			}
		case *packets.Publish:
			if got = string(p.Payload) == payload; !got {
				h.t.Fatalf("honest client got %q for message %d", p.Payload, h.n)
			}
			h.client.Send(&packets.Puback{PacketID: p.PacketID})
		default:
			h.t.Fatalf("honest client got %s", brokertest.Describe(p))
		}
	}
	return time.Since(began)
}

// rounds is n messages, one each two milliseconds.
func (h *honest) rounds(n int) (took []time.Duration) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range n {
		took = append(took, h.round())
		<-tick.C
	}
	return took
}

// whileRunning goes on until f has ended. Now and then a new honest client comes, is let in and goes.
func (h *honest) whileRunning(f func()) (took []time.Duration) {
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		f()
	})
	defer running.Wait()
	newcomers := make(chan struct{})
	running.Go(func() {
		defer close(newcomers)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			connectTo(h.t, h.addr, fmt.Sprint("newcomer", n)).Close()
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	})
	for {
		took = append(took, h.rounds(10)...)
		select {
		case <-newcomers:
			return took
		default:
		}
	}
}

// target is an appliance in a process of its own that tells about itself.
type target struct {
	*child
	ask     io.Writer
	answers *bufio.Scanner
}

// report is what a target tells.
type report struct {
	MQTT, WS   string
	Stats      broker.Stats
	Goroutines int
	FDs        int
	RSS        int64 // now; not the peak
}

func startTarget(t *testing.T) *target {
	t.Helper()
	g := &target{child: &child{t: t, cmd: asProgram(context.Background(), t), ended: make(chan struct{})}}
	g.cmd.Env = append(g.cmd.Env, "EDGE_TEST_AS_PROGRAM=target", "EDGE_TARGET_DATA="+t.TempDir())
	stderr, err1 := g.cmd.StderrPipe()
	stdout, err2 := g.cmd.StdoutPipe()
	stdin, err3 := g.cmd.StdinPipe()
	if err := errors.Join(err1, err2, err3, g.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	g.ask, g.answers = stdin, bufio.NewScanner(stdout)
	g.answers.Buffer(nil, 1<<20)
	go g.read(stderr)
	t.Cleanup(g.kill)
	g.mqtt = g.report().MQTT
	return g
}

func (g *target) report() (r report) {
	g.t.Helper()
	io.WriteString(g.ask, "report\n")
	if !g.answers.Scan() {
		g.t.Fatalf("the appliance has ended:\n%s", g.log())
	}
	if err := json.Unmarshal(g.answers.Bytes(), &r); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// settle gives memory that is not needed back to the system, so that what comes can be seen.
func (g *target) settle() report {
	io.WriteString(g.ask, "settle\n")
	g.answers.Scan()
	return g.report()
}

// resetPeak lets peak count from now on.
func (g *target) resetPeak() {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.cmd.Process.Pid), []byte("5"), 0); err != nil {
		g.t.Fatal(err)
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that the process had since resetPeak, as the kernel saw it.
func (g *target) peak() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	m := peakLine.FindSubmatch(status)
	if err != nil || m == nil {
		g.t.Fatalf("%v: %s", err, status)
	}
	kib, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kib << 10
}

// runTarget is the program of a target: the appliance as it is by default, answering each line of stdin by one of JSON.
func runTarget() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg := defaultConfig()
	cfg.Data = os.Getenv("EDGE_TARGET_DATA")
	cfg.Broker.Listeners[0].Address, cfg.HTTP.Address = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Broker.Listeners = append(cfg.Broker.Listeners,
		ListenerConfig{Name: "web", Address: "127.0.0.1:0", Transport: "ws", Path: "/mqtt", Anonymous: true})
	log, _ := newLog(cfg.Log, os.Stderr)
	app, err := NewApp(&cfg, log, appOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	go func() {
		<-app.Ready()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if in.Text() == "settle" {
				debug.FreeOSMemory()
			}
			fds, _ := os.ReadDir("/proc/self/fd")
			statm, _ := os.ReadFile("/proc/self/statm")
			var size, resident int64
			fmt.Sscan(string(statm), &size, &resident)
			json.NewEncoder(os.Stdout).Encode(report{MQTT: app.MQTTAddr(), WS: app.mqtt[1].Addr().String(), Stats: app.pipeline.server.Stats(),
				Goroutines: runtime.NumGoroutine(), FDs: len(fds), RSS: resident * int64(os.Getpagesize())})
		}
		stop() // the test has ended
	}()
	if err := errors.Join(app.Run(ctx), app.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

// runAttacker runs an attack in a process of its own, with the lowest priority: attackers are other machines, and what is
// measured is not their work.
func runAttacker(t *testing.T, name, addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := asProgram(ctx, t)
	cmd.Env = append(cmd.Env, "EDGE_TEST_AS_PROGRAM=attacker", "EDGE_ATTACK="+name, "EDGE_TARGET="+addr)
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || exit != nil || len(said) > 0 {
		t.Errorf("attacker: %v %s", err, said)
	}
}

// attackerMain is the program of an attacker.
func attackerMain() {
	syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19)
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == os.Getenv("EDGE_ATTACK") })
	attacks[i].do(&attacker{addr: os.Getenv("EDGE_TARGET"), until: time.Now().Add(attackTime())})
	os.Exit(exitOK)
}

// attackTime is how long an attack that could go on for ever does.
func attackTime() time.Duration {
	if longRun() {
		return 8 * time.Second
	}
	return 500 * time.Millisecond
}
