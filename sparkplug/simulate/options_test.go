package simulate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"edge/sparkplug"
)

func TestParseBroker(t *testing.T) {
	for _, c := range []struct {
		in, url, user, password string // no url: refused
	}{
		{in: "127.0.0.1:1884", url: "tcp://127.0.0.1:1884"},
		{in: "broker", url: "tcp://broker:1883"},
		{in: "tcp://broker", url: "tcp://broker:1883"},
		{in: "mqtt://u:p@broker:1", url: "mqtt://broker:1", user: "u", password: "p"},
		{in: "mqtts://broker", url: "mqtts://broker:8883"},
		{in: "tcp://[::1]:1883", url: "tcp://[::1]:1883"},
		{in: "mqtt://[::1]", url: "mqtt://[::1]:1883"},
		{in: "ws://broker:8083", url: "ws://broker:8083/mqtt"},
		{in: "wss://u@broker/other", url: "wss://broker:443/other", user: "u"},
		{in: "unix:///run/edge/mqtt.sock", url: "unix:///run/edge/mqtt.sock"},
		{in: "unix://run/edge/mqtt.sock"},
		{in: "unix://"},
		{in: "http://broker"},
		{in: "tcp://"},
		{in: ""},
	} {
		got, err := parseBroker(c.in)
		switch {
		case err != nil && c.url == "":
		case err != nil || got.url.String() != c.url || got.user != c.user || got.password != c.password:
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Fault
		bad  bool
	}{
		{in: ""},
		{in: "seq-gap", want: []Fault{SeqGap}},
		{in: "seq-gap, garbage,seq-gap", want: []Fault{SeqGap, Garbage}},
		{in: "seq-gap,nonsense", bad: true},
	} {
		got, err := ParseFaults(c.in)
		if (err != nil) != c.bad || !cmp.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.in, got, err)
		}
	}
	for _, f := range Faults() {
		if got, err := ParseFaults(string(f)); err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		opt  Options
	}{
		{"no node", Options{Broker: "x"}},
		{"no broker", Options{Nodes: Plant()}},
		{"the same node twice", Options{Broker: "x", Nodes: []NodeSpec{{Group: "G", Node: "N"}, {Group: "G", Node: "N"}}}},
		{"an id with a slash", Options{Broker: "x", Nodes: []NodeSpec{{Group: "G", Node: "N/1"}}}},
		{"an empty device id", Options{Broker: "x", Nodes: []NodeSpec{{Group: "G", Node: "N", Devices: []DeviceSpec{{}}}}}},
		{"a bdSeq file that is none", Options{Broker: "x", Nodes: Plant(), BdSeqFile: broken}},
	} {
		if _, err := New(c.opt); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

// [tck-id-topics-nbirth-bdseq-increment]
func TestBdSeqCountsEveryAttemptAndOutlivesTheProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bdseq")
	var got []uint8
	for range 2 {
		b, err := openBdSeqs(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 129 {
			n, err := b.next("G/N")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if n, err := b.next("G/other"); err != nil || n > 1 {
			t.Errorf("another node: %d, %v", n, err)
		}
	}
	for i, n := range got {
		if n != uint8(i) {
			t.Fatalf("attempt %d has bdSeq %d", i, n)
		}
	}
}

// [tck-id-message-flow-edge-node-birth-publish-phid-wait-id] [tck-id-message-flow-edge-node-birth-publish-phid-wait-online]
// [tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp]
func TestHostState(t *testing.T) {
	var h hostState
	for _, c := range []struct {
		name, host, payload string
		counts, online      bool
	}{
		{"another host", "other", `{"online":true,"timestamp":900}`, false, false},
		{"the first counts whatever its time", "scada", `{"online":false,"timestamp":5}`, true, false},
		{"online", "scada", `{"online":true,"timestamp":500}`, true, true},
		{"older offline", "scada", `{"online":false,"timestamp":499}`, false, true},
		{"text of version 2", "scada", `OFFLINE`, false, true},
		{"no timestamp", "scada", `{"online":false}`, false, true},
		{"offline at the same time", "scada", `{"online":false,"timestamp":500}`, true, false},
	} {
		if got := h.take("scada", c.host, []byte(c.payload)); got != c.counts || h.online != c.online {
			t.Errorf("%s: counts %v, online %v", c.name, got, h.online)
		}
	}
	if h.take("", "scada", []byte(`{"online":true,"timestamp":900}`)) {
		t.Error("a node without primary host listens to STATE")
	}
}

func TestAliasesAreUniqueOverTheNode(t *testing.T) {
	for _, spec := range Plant() {
		seen := map[uint64]string{}
		for _, tag := range modelNode(t, spec, 1).tags {
			if old := seen[tag.alias]; old != "" {
				t.Errorf("%s: alias %d for %s and %s", spec.Node, tag.alias, old, tag.Name)
			}
			seen[tag.alias] = tag.Name
		}
	}
}

func TestTableDecodes(t *testing.T) {
	v := table([]string{"Step", "Minutes", "°C"}, []sparkplug.DataType{sparkplug.String, sparkplug.Int32, sparkplug.Double},
		[][]any{{"Cure", 140, 165.5}, {"Cool", -1, 60.0}})
	want := `{"columns":["Step","Minutes","°C"],"types":["String","Int32","Double"],"rows":[["Cure",140,165.5],["Cool",-1,60]]}`
	if got := string(sparkplug.AppendJSON(nil, v)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
