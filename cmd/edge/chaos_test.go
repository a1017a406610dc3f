package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"edge/broker/brokertest"
	"edge/historian/journal"
	"edge/sparkplug"
	"edge/sparkplug/uplink"
)

// impatient is `edge run --config FILE` with a log of half a MiB, so that day files are written all the time, and an uplink
// that does not wait before it tries again.
func impatient() {
	loaded, err := loadConfig(os.Args[len(os.Args)-1], os.Environ(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitRefused)
	}
	log, _ := newLog(loaded.Config.Log, os.Stderr)
	app, err := NewApp(&loaded.Config, log, appOptions{
		tuneUplink: func(o *uplink.Options) {
			o.Jitter, o.BackoffMin, o.BackoffMax = -1, 100*time.Millisecond, time.Second
			o.ConnectRate, o.PostmortemAfter = 100, time.Second
		},
		tuneJournal: func(o *journal.Options) {
			o.SegmentBytes, o.MaxBytes = 256<<10, 512<<10
			if os.Getenv(unsyncedEnv) != "" {
				o.Files = unsynced{}
			}
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log.Info("started", "version", "test", "mqtt", app.MQTTAddr(), "page", app.URL())
	if err := errors.Join(app.Run(ctx), app.Close()); err != nil {
		log.Error("stopped", "err", err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

// relay passes connections on through a cable, until the test ends, and returns its address.
func relay(t *testing.T, line *cable, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	pass := func(near net.Conn) {
		defer near.Close()
		far, err := line.dial(context.Background(), "tcp", to)
		if err != nil {
			return
		}
		all.Go(func() { io.Copy(far, near); far.Close() }) //nolint:errcheck // a cut is what it is for
		io.Copy(near, far)                                 //nolint:errcheck // the same
	}
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(near) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		line.pull()
		all.Wait()
	})
	return l.Addr().String()
}

// truth is what nodes said and were told is committed: by node and value, which is said once.
type truth struct {
	mu    sync.Mutex
	next  int64
	acked map[string]map[int64]int64 // node, value: its time
}

func (r *truth) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, values := range r.acked {
		n += len(values)
	}
	return n
}

// talker is a node at work.
type talker struct {
	*edgeNode
	gone, ended chan struct{}
}

// hangUp cuts its connection and waits until it has said its last value. It may be said twice.
func (k *talker) hangUp() {
	select {
	case <-k.gone:
	default:
		close(k.gone)
	}
	k.cut()
	<-k.ended
}

// talk lets a node be born and say values, each tenth of them one that it kept since yesterday, until its connection ends.
func (r *truth) talk(c *child, name string) *talker {
	// paho does not see that its connection has ended while a publish waits to be written.
	n := c.node(name, r.value(), func(o *mqtt.ClientOptions) { o.SetWriteTimeout(5 * time.Second) })
	k := &talker{n, make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(k.ended)
		for n.IsConnectionOpen() {
			value := r.value()
			at, token := n.yesterdayOrNow(value)
			select {
			case <-k.gone:
				return
			case <-token.Done():
			}
			select {
			case <-k.gone: // paho ends a token without an error when it loses the connection
				return
			default:
			}
			if token.Error() != nil || !n.IsConnectionOpen() {
				return
			}
			r.mu.Lock()
			r.acked[name][value] = at
			r.mu.Unlock()
		}
	}()
	return k
}

// value is one that nobody said.
func (r *truth) value() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.next
}

// check compares history and enterprise with the truth; empty when they agree.
func (r *truth) check(t *testing.T, c *child, heard *checker) (wrong string, again int) {
	t.Helper()
	arrived := map[string]map[[2]int64]int{} // value and time
	heard.mu.Lock()
	for key, s := range heard.samples {
		var value int64
		if _, err := fmt.Sscanf(key.value, "11:%d:", &value); err != nil {
			t.Fatalf("value %q", key.value)
		}
		if arrived[key.node] == nil {
			arrived[key.node] = map[[2]int64]int{}
		}
		arrived[key.node][[2]int64{value, int64(key.at)}] += s.count
		again += s.count - 1
	}
	heard.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, acked := range r.acked {
		kept := map[int64]int{}
		for _, p := range c.history(name, "Count") {
			kept[number(t, p)]++
		}
		for value, at := range acked {
			if kept[value] != 1 {
				return fmt.Sprintf("%s: %d stands %d times in the history", name, value, kept[value]), again
			}
			if arrived["Crash/"+name][[2]int64{value, at}] == 0 {
				return fmt.Sprintf("%s: %d has not arrived", name, value), again
			}
		}
	}
	return "", again
}

// seedOf returns EDGE_SEED or a random number, and says which.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("EDGE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal("EDGE_SEED:", err)
		}
	}
	t.Logf("seed %d: set EDGE_SEED to take the same steps", seed)
	return seed
}

// chaosRounds: a few in `go test`, many in .ci/long.
func chaosRounds() int {
	switch n, err := strconv.Atoi(os.Getenv("EDGE_LONG")); {
	case err == nil && n > 1:
		return n
	case n == 1:
		return 40
	}
	return 2
}

// TestChaos: the line to a real mosquitto is cut, nodes lose their connections, the appliance is stopped and killed, in
// random order and in the middle of the data. After each round the history has every committed sample once, the enterprise
// has each at least once, nothing is owed or given up, and seq, bdSeq, births and deaths were right all the time.
func TestChaos(t *testing.T) {
	t.Parallel()
	enterprise := brokertest.StartMosquitto(t)
	random := rand.New(rand.NewPCG(seedOf(t), 0))
	heard := watch(t, enterprise.Addr, "checker")
	var line cable
	config := configure(t, t.TempDir(), fmt.Sprintf("uplinks: [{name: enterprise, servers: [{url: \"mqtt://%s\"}]}]\n",
		relay(t, &line, enterprise.Addr)))
	env := "EDGE_TEST_AS_PROGRAM=impatient"
	c := start(t, config, env)
	said := &truth{acked: map[string]map[int64]int64{"a": {}, "b": {}}}
	names := []string{"a", "b"}
	nodes := map[string]*talker{}
	talk := func() {
		for _, name := range names {
			nodes[name] = said.talk(c, name)
		}
	}
	hangUp := func() {
		for _, n := range nodes {
			n.hangUp()
		}
	}
	defer func() { c.kill(); hangUp() }()
	more := func(n int) {
		t.Helper()
		enough := said.count() + n
		eventually(t, patience, "values are committed", func() bool { return said.count() >= enough })
	}
	losses := 0
	for round := range chaosRounds() {
		talk()
		more(50 + random.IntN(100))
		var steps []string
		for range 3 + random.IntN(3) {
			losses++
			step := [...]string{"pull", "plug", "node", "kill", "stop"}[random.IntN(5)]
			steps = append(steps, step)
			switch step {
			case "pull":
				line.pull()
			case "plug":
				line.plug()
			case "node":
				name := names[random.IntN(len(names))]
				nodes[name].hangUp()
				nodes[name] = said.talk(c, name)
			case "kill", "stop":
				if step == "kill" {
					c.signal(syscall.SIGKILL)
					c.kill()
				} else {
					c.stop()
				}
				hangUp()
				c = start(t, config, env)
				c.nothingGood(names)
				talk()
			}
			more(random.IntN(200))
		}
		line.plug()
		hangUp()
		wrong, again := "", 0
		if !within(patience, func() bool { wrong, again = said.check(t, c, heard); return wrong == "" }) {
			t.Fatalf("round %d, after %v: %s", round, steps, wrong)
		}
		c.settled()
		t.Logf("round %d, %v: %d committed, %d arrived again", round, steps, said.count(), again)
		if bound := 2 * 1000 * len(names) * losses; again > bound {
			t.Errorf("%d samples arrived again, want at most %d", again, bound)
		}
	}
	heard.report(t, "enterprise")
	c.stop()
}

// nothingGood: after a start no node was heard of yet.
func (c *child) nothingGood(names []string) {
	c.t.Helper()
	for _, name := range names {
		var all struct{ Metrics []metricState }
		c.get("api/v1/metrics?group=Crash&node="+name, &all)
		for _, m := range all.Metrics {
			if m.Quality == "good" {
				c.t.Errorf("after a start %s of %s is good", m.Name, name)
			}
		}
	}
}

// settled waits until nothing is owed, and looks at the reports: all that was owed was delivered.
func (c *child) settled() {
	c.t.Helper()
	var reports []outageReport
	eventually(c.t, patience, "every outage is over", func() bool {
		c.get("api/v1/uplinks/enterprise/outages", &reports)
		return len(reports) == 0 || reports[0].To != ""
	})
	for _, r := range reports {
		if r.Owed != r.Delivered+r.Waived || r.Waived != 0 || len(r.Gaps) != 0 {
			c.t.Errorf("report %+v, want owed = delivered, nothing given up", r)
		}
	}
}

// yesterdayOrNow says a value, each tenth as one of 30 hours ago.
func (n *edgeNode) yesterdayOrNow(value int64) (at int64, token mqtt.Token) {
	if value%10 != 0 {
		token = n.data(1, value)
		return n.at, token
	}
	n.tick()
	at = n.at - int64(30*time.Hour/time.Millisecond)
	p := sparkplug.Payload{Timestamp: uint64(n.at), HasTimestamp: true, Seq: n.seq, HasSeq: true, Metrics: []sparkplug.Metric{{
		Name: "Count", Type: sparkplug.Int64, Timestamp: uint64(at), HasTimestamp: true, Historical: true,
		Value: sparkplug.Int64Value(sparkplug.Int64, value),
	}}}
	n.seq = (n.seq + 1) % 256
	return at, n.Publish("spBv1.0/Crash/NDATA/"+n.name, 1, false, sparkplug.Encode(&p))
}
