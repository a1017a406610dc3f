package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/sparkplug"
	"edge/sparkplug/observe"
	"edge/sparkplug/simulate"
)

// startTail runs edge tail until it ends by its --count or by stop, and returns its lines and its exit code.
func startTail(t *testing.T, args ...string) (lines <-chan string, code <-chan int, stop func()) {
	t.Helper()
	out, in := io.Pipe()
	said, ended := make(chan string, 1000), make(chan int, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var errs bytes.Buffer
	go func() {
		ended <- runTail(ctx, args, streams{out: in, err: &errs})
		in.Close()
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for s := bufio.NewScanner(out); s.Scan(); {
			said <- s.Text()
		}
		close(said)
	}()
	t.Cleanup(func() {
		cancel()
		out.Close()
		<-drained
		if t.Failed() {
			t.Logf("standard error of edge tail:\n%s", &errs)
		}
	})
	return said, ended, cancel
}

// runNodes runs one small node of group G on a broker until the test ends.
func runNodes(t *testing.T, broker string) *simulate.Fleet {
	t.Helper()
	return runFleet(t, simulate.Options{Broker: broker, Nodes: simulate.Generic("G", 1, 1, 8), Interval: 20 * time.Millisecond,
		BackoffMin: 20 * time.Millisecond})
}

// runFleet runs simulated nodes until the test ends.
func runFleet(t *testing.T, o simulate.Options) *simulate.Fleet {
	t.Helper()
	fleet, err := simulate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return fleet
}

// Without the birth, metrics are their aliases; after a birth was seen they have names.
func TestTailLearnsNamesFromBirths(t *testing.T) {
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			broker := brokertest.StartMosquitto(t).Addr
			fleet := runNodes(t, broker)
			eventually(t, patience, "the node is online", func() bool { return fleet.Nodes()[0].Samples > 0 })
			lines, code, stop := startTail(t, broker, "--protocol", protocol, "--json")
			var types []string
			reborn, done := false, false // killed and revived; seen what had to come after that
			for line := range lines {
				var got tailLine
				if err := json.Unmarshal([]byte(line), &got); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				if types = append(types, got.Type); done {
					continue
				}
				if got.Error != "" || got.Group != "G" || got.Node != "node1" {
					t.Errorf("got %s", line)
				}
				if !reborn && got.Type == "DDATA" {
					reborn = true
					if m := got.Metrics[0]; m.Name != "" || m.Alias == nil {
						t.Errorf("named without a birth: %s", line)
					}
					if err := fleet.Kill("node1"); err != nil {
						t.Fatal(err)
					}
					eventually(t, patience, "the node is dead", func() bool { return fleet.Nodes()[0].State == simulate.Killed })
					if err := fleet.Revive("node1"); err != nil {
						t.Fatal(err)
					}
				}
				if len(types) == 5000 {
					stop()
				}
				if strings.HasSuffix(strings.Join(types, " "), "NDEATH NBIRTH DBIRTH DDATA") {
					done = true
					stop()
					if m := got.Metrics[0]; got.Seq == nil || !strings.HasPrefix(m.Name, "metric") || m.Datatype == "" || m.Timestamp == nil {
						t.Errorf("after the birth: %s", line)
					}
				}
			}
			if got := <-code; got != exitOK || !done {
				t.Errorf("exit code %d after %v", got, types)
			}
		})
	}
}

// An aware server has the births that were before us: names are there at once, and the certificates are not shown.
func TestTailOfAnAwareServer(t *testing.T) {
	app := startApp(t, t.TempDir(), appOptions{})
	fleet := runNodes(t, app.MQTTAddr())
	eventually(t, patience, "the node is online", func() bool { return fleet.Nodes()[0].Samples > 0 })
	lines, code, _ := startTail(t, "tcp://"+app.MQTTAddr(), "spBv1.0/G/#", "--count", "20")
	var last string
	for line := range lines {
		if last = line; strings.Contains(line, "$sparkplug") {
			t.Errorf("got %s", line)
		}
	}
	if !strings.Contains(last, " DDATA  G/node1/dev1 seq=") || !strings.Contains(last, " metric") || strings.Contains(last, " #") {
		t.Errorf("got %s", last)
	}
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

// newTail is one that reads without a connection.
func newTail() *tail { return &tail{names: map[sparkplug.NodeRef]nodeNames{}} }

func TestTailLine(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	ms := sparkplug.Millis(at)
	metric := func(m sparkplug.Metric) sparkplug.Metric {
		m.Timestamp, m.HasTimestamp = ms, true
		return m
	}
	payload := func(seq uint64, metrics ...sparkplug.Metric) []byte {
		return sparkplug.Encode(&sparkplug.Payload{Timestamp: ms, HasTimestamp: true, Seq: seq, HasSeq: true, Metrics: metrics})
	}
	death := sparkplug.NodeDeath(sparkplug.NodeRef{Group: "G", Node: "N"}, 7, at)
	birth := payload(0, sparkplug.BdSeqMetric(7, at),
		metric(sparkplug.Metric{Name: "Oven temp", Alias: 1, HasAlias: true, Type: sparkplug.Int32, Value: sparkplug.Int64Value(sparkplug.Int32, -12)}))
	data := payload(3, metric(sparkplug.Metric{Alias: 1, HasAlias: true, Historical: true, Value: sparkplug.Int64Value(sparkplug.Int32, -13)}))
	for _, c := range []struct {
		name    string
		before  []byte // an NBIRTH of G/N; nil: none
		topic   string
		payload []byte
		want    string // after the time
	}{
		{"birth", nil, "spBv1.0/G/NBIRTH/N", birth, `NBIRTH G/N seq=0 bdSeq=7 bdSeq="7" "Oven temp"=-12`},
		{"data with its birth", birth, "spBv1.0/G/NDATA/N", data,
			`NDATA  G/N seq=3 "Oven temp"=-13@` + at.Local().Format("2006-01-02T15:04:05")},
		{"data without birth", nil, "spBv1.0/G/NDATA/N", data, `NDATA  G/N seq=3 #1=4294967283@` + at.Local().Format("2006-01-02T15:04:05")},
		{"death", nil, death.Topic, death.Payload, `NDEATH G/N bdSeq=7 bdSeq="7"`},
		{"host", nil, "spBv1.0/STATE/scada", []byte(`{"online":true,"timestamp":1}`), `STATE  scada online=true`},
		{"host of version 2", nil, "spBv1.0/STATE/scada", []byte(`ONLINE`), `STATE  scada error: `},
		{"not Sparkplug", nil, "plant/x", []byte("hello"), `plant/x 5 bytes error: `},
		{"garbage", nil, "spBv1.0/G/NDATA/N", []byte{0x12, 0xff}, `NDATA  G/N error: `},
		{"a name that would move the cursor", nil, "spBv1.0/G/NDATA/N",
			payload(1, metric(sparkplug.Metric{Name: "a\x1b[2J\n", Type: sparkplug.String, Value: sparkplug.StringValue("x\ny")})),
			`NDATA  G/N seq=1 "a\x1b[2J\n"="x\ny"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tail := newTail()
			if c.before != nil {
				tail.read("spBv1.0/G/NBIRTH/N", c.before)
			}
			line := tail.read(c.topic, c.payload)
			var out bytes.Buffer
			w := bufio.NewWriter(&out)
			if err := (&tailShow{}).writeText(w, &line, at); err != nil {
				t.Fatal(err)
			}
			w.Flush()
			_, got, _ := strings.Cut(strings.TrimSuffix(out.String(), "\n"), " ")
			if got != c.want && !(strings.HasSuffix(c.want, "error: ") && strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			out.Reset()
			if err := line.writeJSON(w); err != nil {
				t.Fatal(err)
			}
			w.Flush()
			if !json.Valid(out.Bytes()) || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
				t.Errorf("JSON: %s", &out)
			}
		})
	}
}

// A certificate of the node may come after those of its devices, and must not take their names away.
func TestTailCertificatesInAnyOrder(t *testing.T) {
	birth := func(name string, alias uint64) []byte {
		return sparkplug.Encode(&sparkplug.Payload{HasSeq: true, Metrics: []sparkplug.Metric{
			{Name: name, Alias: alias, HasAlias: true, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(true)}}})
	}
	tail, ref := newTail(), sparkplug.NodeRef{Group: "G", Node: "N"}
	tail.read("$sparkplug/certificates/spBv1.0/G/DBIRTH/N/D", birth("of the device", 2))
	tail.read("$sparkplug/certificates/spBv1.0/G/NBIRTH/N", birth("of the node", 1))
	if n := tail.names[ref]; n[1].name != "of the node" || n[2].name != "of the device" {
		t.Errorf("after the certificates: %v", n)
	}
	tail.read("spBv1.0/G/NBIRTH/N", birth("reborn", 1))
	if n := tail.names[ref]; n[1].name != "reborn" || len(n) != 1 {
		t.Errorf("after a birth: %v", n)
	}
}

// What repeats is told once, then every hundredth time.
func TestTailTellsFindings(t *testing.T) {
	var out bytes.Buffer
	j := newJudge(&out)
	say := func(topic string, seq uint64) {
		p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, Seq: seq, HasSeq: true, Metrics: []sparkplug.Metric{
			{Name: "x\x1b", Type: sparkplug.Boolean, Value: sparkplug.BoolValue(true), Timestamp: 1, HasTimestamp: true}}}
		j.message(observe.Message{Topic: topic, Payload: sparkplug.Encode(&p)})
	}
	say("spBv1.0/G/NBIRTH/N", 0)
	const id = "tck-id-payloads-sequence-num-incrementing"
	for seq := range uint64(250) { // each one too many
		say("spBv1.0/G/NDATA/N", (2*seq+2)%256)
	}
	if got := strings.Count(out.String(), id); got != 3 {
		t.Errorf("%s told %d times in\n%s", id, got, &out)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a control character came through: %q", &out)
	}
}

func FuzzTailLine(f *testing.F) {
	f.Add("spBv1.0/G/NDATA/N", []byte{0x12, 0x04, 0x10, 0x01, 0x50, 0x05})
	f.Add("spBv1.0/STATE/scada", []byte(`{"online":true,"timestamp":1}`))
	f.Add("spBv1.0/G/NDATA/N", []byte{0x12, 0x02, 0x0a, 0x00, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		line := newTail().read(topic, payload)
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		if err := (&tailShow{}).writeText(w, &line, time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Errorf("not one line: %q", out.Bytes())
		}
		out.Reset()
		if err := line.writeJSON(w); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if !json.Valid(out.Bytes()) {
			t.Errorf("not JSON: %q", out.Bytes())
		}
	})
}
