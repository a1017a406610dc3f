package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/historian/journal"
	"edge/sparkplug/simulate"
	"edge/sparkplug/uplink"
)

// cutSamples is how many samples the plant says while the uplink is cut: those of seconds in `go test`, of a minute in .ci/long.
func cutSamples() int {
	if os.Getenv("EDGE_LONG") == "1" {
		return 60_000
	}
	return 4000
}

// load is a plant of two nodes with 150 metrics each that gives about 1,000 samples a second by exception.
func load() []simulate.NodeSpec { return simulate.Generic("E2E", 2, 2, 75) }

var loadNodes = []string{"E2E/node1", "E2E/node2"}

// startFleet runs simulated nodes until the test ends or stop is called.
func startFleet(t *testing.T, broker string, nodes []simulate.NodeSpec, interval time.Duration) (f *simulate.Fleet, stop func()) {
	t.Helper()
	f, err := simulate.New(simulate.Options{Broker: "tcp://" + broker, Nodes: nodes, Interval: interval, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("simulated nodes: %v", err)
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// toMosquitto adds an uplink to a real mosquitto.
func toMosquitto(addr string) func(*Config) {
	return func(c *Config) {
		u := defaultUplink("")
		u.Name, u.Servers = "enterprise", []ServerConfig{{URL: "mqtt://" + addr}}
		u.Flush.SamplesPerSecond, u.Flush.BitsPerSecond = 20_000, 0
		c.Uplinks = []UplinkConfig{u}
	}
}

// prompt lets an uplink's nodes connect at once.
func prompt(o *uplink.Options) {
	o.Jitter, o.BackoffMin, o.BackoffMax = -1, 200*time.Millisecond, time.Second
}

// outageReport is what GET /api/v1/uplinks/{name}/outages says of one outage.
type outageReport struct {
	From, To                            string
	Owed, Delivered, Duplicated, Waived uint64
	Gaps                                []struct{ Reason string }
}

// TestUplinkCut: a real mosquitto is the enterprise. After a cut under 1,000 samples a second every sample arrives exactly
// once or is counted as a duplicate within the barrier's bound, seq has no gap, and the report says owed = delivered.
func TestUplinkCut(t *testing.T) {
	t.Parallel()
	enterprise := brokertest.StartMosquitto(t)
	heard := watch(t, enterprise.Addr, "checker")
	var line cable
	app := startApp(t, t.TempDir(), appOptions{tuneUplink: func(o *uplink.Options) {
		o.Servers[0].Dial = line.dial
		prompt(o)
	}}, toMosquitto(enterprise.Addr))
	said := watch(t, app.MQTTAddr(), "plant-checker")
	startFleet(t, app.MQTTAddr(), load(), 200*time.Millisecond)

	eventually(t, patience, "both nodes are alive at the enterprise", func() bool { return slices.Equal(heard.online(), loadNodes) })
	eventually(t, patience, "data flows", func() bool { return heard.count() > 1000 })
	line.pull()
	eventually(t, patience, "the enterprise takes both nodes for dead", func() bool { return len(heard.online()) == 0 })
	enough := said.count() + cutSamples()
	eventually(t, 5*patience, "the plant says samples during the cut", func() bool { return said.count() >= enough })
	line.plug()
	eventually(t, patience, "both nodes are alive again", func() bool { return slices.Equal(heard.online(), loadNodes) })
	until := time.Now() // what was said until here must arrive
	awaitDelivery(t, said, heard, until)
	var reports []outageReport
	eventually(t, patience, "the outage is reported", func() bool {
		app.get(t, "api/v1/uplinks/enterprise/outages", &reports)
		return len(reports) > 0 && reports[0].To != ""
	})

	v := compare(said, heard, until)
	t.Logf("sent %d, missing %d, in a birth only %d, duplicated %d; report %+v", v.sent, v.missing, v.inBirthOnly, v.duplicated, reports[0])
	if bound := 1000 * 2 * 2; v.duplicated > bound { // a barrier is at most 1 s old when the line is cut
		t.Errorf("%d duplicates, want at most %d", v.duplicated, bound)
	}
	if r := reports[0]; r.Owed == 0 || r.Owed != r.Delivered || r.Waived != 0 || len(r.Gaps) != 0 {
		t.Errorf("report %+v, want owed = delivered and no gap", r)
	}
	if r := reports[0]; uint64(v.duplicated) > r.Duplicated {
		t.Errorf("%d duplicates arrived, the report counts %d", v.duplicated, r.Duplicated)
	}
	heard.report(t, "enterprise")
	said.report(t, "plant")
}

// TestBacklogOlderThanTheLog: with a journal that keeps half a MiB, an outage outlives the log. What has left
// it is read from the historian's day files, and still every sample arrives.
func TestBacklogOlderThanTheLog(t *testing.T) {
	t.Parallel()
	enterprise := brokertest.StartMosquitto(t)
	heard := watch(t, enterprise.Addr, "checker")
	var line cable
	app := startApp(t, t.TempDir(), appOptions{
		tuneUplink: func(o *uplink.Options) {
			o.Servers[0].Dial = line.dial
			prompt(o)
			o.PostmortemAfter = time.Second // the nodes are stopped while they still owe
		},
		tuneJournal: func(o *journal.Options) { o.SegmentBytes, o.MaxBytes = 256<<10, 512<<10 },
	}, toMosquitto(enterprise.Addr))
	said := watch(t, app.MQTTAddr(), "plant-checker")
	_, stop := startFleet(t, app.MQTTAddr(), simulate.Generic("E2E", 2, 2, 100), 20*time.Millisecond)
	eventually(t, patience, "both nodes are alive at the enterprise", func() bool { return slices.Equal(heard.online(), loadNodes) })
	line.pull()
	cut := app.pipeline.journal.Durable()
	eventually(t, patience, "the log no longer holds the beginning of the outage", func() bool {
		return app.pipeline.journal.Oldest() > cut+2000
	})
	line.plug()
	eventually(t, patience, "both nodes are alive again", func() bool { return slices.Equal(heard.online(), loadNodes) })
	stop()
	until := time.Now()
	awaitDelivery(t, said, heard, until)
	var reports []outageReport
	eventually(t, patience, "the outage is reported", func() bool {
		app.get(t, "api/v1/uplinks/enterprise/outages", &reports)
		return len(reports) > 0 && reports[0].To != ""
	})
	v := compare(said, heard, until)
	t.Logf("sent %d, missing %d, in a birth only %d, duplicated %d; report %+v", v.sent, v.missing, v.inBirthOnly, v.duplicated, reports[0])
	if r := reports[0]; r.Owed < 2000 || r.Owed != r.Delivered || r.Waived != 0 || len(r.Gaps) != 0 {
		t.Errorf("report %+v, want owed = delivered and no gap", r)
	}
	heard.report(t, "enterprise")
}

// awaitDelivery waits until the enterprise has what the plant said until then.
func awaitDelivery(t *testing.T, said, heard *checker, until time.Time) {
	t.Helper()
	if !within(patience, func() bool { return compare(said, heard, until).missing == 0 }) {
		heard.report(t, "enterprise")
		v := compare(said, heard, until)
		heard.mu.Lock()
		defer heard.mu.Unlock()
		t.Fatalf("not within %s: of %d samples %d are missing, such as %v; the enterprise's checker heard something %s ago, its connection: %v",
			patience, v.sent, v.missing, v.examples, time.Since(heard.quietAt), heard.lost)
	}
}

// startProgram runs `edge run` as a process of its own and returns its MQTT and page addresses.
func startProgram(t *testing.T, config string) (cmd *exec.Cmd, mqttAddr, page string) {
	t.Helper()
	cmd = asProgram(context.Background(), t, "run", "--config", config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan []string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		pattern := regexp.MustCompile(`msg=started .*mqtt=(\S+) page=(\S+)`)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			if m := pattern.FindStringSubmatch(s.Text()); m != nil {
				started <- m
			}
			testWriter{t}.Write(s.Bytes())
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-read
		cmd.Wait() //nolint:errcheck // it was killed
	})
	select {
	case m := <-started:
		return cmd, m[1], m[2]
	case <-time.After(patience):
		t.Fatalf("edge run did not start within %s", patience)
		return nil, "", ""
	}
}

// TestKillNine: kill -9 of the appliance makes mosquitto publish each node's NDEATH; after a restart on the same address
// the nodes are born again with the next bdSeq, and nothing that was on disk is missing at the enterprise.
func TestKillNine(t *testing.T) {
	t.Parallel()
	enterprise := brokertest.StartMosquitto(t)
	heard := watch(t, enterprise.Addr, "checker")
	dir := t.TempDir()
	config := filepath.Join(dir, "edge.yaml")
	write := func(mqtt string) {
		text := fmt.Sprintf(`
data: %s
broker: {listeners: [{name: plant, address: "%s", anonymous: true}]}
uplinks: [{name: enterprise, servers: [{url: "mqtt://%s"}]}]
http: {address: "127.0.0.1:0"}
`, filepath.Join(dir, "data"), mqtt, enterprise.Addr)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("127.0.0.1:0")
	first, mqttAddr, page := startProgram(t, config)
	said := watch(t, mqttAddr, "plant-checker")
	startFleet(t, mqttAddr, load(), 200*time.Millisecond)
	eventually(t, patience, "both nodes are alive at the enterprise", func() bool { return slices.Equal(heard.online(), loadNodes) })
	eventually(t, patience, "data flows", func() bool { return said.count() > 500 })
	committed := time.Now()
	commits := func() float64 { return scrape(t, page)["edge_journal_commits_total"] }
	next := commits() + 2 // the first may have begun before
	eventually(t, patience, "data is committed", func() bool { return commits() >= next })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "mosquitto published both NDEATHs", func() bool { return len(heard.online()) == 0 })

	write(mqttAddr)
	_, again, _ := startProgram(t, config)
	if again != mqttAddr {
		t.Fatalf("restarted on %s, want %s", again, mqttAddr)
	}
	eventually(t, patience, "both nodes are born again", func() bool { return slices.Equal(heard.online(), loadNodes) })
	for _, name := range loadNodes {
		if n := heard.node(name); len(n.bdSeqs) < 2 || n.bdSeqs[len(n.bdSeqs)-1] == n.bdSeqs[0] {
			t.Errorf("%s: bdSeq of its births %v, want a new one after the kill", name, n.bdSeqs)
		}
	}
	awaitDelivery(t, said, heard, committed)
	v := compare(said, heard, committed)
	t.Logf("committed %d, missing %d, in a birth only %d, duplicated %d", v.sent, v.missing, v.inBirthOnly, v.duplicated)
	heard.report(t, "enterprise")
}
