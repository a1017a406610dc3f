package observe

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/sparkplug"
)

var t0 = time.Date(2026, 8, 6, 7, 0, 0, 0, time.UTC)

// known are all assertions of the specification.
func known(t *testing.T) map[string]bool {
	t.Helper()
	f, err := os.Open("../testdata/requirements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		id, _, _ := strings.Cut(lines.Text(), "\t")
		ids[id] = true
	}
	if len(ids) != 300 { // 299 and the heading
		t.Fatalf("%d assertions", len(ids))
	}
	return ids
}

func metric(name string, v sparkplug.Value) sparkplug.Metric {
	return sparkplug.Metric{Name: name, Type: v.Type, Value: v, Timestamp: sparkplug.Millis(t0), HasTimestamp: true}
}

func aliased(name string, alias uint64, v sparkplug.Value) sparkplug.Metric {
	m := metric(name, v)
	m.Alias, m.HasAlias = alias, true
	return m
}

// data is a metric as NDATA carries it: no datatype, and the alias alone if it has one.
func data(m sparkplug.Metric) sparkplug.Metric {
	m.Type = sparkplug.Unknown
	if m.HasAlias {
		m.Name = ""
	}
	return m
}

func payload(seq int, ms ...sparkplug.Metric) sparkplug.Payload {
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(t0), HasTimestamp: true, Metrics: ms}
	if seq >= 0 {
		p.Seq, p.HasSeq = uint64(seq), true
	}
	return p
}

func message(typ string, p sparkplug.Payload) Message {
	topic := "spBv1.0/G/" + typ + "/E"
	if typ[0] == 'D' {
		topic += "/D"
	}
	return Message{Topic: topic, Payload: sparkplug.Encode(&p), At: t0}
}

func birth(bdSeq uint8, ms ...sparkplug.Metric) Message {
	return message("NBIRTH", payload(0, append([]sparkplug.Metric{sparkplug.BdSeqMetric(bdSeq, t0),
		metric(sparkplug.NameRebirth, sparkplug.BoolValue(false))}, ms...)...))
}

func death(bdSeq uint8) Message {
	d := sparkplug.NodeDeath(sparkplug.NodeRef{Group: "G", Node: "E"}, bdSeq, t0)
	return Message{Topic: d.Topic, Payload: d.Payload, QoS: d.QoS, At: t0}
}

func published(p sparkplug.Publish) Message {
	return Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, At: t0}
}

var (
	one  = sparkplug.DoubleValue(1)
	temp = aliased("temp", 1, one)
	dev  = aliased("dev", 2, one)
)

// A conformant conversation breaks nothing.
func TestConformant(t *testing.T) {
	o := New(Options{AsPublished: true})
	history := data(temp)
	history.Historical, history.Timestamp = true, 5
	command, err := sparkplug.CommandMessage(sparkplug.MetricView{Group: "G", Node: "E", Device: "D", Name: "dev", Alias: 2, HasAlias: true,
		Type: sparkplug.Double}, one, t0)
	if err != nil {
		t.Fatal(err)
	}
	talk := []Message{
		published(sparkplug.StateMessage("scada", sparkplug.HostState{Online: true, Timestamp: 1})),
		birth(0, temp, metric("plain", sparkplug.StringValue("x"))),
		message("DBIRTH", payload(1, dev)),
		message("NDATA", payload(2, data(temp), history, data(metric("plain", sparkplug.StringValue("y"))))),
		message("DDATA", payload(3, data(dev))),
		published(command),
		published(sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "G", Node: "E"}, t0)),
		birth(0, temp),
		message("DBIRTH", payload(1, dev)),
		message("DDEATH", payload(2)),
		message("DBIRTH", payload(3, dev)),
		death(0), death(0), death(255), // explicit, will, and a late one
		birth(1, temp),
		published(sparkplug.StateMessage("scada", sparkplug.HostState{Online: false, Timestamp: 2})),
		{Topic: sparkplug.CertificatePrefix + "spBv1.0/G/NBIRTH/E", Retain: true},
		{Topic: "other/topic", QoS: 2, Retain: true},
	}
	for i, m := range talk {
		for _, f := range o.Message(m) {
			t.Errorf("message %d, %s: %s %s", i, m.Topic, f.ID, f.Text)
		}
	}
	long := New(Options{})
	long.Message(birth(0, temp))
	for i := 1; i < 600; i++ {
		if f := long.Message(message("NDATA", payload(i%256, data(temp)))); f != nil {
			t.Fatalf("NDATA %d: %v", i, f)
		}
	}
}

// Each message after the good beginning breaks exactly the assertions named.
func TestFindings(t *testing.T) {
	edit := func(m Message, f func(m *Message)) Message { f(&m); return m }
	retained := func(m *Message) { m.Retain = true }
	qos := func(q byte) func(*Message) { return func(m *Message) { m.QoS = q } }
	noStamp := func(seq int, ms ...sparkplug.Metric) sparkplug.Payload {
		p := payload(seq, ms...)
		p.HasTimestamp = false
		return p
	}
	with := func(m sparkplug.Metric, f func(m *sparkplug.Metric)) sparkplug.Metric { f(&m); return m }
	quality := func(v sparkplug.Value) sparkplug.Metric {
		return with(data(temp), func(m *sparkplug.Metric) { m.Properties = []sparkplug.Property{{Key: "Quality", Value: v}} })
	}
	later := with(data(temp), func(m *sparkplug.Metric) { m.Timestamp++ })
	state := func(s string) Message {
		return Message{Topic: "spBv1.0/STATE/h", Payload: []byte(s), QoS: 1, Retain: true, At: t0}
	}
	good := []Message{birth(5, temp, metric("plain", one)), message("DBIRTH", payload(1, dev))}
	tests := []struct {
		name string
		bad  Message
		want string // ids without "tck-id-", space-separated
	}{
		{"seq gap", message("NDATA", payload(3)), "payloads-sequence-num-incrementing"},
		{"seq above 255", message("NDATA", payload(256)), "payloads-sequence-num-incrementing"},
		{"no seq", message("NDATA", payload(-1)), "payloads-sequence-num-always-included"},
		{"data with QoS 1", edit(message("NDATA", payload(2)), qos(1)), "topics-ndata-mqtt"},
		{"data retained", edit(message("DDATA", payload(2)), retained), "topics-ddata-mqtt"},
		{"birth retained", edit(birth(5), retained), "topics-nbirth-mqtt"},
		{"device birth with QoS 2", edit(message("DBIRTH", payload(2, dev)), qos(2)), "topics-dbirth-mqtt"},
		{"device death retained", edit(message("DDEATH", payload(2)), retained), "topics-ddeath-mqtt"},
		{"command retained", edit(message("NCMD", payload(-1)), retained), "topics-ncmd-mqtt topics-ncmd-payload"},
		{"no payload timestamp", message("NDATA", noStamp(2)), "topics-ndata-timestamp"},
		{"no payload timestamp in a death", message("DDEATH", noStamp(2)), "payloads-ddeath-timestamp"},
		{"no payload timestamp in a command", message("DCMD", noStamp(-1)), "topics-dcmd-timestamp topics-dcmd-payload"},
		{"birth with seq 3", message("NBIRTH", payload(3, sparkplug.BdSeqMetric(5, t0), metric(sparkplug.NameRebirth, sparkplug.BoolValue(false)))),
			"topics-nbirth-seq-num"},
		{"birth without bdSeq", message("NBIRTH", payload(0, metric(sparkplug.NameRebirth, sparkplug.BoolValue(false)))), "topics-nbirth-bdseq-included"},
		{"birth without rebirth", message("NBIRTH", payload(0, sparkplug.BdSeqMetric(5, t0))), "topics-nbirth-rebirth-metric"},
		{"rebirth aliased, true, a number", message("NBIRTH", payload(0, sparkplug.BdSeqMetric(5, t0),
			aliased(sparkplug.NameRebirth, 9, sparkplug.Int64Value(sparkplug.Int32, 1)))),
			"operational-behavior-data-commands-rebirth-name-aliases operational-behavior-data-commands-rebirth-datatype operational-behavior-data-commands-rebirth-value"},
		{"bdSeq UInt64", message("NBIRTH", payload(0, metric("bdSeq", sparkplug.Int64Value(sparkplug.UInt64, 5)),
			metric(sparkplug.NameRebirth, sparkplug.BoolValue(false)))), "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq"},
		{"birth metric without a name", birth(5, aliased("", 7, one)), "payloads-alias-birth-requirement"},
		{"birth metric without a datatype", birth(5, with(metric("a", one), func(m *sparkplug.Metric) { m.Type = 0 })), "payloads-metric-datatype-req"},
		{"birth metric of type 20", birth(5, with(metric("a", sparkplug.Value{Null: true}), func(m *sparkplug.Metric) { m.Type = 20 })), "payloads-metric-datatype-value"},
		{"birth metric without a value", birth(5, sparkplug.Metric{Name: "a", Type: 3, Missing: true, Value: sparkplug.Value{Null: true}, Timestamp: sparkplug.Millis(t0), HasTimestamp: true}),
			"operational-behavior-data-publish-nbirth-values"},
		{"birth metric without a timestamp", birth(5, with(metric("a", one), func(m *sparkplug.Metric) { m.HasTimestamp = false })),
			"payloads-name-birth-data-requirement"},
		{"property without a type", birth(5, with(metric("a", one), func(m *sparkplug.Metric) {
			m.Properties = []sparkplug.Property{{Key: "p", Value: sparkplug.Value{Null: true}}}
		})), "payloads-metric-propertyvalue-type-req"},
		{"historical birth metric", birth(5, with(metric("a", one), func(m *sparkplug.Metric) { m.Historical = true })), "topics-nbirth-metrics"},
		{"alias twice in a birth", birth(5, temp, aliased("other", 1, one)), "payloads-alias-uniqueness"},
		{"alias of the node in a device", message("DBIRTH", payload(2, aliased("x", 1, one))), "payloads-alias-uniqueness"},
		{"historical device birth metric", message("DBIRTH", payload(2, with(dev, func(m *sparkplug.Metric) { m.Historical = true }))), "topics-dbirth-metrics"},
		{"name and alias", message("NDATA", payload(2, with(temp, func(m *sparkplug.Metric) { m.Type = 0 }))), "payloads-alias-data-cmd-requirement"},
		{"name in place of the alias", message("NDATA", payload(2, data(metric("temp", one)))), "payloads-alias-data-cmd-requirement"},
		{"unknown alias", message("NDATA", payload(2, data(aliased("", 77, one)))), "topics-nbirth-metric-reqs"},
		{"unknown name", message("DDATA", payload(2, data(metric("zz", one)))), "topics-dbirth-metric-reqs"},
		{"alias of another device", message("DDATA", payload(2, data(temp))), "topics-dbirth-metric-reqs"},
		{"datatype in data", message("NDATA", payload(2, with(data(temp), func(m *sparkplug.Metric) { m.Type = 10 }))), "payloads-metric-datatype-not-req"},
		{"values out of order", message("NDATA", payload(2, later, data(temp))), "operational-behavior-data-publish-nbirth-order"},
		{"quality as a string", message("NDATA", payload(2, quality(sparkplug.StringValue("good")))), "payloads-propertyset-quality-value-type"},
		{"quality 7", message("NDATA", payload(2, quality(sparkplug.Int64Value(sparkplug.Int32, 7)))), "payloads-propertyset-quality-value-value"},
		{"property of type bytes", message("NDATA", payload(2, with(data(temp), func(m *sparkplug.Metric) {
			m.Properties = []sparkplug.Property{{Key: "p", Value: sparkplug.Value{Type: sparkplug.Bytes, Null: true}}}
		}))), "payloads-metric-propertyvalue-type-value"},
		{"death with seq", edit(message("NDEATH", payload(2, sparkplug.BdSeqMetric(5, t0))), qos(1)), "topics-ndeath-seq"},
		{"death with data", edit(message("NDEATH", payload(-1, sparkplug.BdSeqMetric(5, t0), metric("a", one))), qos(1)), "topics-ndeath-payload"},
		{"death without bdSeq", edit(message("NDEATH", payload(-1)), qos(1)), "topics-ndeath-payload"},
		{"death retained", edit(death(5), retained), "payloads-ndeath-will-message-retain"},
		{"command with seq", message("NCMD", payload(0, data(temp))), "payloads-ncmd-seq"},
		{"command by name", message("DCMD", payload(-1, data(metric("dev", one)))), "payloads-alias-data-cmd-requirement"},
		{"command for no metric", message("NCMD", payload(-1, data(metric("zz", one)))), "operational-behavior-data-commands-ncmd-metric-name"},
		{"rebirth request false", message("NCMD", payload(-1, metric(sparkplug.NameRebirth, sparkplug.BoolValue(false)))),
			"operational-behavior-data-commands-ncmd-rebirth-value"},
		{"state as text", state("ONLINE"), "host-topic-phid-birth-payload"},
		{"state with a third key", state(`{"online":false,"timestamp":1,"bdSeq":0}`), "host-topic-phid-death-payload"},
		{"state with QoS 0", edit(state(`{"online":true,"timestamp":1}`), qos(0)), "host-topic-phid-birth-qos"},
		{"state not retained", edit(state(`{"online":false,"timestamp":1}`), func(m *Message) { m.Retain = false }), "host-topic-phid-death-retain"},
		{"device level missing", Message{Topic: "spBv1.0/G/DDATA/E"}, "topic-structure"},
		{"not a payload", Message{Topic: "spBv1.0/G/NDATA/E", Payload: []byte("garbage")}, "payloads-metric-datatype-value-type"},
		{"certificate not retained", Message{Topic: sparkplug.CertificatePrefix + "spBv1.0/G/DBIRTH/E/D"}, "conformance-mqtt-aware-dbirth-mqtt-retain"},
	}
	ids := known(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := New(Options{AsPublished: true})
			for _, m := range good {
				if f := o.Message(m); f != nil {
					t.Fatalf("the good beginning: %v", f)
				}
			}
			var got []string
			for _, f := range o.Message(tt.bad) {
				got = append(got, strings.TrimPrefix(f.ID, "tck-id-"))
				if !ids[f.ID] || f.Text == "" || f.Topic != tt.bad.Topic {
					t.Errorf("finding %+v", f)
				}
			}
			want := strings.Fields(tt.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Findings that take two messages.
func TestSessions(t *testing.T) {
	tests := []struct {
		name string
		talk []Message
		want string // of the last
	}{
		{"bdSeq of the dead session", []Message{birth(5), death(5), birth(5)}, "tck-id-topics-nbirth-bdseq-increment"},
		{"data of a dead node", []Message{birth(5, temp), death(5), message("NDATA", payload(1, data(temp)))}, "tck-id-payloads-ndata-order"},
		{"device birth of a dead node", []Message{birth(5), death(5), message("DBIRTH", payload(1))}, "tck-id-message-flow-device-birth-publish-nbirth-wait"},
		{"data before the device's birth", []Message{birth(5), message("DDATA", payload(1))}, "tck-id-payloads-ddata-order"},
		{"data after the device's death", []Message{birth(5), message("DBIRTH", payload(1)), message("DDEATH", payload(2)), message("DDATA", payload(3))},
			"tck-id-payloads-ddata-order"},
		{"the death of another session", []Message{birth(5, temp), death(4), message("NDATA", payload(1, data(temp)))}, ""},
		{"beginning in the middle", []Message{message("NDATA", payload(77, data(temp)))}, ""},
	}
	ids := known(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := New(Options{})
			var last []Finding
			for _, m := range tt.talk {
				last = o.Message(m)
			}
			switch {
			case tt.want == "" && len(last) > 0, tt.want != "" && (len(last) != 1 || last[0].ID != tt.want || !ids[tt.want]):
				t.Errorf("%v, want %q", last, tt.want)
			}
		})
	}
}

// What is remembered is bounded.
func TestBounds(t *testing.T) {
	o := New(Options{MaxNodes: 3})
	for i := range 10 {
		p := payload(0)
		o.Message(Message{Topic: fmt.Sprintf("spBv1.0/G/NBIRTH/E%d", i), Payload: sparkplug.Encode(&p)})
	}
	if len(o.nodes) != 3 {
		t.Errorf("%d nodes remembered", len(o.nodes))
	}
	o = New(Options{})
	o.Message(birth(0))
	for i := range 3 * maxDevices {
		p := payload((i + 1) % 256)
		o.Message(Message{Topic: fmt.Sprintf("spBv1.0/G/DBIRTH/E/D%d", i), Payload: sparkplug.Encode(&p)})
		if n := o.nodes[sparkplug.NodeRef{Group: "G", Node: "E"}]; len(n.devices) > maxDevices {
			t.Fatalf("%d devices remembered", len(n.devices))
		}
	}
	var ms []sparkplug.Metric
	for range 100 {
		ms = append(ms, sparkplug.Metric{})
	}
	if got := len(o.Message(message("NBIRTH", payload(3, ms...)))); got != maxFindings {
		t.Errorf("%d findings of one message", got)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("spBv1.0/G/NBIRTH/E", birth(0, temp).Payload, byte(0))
	f.Add("spBv1.0/G/DDATA/E/D", message("DDATA", payload(2, data(dev))).Payload, byte(1))
	f.Add("spBv1.0/STATE/h", []byte(`{"online":true,"timestamp":1}`), byte(1))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, qos byte) {
		o := New(Options{AsPublished: true})
		o.Message(birth(5, temp))
		for _, found := range o.Message(Message{Topic: topic, Payload: payload, QoS: qos}) {
			if !strings.HasPrefix(found.ID, "tck-id-") {
				t.Fatalf("%+v", found)
			}
		}
	})
}
