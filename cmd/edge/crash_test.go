package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestTerminate: SIGTERM in the middle of the data ends the program with code 0. What a subscriber saw until it was cut
// off is in the historian after a restart, and the last thing it saw of the host is STATE offline.
func TestTerminate(t *testing.T) {
	t.Parallel()
	config := configure(t, t.TempDir(), "")
	c := start(t, config)

	var mu sync.Mutex
	var states []string
	seen := map[int64]bool{}
	plant := c.connect("plant", true)
	c.must(plant.Subscribe("spBv1.0/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		defer mu.Unlock()
		if m.Topic() == "spBv1.0/STATE/edge" {
			states = append(states, string(m.Payload()))
		} else if p, err := decodeWire(m.Payload()); err == nil && strings.Contains(m.Topic(), "NDATA") {
			seen[int64(p.metrics[0].number)] = true
		}
	}))
	node := c.node("n", 0)
	stopped := make(chan struct{})
	go func() { // it talks until it is cut off
		defer close(stopped)
		for i := int64(1); node.IsConnectionOpen() && i < 200_000; i++ {
			if node.data(0, i).WaitTimeout(time.Second); i%50 == 0 {
				node.data(1, -i).WaitTimeout(5 * time.Second) // paces
			}
		}
	}()
	eventually(t, patience, "data flows", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) > 500 })
	browser, err := http.Get(c.page + "api/v1/stream") // who never goes
	if err != nil || browser.StatusCode != http.StatusOK {
		t.Fatalf("stream: %v", err)
	}
	defer browser.Body.Close()
	silent, err := net.Dial("tcp", c.mqtt) // who never says anything
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	begin := time.Now()
	c.signal(syscall.SIGTERM)
	if code := c.exit(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, c.log())
	}
	took := time.Since(begin) // the code says that it kept its deadline
	<-stopped
	eventually(t, patience, "the subscriber is cut off", func() bool { return !plant.IsConnected() })
	mu.Lock()
	defer mu.Unlock()
	if n := len(states); n < 2 || !strings.Contains(states[0], "true") || !strings.Contains(states[n-1], "false") {
		t.Errorf("STATE was %q, want online first and offline last", states)
	}

	kept := map[int64]bool{}
	for _, p := range start(t, config).history("n", "Count") {
		kept[number(t, p)] = true
	}
	missing := 0
	for v := range seen {
		if !kept[v] {
			missing++
		}
	}
	t.Logf("SIGTERM to the end: %s; %d samples seen by a subscriber, %d of them not recorded", took.Round(time.Millisecond), len(seen), missing)
	if missing > 0 {
		t.Errorf("%d of %d samples that a subscriber saw are not in the historian", missing, len(seen))
	}
}

// number is the value of an Int64 sample.
func number(t *testing.T, p point) int64 {
	t.Helper()
	text, _ := p.V.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("sample %v: %v", p, err)
	}
	return n
}

// TestSecondInstance: a data folder belongs to one process; the other is told whose it is, and the first goes on.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	config := configure(t, t.TempDir(), "")
	first := start(t, config)
	code, said := runProgram(t, "run", "--config", config)
	if want := fmt.Sprintf("is in use by process %d; stop it", first.cmd.Process.Pid); code != exitFailed || !strings.Contains(said, want) {
		t.Errorf("exit code %d, %q, want it to hold %q", code, said, want)
	}
	first.must(first.connect("c", true).Publish("t", 1, false, "m"))
	first.stop()
	start(t, config).stop() // whoever ended leaves it free
}

// TestAddressInUse: the message names the key, and the folder is free for the next start.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := configure(t, t.TempDir(), "")
	for flag, key := range map[string]string{"--http": "http.address", "--mqtt": "broker.listeners[0].address"} {
		code, said := runProgram(t, "run", "--config", config, flag, l.Addr().String())
		want := fmt.Sprintf("%s: %s is in use; stop the other program or set another address", key, l.Addr())
		if code != exitFailed || !strings.Contains(said, want) {
			t.Errorf("%s: exit code %d, %q, want %q", flag, code, said, want)
		}
	}
	start(t, config).stop()
}

// kills is how often the program is killed: hundreds in .ci/long.
func kills() int {
	switch n, err := strconv.Atoi(os.Getenv("EDGE_LONG")); {
	case err == nil && n > 1:
		return n
	case n == 1:
		return 200
	}
	return 5
}

// TestKilledUnderLoad kills the program again and again in the middle of messages. What was acknowledged is kept and
// comes once: messages for a session that is away, retained messages, samples. What the API showed as history stays.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	config := configure(t, t.TempDir(), `
broker:
  listeners: [{name: plant, address: "127.0.0.1:0", anonymous: true}]
  limits: {queue_messages: 0, queue_bytes: 0}
`)
	l := &ledger{acked: map[string]map[int64]bool{}, tried: map[string]map[int64]bool{}}
	c := start(t, config)
	away := c.connect("away", false)
	c.must(away.Subscribe("queue/#", 1, nil))
	away.Disconnect(100)
	c.logs(`client disconnected.* client=away`)
	random := rand.New(rand.NewPCG(seedOf(t), 0))

	var shown []point
	for round := range kills() {
		stop := l.load(c, round)
		enough := l.count() + 200 + random.IntN(400)
		eventually(t, patience, "messages are acknowledged", func() bool { return l.count() >= enough })
		if round%2 == 1 {
			shown = c.history("n", "Count")
		}
		c.signal(syscall.SIGKILL)
		c.kill()
		stop()
		c = start(t, config)
	}
	l.checkQueue(t, c)
	l.checkRetained(t, c)
	l.checkHistory(t, c, shown)
	c.stop()
}

// ledger notes what was published under a topic and what was acknowledged.
type ledger struct {
	mu           sync.Mutex
	tried, acked map[string]map[int64]bool
	next         int64
}

func (l *ledger) begin(what string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	if l.tried[what] == nil {
		l.tried[what], l.acked[what] = map[int64]bool{}, map[int64]bool{}
	}
	l.tried[what][l.next] = true
	return l.next
}

func (l *ledger) done(what string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[what][n] = true
}

func (l *ledger) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, acked := range l.acked {
		n += len(acked)
	}
	return n
}

// load publishes from several clients until the program dies; stop waits for all of them.
func (l *ledger) load(c *child, round int) (stop func()) {
	var all sync.WaitGroup
	run := func(client mqtt.Client, what string, publish func(n int64) mqtt.Token) {
		all.Go(func() {
			for client.IsConnectionOpen() {
				n := l.begin(what)
				token := publish(n)
				for !token.WaitTimeout(time.Second) && client.IsConnectionOpen() { // what is lost need not end
				}
				if token.Error() != nil {
					return
				}
				if client.IsConnectionOpen() { // paho completes tokens without error when it loses the connection
					l.done(what, n)
				}
			}
		})
	}
	for i := range 3 {
		client := c.connect(fmt.Sprintf("load-%d-%d", round, i), true)
		what := fmt.Sprint("queue/", i)
		run(client, what, func(n int64) mqtt.Token { return client.Publish(what, 1, false, fmt.Sprint(n)) })
	}
	keeper := c.connect(fmt.Sprint("keeper-", round), true)
	run(keeper, "kept", func(n int64) mqtt.Token { return keeper.Publish("kept", 1, true, fmt.Sprint(n)) })
	node := c.node("n", l.begin("Count"))
	run(node, "Count", func(n int64) mqtt.Token { return node.data(1, n) })
	return all.Wait
}

// checkQueue: the session that was away gets every acknowledged message, none twice, in order for each topic.
func (l *ledger) checkQueue(t *testing.T, c *child) {
	t.Helper()
	var mu sync.Mutex
	got, last := map[string]map[int64]int{}, map[string]int64{}
	var unordered int
	ended := make(chan struct{})
	c.connect("away", false, func(o *mqtt.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			mu.Lock()
			defer mu.Unlock()
			if string(m.Payload()) == "end" {
				close(ended)
				return
			}
			n, _ := strconv.ParseInt(string(m.Payload()), 10, 64)
			if got[m.Topic()] == nil {
				got[m.Topic()] = map[int64]int{}
			}
			if got[m.Topic()][n]++; n < last[m.Topic()] {
				unordered++
			}
			last[m.Topic()] = n
		})
	})
	c.must(c.connect("last", true).Publish("queue/end", 1, false, "end"))
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the session that was away does not get its messages")
	}
	mu.Lock()
	defer mu.Unlock()
	acked, missing, twice, unknown := 0, 0, 0, 0
	for what := range l.acked {
		if !strings.HasPrefix(what, "queue/") {
			continue
		}
		for n := range l.acked[what] {
			if acked++; got[what][n] == 0 {
				missing++
			}
		}
		for n, times := range got[what] {
			if times > 1 {
				twice++
			}
			if !l.tried[what][n] {
				unknown++
			}
		}
	}
	t.Logf("%d kills: %d messages acknowledged for a session that was away; %d missing, %d twice, %d out of order", kills(), acked, missing, twice, unordered)
	if missing+twice+unknown+unordered > 0 {
		t.Errorf("%d missing, %d twice, %d never sent, %d out of order", missing, twice, unknown, unordered)
	}
}

// checkRetained: the retained message is the last acknowledged one, or one after it that was on its way at the kill.
func (l *ledger) checkRetained(t *testing.T, c *child) {
	t.Helper()
	got := make(chan int64, 1)
	c.must(c.connect("retained", true).Subscribe("kept", 1, func(_ mqtt.Client, m mqtt.Message) {
		n, _ := strconv.ParseInt(string(m.Payload()), 10, 64)
		got <- n
	}))
	var newest int64
	for n := range l.acked["kept"] {
		newest = max(newest, n)
	}
	select {
	case n := <-got:
		if n < newest || !l.tried["kept"][n] {
			t.Errorf("retained is %d, the last acknowledged was %d", n, newest)
		}
	case <-time.After(patience):
		t.Errorf("nothing is retained, %d was acknowledged", newest)
	}
}

// checkHistory: every acknowledged sample is there, and every one that the API had shown; none stands there twice.
func (l *ledger) checkHistory(t *testing.T, c *child, shown []point) {
	t.Helper()
	values, times := map[int64]int{}, map[string]int{}
	all := c.history("n", "Count")
	for _, p := range all {
		values[number(t, p)]++
		if times[p.T]++; times[p.T] > 1 {
			t.Errorf("two samples at %s", p.T)
		}
	}
	lost, forgotten := 0, 0
	for n := range l.acked["Count"] {
		if values[n] != 1 {
			lost++
		}
	}
	for _, p := range shown {
		if times[p.T] == 0 {
			forgotten++
		}
	}
	t.Logf("%d samples in the history; of %d acknowledged %d are not there once; of %d shown by the API %d are gone",
		len(all), len(l.acked["Count"]), lost, len(shown), forgotten)
	if lost > 0 || forgotten > 0 || len(l.acked["Count"]) == 0 || len(shown) == 0 {
		t.Errorf("%d lost, %d forgotten", lost, forgotten)
	}
}

// TestPlantAfterKill: nodes that were alive when the program was killed are dead after the restart, with a reason, their
// values stale and the gap in their history open; the first birth ends all that.
func TestPlantAfterKill(t *testing.T) {
	t.Parallel()
	config := configure(t, t.TempDir(), "")
	c := start(t, config)
	c.must(c.node("n", 1).data(1, 2))
	c.signal(syscall.SIGKILL)
	c.kill()

	c = start(t, config)
	state := func() (n nodeState) {
		var all []nodeState
		if c.get("api/v1/nodes", &all); len(all) == 1 {
			n = all[0]
		}
		return n
	}
	quality := func() string {
		var all struct{ Metrics []metricState }
		if c.get("api/v1/metrics?group=Crash&node=n", &all); len(all.Metrics) == 1 {
			return all.Metrics[0].Quality
		}
		return ""
	}
	if n := state(); n.State != "offline" || n.LastDeath.Reason == "" || quality() != "stale" {
		t.Errorf("after the restart the node is %+v, its metric %q, want it offline with a reason and stale", n, quality())
	}
	eventually(t, patience, "the last recorded value is shown, not the birth's", func() bool {
		var all struct{ Metrics []metricState }
		c.get("api/v1/metrics?group=Crash&node=n", &all)
		return len(all.Metrics) == 1 && fmt.Sprint(all.Metrics[0].Value) == "2" && all.Metrics[0].Quality == "stale"
	})
	eventually(t, time.Minute, "the time that it was not running is a gap", func() bool {
		return slices.Contains(c.gaps("n", "Count"), "the appliance was not running")
	})
	if all := c.history("n", "Count"); len(all) != 2 {
		t.Errorf("the history has %v, want the birth's value and the one after it", all)
	}
	c.node("n", 3)
	eventually(t, patience, "the node is back", func() bool { return state().State == "online" && quality() == "good" })
	c.stop()
}
