package uplink

import (
	"math"
	"testing"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/google/go-cmp/cmp"
)

// plantBirth is an NBIRTH as a plant node sends it: aliases, properties, a missing value, a peer's own UInt32 field.
func plantBirth() *sparkplug.Payload {
	unit := sparkplug.Property{Key: "engUnit", Value: sparkplug.StringValue("C")}
	bad := sparkplug.Property{Key: "Quality", Value: sparkplug.Value{Type: sparkplug.Int32, Num: 0}}
	return &sparkplug.Payload{Timestamp: 1000, HasTimestamp: true, Metrics: []sparkplug.Metric{
		sparkplug.BdSeqMetric(9, time.UnixMilli(1000)),
		{Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(true)},
		{Name: "temp", Alias: 3, HasAlias: true, Type: sparkplug.Double, Value: double(20.5), Timestamp: 900, HasTimestamp: true,
			Properties: []sparkplug.Property{unit}},
		{Name: "broken", Type: sparkplug.Double, Value: double(1), Properties: []sparkplug.Property{unit, bad}},
		{Name: "count", Alias: 0, HasAlias: true, Type: sparkplug.UInt32, Field: sparkplug.FieldLong,
			Value: sparkplug.Value{Type: sparkplug.UInt32, Num: 4_000_000_000}, Timestamp: 950, HasTimestamp: true},
		{Name: "never", Type: sparkplug.String, Missing: true, Value: sparkplug.Value{Type: sparkplug.String, Null: true}},
		{Name: "temp", Type: sparkplug.Int8}, // twice: the first counts
	}}
}

// birthLines renders a birth from its bytes: what a host sees.
func birthLines(t *testing.T, p *sparkplug.Payload) (lines []string) {
	t.Helper()
	w, err := wire(sparkplug.Encode(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range w.metrics {
		line := m.name + " " + sparkplug.DataType(m.datatype).String() + " " + m.value
		if m.alias {
			line += " ALIAS"
		}
		if q, ok := m.props["Quality"]; ok {
			line += " quality=" + map[uint64]string{0: "bad", 500: "stale"}[q]
		}
		if _, ok := m.props["engUnit"]; ok {
			line += " unit"
		}
		lines = append(lines, line+" @"+time.UnixMilli(int64(m.ts)).UTC().Format("05.000"))
	}
	return lines
}

func TestBirth(t *testing.T) {
	now := time.UnixMilli(5000)
	for _, tc := range []struct {
		name  string
		birth birth
		then  func(m *model)
		want  []string
	}{
		{"as born", birth{now: now}, nil, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 20.5 unit @00.900",
			"broken Double 1 quality=bad unit @01.000", "count UInt32 4000000000 @00.950", "never String null @01.000"}},
		{"a newer value, one historical, one of another type", birth{now: now}, func(m *model) {
			m.apply("", "temp", &journal.Sample{At: 2000, Quality: journal.Good, Value: journal.Value{Type: 10, Num: math.Float64bits(21)}})
			m.apply("", "count", &journal.Sample{At: 2000, Quality: journal.Good, Value: journal.Value{Type: 3, Num: 1}})
		}, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 21 unit @02.000",
			"broken Double 1 quality=bad unit @01.000", "count UInt32 4000000000 @00.950", "never String null @01.000"}},
		{"a value that is uncertain, one of a code of the device's own", birth{now: now}, func(m *model) {
			m.apply("", "temp", &journal.Sample{At: 2000, Quality: sparkplug.QualityCodeUncertain, Value: journal.Value{Type: 10, Num: math.Float64bits(21)}})
			m.apply("", "count", &journal.Sample{At: 2000, Quality: 7, Value: journal.Value{Type: 7, Num: 1}})
		}, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 21 quality=stale unit @02.000",
			"broken Double 1 quality=bad unit @01.000", "count UInt32 1 quality=stale @02.000", "never String null @01.000"}},
		{"stamped now", birth{now: now, stampNow: true}, nil, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 20.5 unit @05.000",
			"broken Double 1 quality=bad unit @05.000", "count UInt32 4000000000 @05.000", "never String null @05.000"}},
		{"dead", birth{now: now}, func(m *model) { m.nodeDeath(now, "power") }, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 20.5 quality=stale unit @00.900",
			"broken Double 1 quality=stale unit @01.000", "count UInt32 4000000000 quality=stale @00.950", "never String null quality=stale @01.000"}},
		{"a smaller birth while samples are owed", birth{now: now}, func(m *model) {
			m.nodeBirth(&sparkplug.Payload{Metrics: []sparkplug.Metric{{Name: "temp", Type: sparkplug.Double, Value: double(1), Timestamp: 3000, HasTimestamp: true}}}, true, true)
			m.node.former = m.node.former[:0]
			m.node.addFormer("count", sparkplug.UInt32)
			m.node.addFormer("temp", sparkplug.Int8) // it is in the birth
		}, []string{
			"bdSeq Int64 42 @05.000", "Node Control/Rebirth Boolean 0 @05.000", "temp Double 1 @03.000", "count UInt32 null quality=stale @05.000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newModel()
			m.nodeBirth(plantBirth(), true, false)
			if tc.then != nil {
				tc.then(&m)
			}
			p := m.nodeBirthPayload(tc.birth, 42)
			if diff := cmp.Diff(tc.want, birthLines(t, p)); diff != "" {
				t.Error(diff)
			}
			if v, ok := p.Metrics[2].Property("engUnit"); tc.name == "as born" && (!ok || string(v.Bytes) != "C") {
				t.Error("the unit is lost")
			}
		})
	}
}

func TestFormerMetrics(t *testing.T) {
	m := newModel()
	m.nodeBirth(plantBirth(), true, false)
	m.nodeBirth(&sparkplug.Payload{}, true, true)
	if n := len(m.node.former); n != 5 {
		t.Errorf("%d former metrics, want 5", n)
	}
	m.nodeBirth(plantBirth(), true, true)
	if n := len(m.node.former); n != 0 {
		t.Errorf("%d former metrics after all are back", n)
	}
	m.nodeBirth(&sparkplug.Payload{}, true, false)
	if n := len(m.node.former); n != 0 {
		t.Errorf("%d former metrics though nothing is owed", n)
	}
}

func TestWiden(t *testing.T) {
	i := func(typ sparkplug.DataType, n int64) sparkplug.Value { return sparkplug.Int64Value(typ, n) }
	float := func(f float32) sparkplug.Value {
		return sparkplug.Value{Type: sparkplug.Float, Num: uint64(math.Float32bits(f))}
	}
	no := sparkplug.Value{}
	for _, tc := range []struct {
		name string
		from sparkplug.Value
		want sparkplug.Value // without a type: refused
		to   sparkplug.DataType
	}{
		{"same", double(1.5), double(1.5), sparkplug.Double},
		{"null", sparkplug.Value{Type: sparkplug.Int8, Null: true}, sparkplug.Value{Type: sparkplug.String, Null: true}, sparkplug.String},
		{"wider", i(sparkplug.Int8, -5), i(sparkplug.Int64, -5), sparkplug.Int64},
		{"narrower, fits", i(sparkplug.Int64, -128), i(sparkplug.Int8, -128), sparkplug.Int8},
		{"narrower, does not", i(sparkplug.Int64, 128), no, sparkplug.Int8},
		{"negative to unsigned", i(sparkplug.Int8, -1), no, sparkplug.UInt64},
		{"unsigned to signed", i(sparkplug.UInt8, 200), i(sparkplug.Int16, 200), sparkplug.Int16},
		{"unsigned to signed, too large", sparkplug.Value{Type: sparkplug.UInt64, Num: 1 << 63}, no, sparkplug.Int64},
		{"unsigned fits", i(sparkplug.UInt32, 255), i(sparkplug.UInt8, 255), sparkplug.UInt8},
		{"unsigned does not", i(sparkplug.UInt32, 256), no, sparkplug.UInt8},
		{"int to double", i(sparkplug.Int32, -7), double(-7), sparkplug.Double},
		{"int to double, inexact", i(sparkplug.Int64, 1<<53+1), no, sparkplug.Double},
		{"int to double, inexact and negative", i(sparkplug.Int64, -(1<<53 + 1)), no, sparkplug.Double},
		{"uint to double", i(sparkplug.UInt64, 1<<53), double(1 << 53), sparkplug.Double},
		{"uint to double, inexact", i(sparkplug.UInt64, 1<<53+1), no, sparkplug.Double},
		{"float to double", float(0.5), double(0.5), sparkplug.Double},
		{"double to float", double(0.5), no, sparkplug.Float},
		{"string to text", sparkplug.StringValue("x"), sparkplug.Value{Type: sparkplug.Text, Bytes: []byte("x")}, sparkplug.Text},
		{"text to number", sparkplug.StringValue("1"), no, sparkplug.Int32},
		{"bool to int", sparkplug.BoolValue(true), no, sparkplug.Int32},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := widen(tc.from, tc.to)
			if ok != (tc.want.Type != 0) {
				t.Fatalf("ok = %v", ok)
			}
			if diff := cmp.Diff(tc.want, got); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}
