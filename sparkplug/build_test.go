package sparkplug

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// [tck-id-topics-ndeath-payload] [tck-id-topics-ndeath-seq] [tck-id-payloads-ndeath-seq] [tck-id-topics-ndeath-topic]
// [tck-id-payloads-ndeath-will-message-qos] [tck-id-payloads-ndeath-will-message-retain]
// [tck-id-message-flow-edge-node-birth-publish-will-message-payload] [tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq]
func TestNodeDeath(t *testing.T) {
	got := NodeDeath(NodeRef{"G", "E"}, 255, time.UnixMilli(5))
	want := raw(t, `
		08 05                // timestamp 5
		12 0e                // metric
		0a 05 62 64 53 65 71 //   name "bdSeq"
		18 05                //   timestamp 5
		20 04                //   datatype Int64
		58 ff 01             //   long_value 255`)
	if !bytes.Equal(got.Payload, want) || got.Topic != "spBv1.0/G/NDEATH/E" || got.QoS != 1 || got.Retain {
		t.Errorf("%+v\n%x\n%x", got, got.Payload, want)
	}
}

// [tck-id-operational-behavior-data-commands-ncmd-rebirth-verb] [tck-id-operational-behavior-data-commands-ncmd-rebirth-name]
// [tck-id-operational-behavior-data-commands-ncmd-rebirth-value] [tck-id-topics-ncmd-topic] [tck-id-topics-ncmd-mqtt]
// [tck-id-topics-ncmd-timestamp] [tck-id-payloads-ncmd-timestamp] [tck-id-payloads-ncmd-seq] [tck-id-payloads-ncmd-qos]
// [tck-id-payloads-ncmd-retain] [tck-id-payloads-name-cmd-requirement]
func TestRebirthRequest(t *testing.T) {
	got := RebirthRequest(NodeRef{"G", "E"}, time.UnixMilli(7))
	p := mustDecode(t, got.Payload)
	want := &Payload{Timestamp: 7, HasTimestamp: true, Metrics: []Metric{{Name: "Node Control/Rebirth", Type: Boolean,
		Field: FieldBoolean, Value: BoolValue(true), Timestamp: 7, HasTimestamp: true}}}
	if d := cmp.Diff(want, p); d != "" || got.Topic != "spBv1.0/G/NCMD/E" || got.QoS != 0 || got.Retain {
		t.Errorf("%+v\n%s", got, d)
	}
	if !IsRebirthRequest(p) || IsRebirthRequest(&Payload{Metrics: []Metric{{Name: NameRebirth, Field: FieldBoolean, Value: BoolValue(false)}}}) {
		t.Error("IsRebirthRequest")
	}
	bare := mustDecode(t, Encode(&Payload{Metrics: []Metric{{Name: NameRebirth, Value: BoolValue(true)}}}))
	if !IsRebirthRequest(bare) {
		t.Error("a request without a datatype, which the text prefers, is not recognised")
	}
}

// [tck-id-host-topic-phid-birth-payload] [tck-id-host-topic-phid-death-payload]
func TestParseState(t *testing.T) {
	tests := []struct {
		in   string
		want HostState
		ok   bool
	}{
		{`{"online":true,"timestamp":1786000000000}`, HostState{true, 1786000000000}, true},
		{` {"timestamp":0, "online":false} `, HostState{false, 0}, true},
		{`{"online":true,"timestamp":1,"bdSeq":3}`, HostState{true, 1}, true},
		{`{"online":"true","timestamp":1}`, HostState{}, false},
		{`{"online":true,"timestamp":"1"}`, HostState{}, false},
		{`{"online":true,"timestamp":1.5}`, HostState{}, false},
		{`{"online":true,"timestamp":-1}`, HostState{}, false},
		{`{"online":true,"timestamp":99999999999999999999}`, HostState{}, false},
		{`{"online":true}`, HostState{}, false},
		{`{"timestamp":1}`, HostState{}, false},
		{`{"online":true,"timestamp":1}{}`, HostState{}, false},
		{`ONLINE`, HostState{}, false},
		{``, HostState{}, false},
		{`null`, HostState{}, false},
	}
	for _, tt := range tests {
		got, err := ParseState([]byte(tt.in))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseState(%s) = %+v, %v", tt.in, got, err)
		}
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"online":true,"timestamp":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := ParseState(in)
		if err != nil {
			return
		}
		if back, err := ParseState(StateMessage("h", s).Payload); err != nil || back != s {
			t.Fatalf("%q -> %+v -> %+v %v", in, s, back, err)
		}
	})
}

func TestBdSeqOf(t *testing.T) {
	tests := []struct {
		name string
		m    Metric
		want int
	}{
		{"int64", BdSeqMetric(7, t0), 7},
		{"uint64", Metric{Name: NameBdSeq, Type: UInt64, Value: Int64Value(UInt64, 255)}, 255},
		{"int32", Metric{Name: NameBdSeq, Type: Int32, Value: Int64Value(Int32, 3)}, 3},
		{"no datatype", Metric{Name: NameBdSeq, Value: Int64Value(Int64, 9)}, 9},
		{"too large", Metric{Name: NameBdSeq, Type: Int64, Value: Int64Value(Int64, 256)}, -1},
		{"negative", Metric{Name: NameBdSeq, Type: Int64, Value: Int64Value(Int64, -1)}, -1},
		{"null", Metric{Name: NameBdSeq, Type: Int64, Value: Value{Null: true}}, -1},
		{"text", Metric{Name: NameBdSeq, Type: String, Value: StringValue("7")}, -1},
		{"another metric", Metric{Name: "x", Type: Int64, Value: Int64Value(Int64, 1)}, -1},
	}
	for _, tt := range tests {
		p := mustDecode(t, Encode(&Payload{Metrics: []Metric{tt.m}}))
		if got := BdSeqOf(p); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// [tck-id-payloads-alias-data-cmd-requirement] [tck-id-operational-behavior-data-commands-ncmd-verb]
// [tck-id-operational-behavior-data-commands-dcmd-verb] [tck-id-operational-behavior-data-commands-ncmd-metric-name]
// [tck-id-operational-behavior-data-commands-dcmd-metric-name] [tck-id-topics-dcmd-topic] [tck-id-topics-dcmd-mqtt]
// [tck-id-topics-dcmd-timestamp] [tck-id-topics-dcmd-payload] [tck-id-topics-ncmd-payload] [tck-id-payloads-dcmd-timestamp]
// [tck-id-payloads-dcmd-seq] [tck-id-payloads-dcmd-qos] [tck-id-payloads-dcmd-retain]
func TestCommandMessage(t *testing.T) {
	tests := []struct {
		name  string
		view  MetricView
		value Value
		topic string // "": refused
		want  Metric
	}{
		{"by name", MetricView{Group: "G", Node: "E", Name: "Speed", Type: Int32}, Int64Value(Int32, -4), "spBv1.0/G/NCMD/E",
			Metric{Name: "Speed", Type: Int32, Field: FieldInt, Value: Int64Value(Int32, -4)}},
		{"by alias", MetricView{Group: "G", Node: "E", Device: "D", Name: "Speed", Type: Double, HasAlias: true}, DoubleValue(2), "spBv1.0/G/DCMD/E/D",
			Metric{HasAlias: true, Type: Double, Field: FieldDouble, Value: DoubleValue(2)}},
		{"control by name", MetricView{Group: "G", Node: "E", Name: NameReboot, Type: Boolean, HasAlias: true, Alias: 4}, BoolValue(true), "spBv1.0/G/NCMD/E",
			Metric{Name: NameReboot, Type: Boolean, Field: FieldBoolean, Value: BoolValue(true)}},
		{"uint32 as the peer sends it", MetricView{Group: "G", Node: "E", Name: "n", Type: UInt32, Field: FieldLong}, Int64Value(UInt32, 5), "spBv1.0/G/NCMD/E",
			Metric{Name: "n", Type: UInt32, Field: FieldLong, Value: Int64Value(UInt32, 5)}},
		{"uint32 in int", MetricView{Group: "G", Node: "E", Name: "n", Type: UInt32, Field: FieldInt}, Int64Value(UInt32, 5), "spBv1.0/G/NCMD/E",
			Metric{Name: "n", Type: UInt32, Field: FieldInt, Value: Int64Value(UInt32, 5)}},
		{"another datatype", MetricView{Group: "G", Node: "E", Name: "n", Type: UInt32}, DoubleValue(5), "", Metric{}},
		{"null", MetricView{Group: "G", Node: "E", Name: "n", Type: UInt32}, Value{Type: UInt32, Null: true}, "", Metric{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := CommandMessage(tt.view, tt.value, t0)
			if (err != nil) != (tt.topic == "") || got.Topic != tt.topic {
				t.Fatalf("%+v, %v", got, err)
			}
			if err != nil {
				return
			}
			tt.want.Timestamp, tt.want.HasTimestamp = Millis(t0), true
			want := &Payload{Timestamp: Millis(t0), HasTimestamp: true, Metrics: []Metric{tt.want}}
			if d := cmp.Diff(want, mustDecode(t, got.Payload)); d != "" || got.QoS != 0 || got.Retain {
				t.Error(d)
			}
		})
	}
}

// A birth of one session is made a birth of another.
// [tck-id-payloads-nbirth-bdseq-repeat] [tck-id-operational-behavior-data-commands-rebirth-name-aliases]
func TestRebuildBirth(t *testing.T) {
	birth := goldenPayloads(t)["nbirth"]
	birth = append(birth, raw(t, "22 02 69 64 2a 02 01 02")...) // uuid "id", body 01 02
	birth = append(birth, raw(t, "38 09")...)                   // a field of an extension
	at := time.UnixMilli(1786000100000)
	out, err := RebuildBirth(birth, Limits{}, BirthEdit{Now: at, Seq: 0, BdSeq: 9, Metric: func(m *Metric) bool {
		if m.Name == "Oven/Temperature" {
			m.Value, m.Timestamp = DoubleValue(200), Millis(at)
		}
		return m.Name != "Oven/Door"
	}, Add: []Metric{{Name: "late", Type: Int32, Value: Value{Type: Int32, Null: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	p, old := mustDecode(t, out), mustDecode(t, birth)
	if p.Timestamp != Millis(at) || p.Seq != 0 || !p.HasSeq || BdSeqOf(p) != 9 || !bytes.Equal(p.Unknown, raw(t, "38 09")) ||
		p.UUID != "id" || !bytes.Equal(p.Body, raw(t, "01 02")) {
		t.Errorf("%+v", p)
	}
	names := ""
	for _, m := range p.Metrics {
		if m.HasAlias {
			t.Errorf("%s still has an alias", m.Name)
		}
		names += m.Name + ";"
	}
	if names != "bdSeq;Node Control/Rebirth;Oven/Temperature;Oven/Setpoint;late;" {
		t.Error(names)
	}
	if d := cmp.Diff(old.Metrics[2].Properties, p.Metrics[2].Properties); d != "" || string(AppendJSON(nil, p.Metrics[2].Value)) != "200" {
		t.Errorf("temperature: %s", d)
	}
	if d := cmp.Diff(old.Metrics[4].Value, p.Metrics[3].Value); d != "" {
		t.Errorf("setpoint: %s", d)
	}
	device, err := RebuildBirth(goldenPayloads(t)["structures"], Limits{}, BirthEdit{Now: at, Seq: 4, BdSeq: -1})
	if err != nil {
		t.Fatal(err)
	}
	p, old = mustDecode(t, device), mustDecode(t, goldenPayloads(t)["structures"])
	if BdSeqOf(p) != -1 || p.Seq != 4 || len(p.Metrics) != len(old.Metrics) {
		t.Errorf("%+v", p)
	}
	for i := range p.Metrics {
		if d := cmp.Diff(old.Metrics[i].Value, p.Metrics[i].Value); d != "" || !p.Metrics[i].HasTimestamp {
			t.Errorf("%s: %s", p.Metrics[i].Name, d)
		}
	}
	if _, err := RebuildBirth([]byte("garbage"), Limits{}, BirthEdit{}); err == nil {
		t.Error("garbage was rebuilt")
	}
}
