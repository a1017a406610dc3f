package sparkplug

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"edge/proto/sparkplugpb"
)

// fuzzLimits keep a fuzzer's inputs small.
var fuzzLimits = Limits{Metrics: 1000, Inflated: 1 << 16}

// seedPayloads adds what other encoders wrote, and what peers are known to send.
func seedPayloads(f *testing.F) {
	for _, b := range goldenPayloads(f) {
		f.Add(b)
	}
	for _, b := range peerPayloads(f) {
		f.Add(b)
	}
	for _, tt := range peerBytes {
		f.Add(raw(f, tt.hex))
	}
	f.Add(nested(3))
	f.Add(nestedSets(3))
}

// FuzzDecode: whatever comes, no panic, and an error says whether it is malformed or too much. What is read can be shown.
func FuzzDecode(f *testing.F) {
	seedPayloads(f)
	reused := Payload{Names: NewNames()}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data, fuzzLimits)
		again := reused.Decode(data, fuzzLimits)
		if (err == nil) != (again == nil) {
			t.Fatalf("a payload's memory changes what is read: %v, %v", err, again)
		}
		if err != nil {
			if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrPayload) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if d := cmp.Diff(p.Metrics, reused.Metrics, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("a payload's memory changes what is read:\n%s", d)
		}
		for i := range p.Metrics {
			m := &p.Metrics[i]
			AppendJSON(nil, m.Value)
			for _, pr := range m.Properties {
				AppendJSON(nil, pr.Value)
			}
			if m.Metadata != nil {
				if _, err := ParseMetadata(m.Metadata); err != nil {
					t.Fatalf("metadata that was let through: %v", err)
				}
			}
		}
	})
}

// FuzzRoundTrip: what is written again reads the same, unknown fields included, and is written the same once more.
func FuzzRoundTrip(f *testing.F) {
	seedPayloads(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data, fuzzLimits)
		if err != nil || p.Compressed {
			return
		}
		out := Encode(p)
		q, err := Decode(out, fuzzLimits)
		if err != nil {
			t.Fatalf("own encoding refused: %v", err)
		}
		// A value may go out in another field than it came in: the one of its datatype.
		same := cmp.Options{cmpopts.IgnoreFields(Payload{}, "Problems"), cmpopts.IgnoreFields(Metric{}, "Field"),
			cmpopts.IgnoreFields(Property{}, "Field"), cmpopts.EquateEmpty()}
		if d := cmp.Diff(p, q, same); d != "" {
			t.Fatalf("read again (-first +second):\n%s", d)
		}
		if !bytes.Equal(Encode(q), out) {
			t.Fatalf("not stable:\n%x\n%x", out, Encode(q))
		}
		structuresAgain(t, p)
	})
}

// structuresAgain takes structures apart and puts them together.
func structuresAgain(t *testing.T, p *Payload) {
	for i := range p.Metrics {
		switch v := p.Metrics[i].Value; {
		case v.Null:
		case v.Type == Template:
			first, err := ParseTemplate(v, fuzzLimits)
			if err != nil {
				t.Fatalf("a template that was let through: %v", err)
			}
			second, err := ParseTemplate(first.Value(), fuzzLimits)
			if err != nil {
				t.Fatalf("own template refused: %v", err)
			}
			if b := second.Value().Bytes; !bytes.Equal(b, first.Value().Bytes) {
				t.Fatalf("template not stable:\n%x\n%x", first.Value().Bytes, b)
			}
		case v.Type == DataSet:
			first, err := ParseTable(v, fuzzLimits)
			if err != nil {
				t.Fatalf("a data set that was let through: %v", err)
			}
			second, err := ParseTable(TableValue(first), fuzzLimits)
			if d := cmp.Diff(first, second, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Fatalf("data set again: %v\n%s", err, d)
			}
		}
	}
}

// FuzzAgainstGenerated holds the walker against the generated code: what it accepts, that accepts too, with the same content.
func FuzzAgainstGenerated(f *testing.F) {
	seedPayloads(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data, fuzzLimits)
		if err != nil || p.Compressed {
			return
		}
		var pb sparkplugpb.Payload
		if err := proto.Unmarshal(data, &pb); err != nil {
			t.Fatalf("accepted what the generated code refuses: %v", err)
		}
		if p.HasTimestamp != (pb.Timestamp != nil) || p.Timestamp != pb.GetTimestamp() || p.HasSeq != (pb.Seq != nil) || p.Seq != pb.GetSeq() ||
			p.UUID != pb.GetUuid() || !bytes.Equal(p.Body, pb.GetBody()) || len(p.Metrics) != len(pb.Metrics) {
			t.Fatalf("header differs: %+v / %v", p, &pb)
		}
		compareUnknown(t, p.Unknown, &pb)
		for i := range p.Metrics {
			compareMetric(t, &p.Metrics[i], pb.Metrics[i])
		}
	})
}

func compareUnknown(t *testing.T, got []byte, pb proto.Message) {
	t.Helper()
	// The generated code writes the tags anew, in their shortest form; so does this.
	var want []byte
	r := reader{data: got}
	for r.next() {
		_, _, n := protowire.ConsumeTag(r.raw())
		want = append(protowire.AppendVarint(want, r.tag), r.raw()[n:]...)
	}
	if !bytes.Equal(want, pb.ProtoReflect().GetUnknown()) {
		t.Fatalf("unknown fields %x, want %x", want, pb.ProtoReflect().GetUnknown())
	}
}

func compareMetric(t *testing.T, m *Metric, w *sparkplugpb.Payload_Metric) {
	t.Helper()
	if m.Name != w.GetName() || m.HasAlias != (w.Alias != nil) || m.Alias != w.GetAlias() || m.HasTimestamp != (w.Timestamp != nil) ||
		m.Timestamp != w.GetTimestamp() || m.Historical != w.GetIsHistorical() || m.Transient != w.GetIsTransient() ||
		uint32(m.Type) != min(w.GetDatatype(), 255) || (m.Metadata != nil) != (w.Metadata != nil) {
		t.Fatalf("metric differs: %+v / %v", m, w)
	}
	compareUnknown(t, m.Unknown, w)
	if m.Missing != (w.Value == nil && !w.GetIsNull()) {
		t.Fatalf("presence: %+v / %v", m, w)
	}
	if m.Metadata != nil {
		var md sparkplugpb.Payload_MetaData
		if err := proto.Unmarshal(m.Metadata, &md); err != nil || !proto.Equal(&md, w.Metadata) {
			t.Fatalf("metadata %x, want %v: %v", m.Metadata, w.Metadata, err)
		}
	}
	compareValue(t, m.Value, dataType(uint64(w.GetDatatype())), w.ProtoReflect(), w.GetIsNull())
	compareProperties(t, m.Properties, m.PropertiesUnknown, w.GetProperties())
}

func compareProperties(t *testing.T, set []Property, unknown []byte, w *sparkplugpb.Payload_PropertySet) {
	t.Helper()
	if len(set) != min(len(w.GetKeys()), len(w.GetValues())) {
		t.Fatalf("%d properties, want those of %v", len(set), w)
	}
	if w != nil {
		compareUnknown(t, unknown, w)
	}
	for i, p := range set {
		v := w.Values[i]
		if p.Key != w.Keys[i] {
			t.Fatalf("key %q, want %q", p.Key, w.Keys[i])
		}
		compareUnknown(t, p.Unknown, v)
		compareValue(t, p.Value, dataType(uint64(v.GetType())), v.ProtoReflect(), v.GetIsNull())
	}
}

// compareTemplate compares a template down to its members.
func compareTemplate(t *testing.T, v Value, w *sparkplugpb.Payload_Template) {
	t.Helper()
	got, err := ParseTemplate(v, Limits{})
	if err != nil || got.Version != w.GetVersion() || got.Ref != w.GetTemplateRef() || got.IsDefinition != w.GetIsDefinition() ||
		len(got.Metrics) != len(w.Metrics) || len(got.Parameters) != len(w.Parameters) {
		t.Fatalf("template %+v, want %v: %v", got, w, err)
	}
	compareUnknown(t, got.Unknown, w)
	for i := range got.Metrics {
		compareMetric(t, &got.Metrics[i], w.Metrics[i])
	}
	for i, p := range got.Parameters {
		if p.Name != w.Parameters[i].GetName() {
			t.Fatalf("parameter %q, want %v", p.Name, w.Parameters[i])
		}
		compareUnknown(t, p.Unknown, w.Parameters[i])
		compareValue(t, p.Value, dataType(uint64(w.Parameters[i].GetType())), w.Parameters[i].ProtoReflect(), false)
	}
}

func compareTable(t *testing.T, v Value, w *sparkplugpb.Payload_DataSet) {
	t.Helper()
	got, err := ParseTable(v, Limits{})
	if err != nil || !cmp.Equal(got.Columns, w.Columns, cmpopts.EquateEmpty()) || len(got.Types) != len(w.Types) || len(got.Rows) != len(w.Rows) {
		t.Fatalf("data set %+v, want %v: %v", got, w, err)
	}
	for i, row := range got.Rows {
		if len(row) != len(w.Rows[i].Elements) {
			t.Fatalf("row %d: %v, want %v", i, row, w.Rows[i])
		}
		for k, cell := range row {
			typ := Unknown
			if k < len(w.Types) {
				typ = dataType(uint64(w.Types[k]))
			}
			want, ok := wantValue(typ, oneof(w.Rows[i].Elements[k].ProtoReflect()))
			if !ok {
				want = Value{Type: typ, Null: true}
			}
			if !cmp.Equal(cell, want, cmpopts.EquateEmpty()) {
				t.Fatalf("cell %d,%d: %+v, want %+v", i, k, cell, want)
			}
		}
	}
}

// compareValue compares the value that a message of the generated code holds in its oneof.
func compareValue(t *testing.T, got Value, typ DataType, w protoreflect.Message, isNull bool) {
	t.Helper()
	member := oneof(w)
	if isNull || member == nil {
		if !got.Null || got.Type != typ {
			t.Fatalf("%+v, want a null of %s", got, typ)
		}
		return
	}
	if want, ok := wantValue(typ, member); ok {
		if !cmp.Equal(got, want, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		return
	}
	switch x := member.(type) {
	case *sparkplugpb.Payload_Template:
		if typ == Template {
			compareTemplate(t, got, x)
			return
		}
	case *sparkplugpb.Payload_DataSet:
		if typ == DataSet {
			compareTable(t, got, x)
			return
		}
	case *sparkplugpb.Payload_PropertySet, *sparkplugpb.Payload_PropertySetList:
		if typ == PropertySet || typ == PropertySetList {
			compareSets(t, got, x)
			return
		}
	case []byte:
		if typ.IsArray() && got.Type == typ {
			if !bytes.Equal(got.Bytes, x) {
				t.Fatalf("%+v, want %x", got, x)
			}
			return
		}
	}
	if got.Type != Unknown || got.Null {
		t.Fatalf("%+v, want what was sent, as %s does not fit: %v", got, typ, member)
	}
	if want, ok := rawValue(member); ok && !cmp.Equal(got, want, cmpopts.EquateEmpty()) {
		t.Fatalf("%+v, want %+v as it came", got, want)
	}
}

func compareSets(t *testing.T, got Value, member any) {
	t.Helper()
	sets, err := ParseProperties(got, Limits{})
	if err != nil {
		if got.Type == Unknown { // a list where a set was announced
			return
		}
		t.Fatal(err)
	}
	var want []*sparkplugpb.Payload_PropertySet
	switch x := member.(type) {
	case *sparkplugpb.Payload_PropertySet:
		want = append(want, x)
	case *sparkplugpb.Payload_PropertySetList:
		want = x.Propertyset
	}
	if len(sets) != len(want) {
		t.Fatalf("%d sets, want %d", len(sets), len(want))
	}
	for i, set := range sets {
		if len(set) != min(len(want[i].Keys), len(want[i].Values)) {
			t.Fatalf("set %d: %v, want %v", i, set, want[i])
		}
		for k, p := range set {
			compareValue(t, p.Value, dataType(uint64(want[i].Values[k].GetType())), want[i].Values[k].ProtoReflect(), want[i].Values[k].GetIsNull())
		}
	}
}

// oneof returns what the oneof of a message holds; nil for nothing.
func oneof(m protoreflect.Message) any {
	f := m.WhichOneof(m.Descriptor().Oneofs().ByName("value"))
	switch {
	case f == nil:
		return nil
	case f.Message() != nil:
		return m.Get(f).Message().Interface()
	}
	return m.Get(f).Interface()
}

// wantValue says, apart from the codec, what a member of the oneof is as a datatype; ok is false for structures and arrays,
// and where it does not fit.
func wantValue(typ DataType, member any) (v Value, ok bool) {
	integer := func(n uint64, bits int) (Value, bool) {
		signed := int64(n)
		if bits == 32 {
			signed = int64(int32(n))
		}
		switch typ {
		case Int8:
			return Value{Type: typ, Num: uint64(int64(int8(n)))}, true
		case Int16:
			return Value{Type: typ, Num: uint64(int64(int16(n)))}, true
		case Int32:
			return Value{Type: typ, Num: uint64(int64(int32(n)))}, true
		case Int64:
			return Value{Type: typ, Num: uint64(signed)}, true
		case UInt8:
			return Value{Type: typ, Num: n & 0xff}, true
		case UInt16:
			return Value{Type: typ, Num: n & 0xffff}, true
		case UInt32:
			return Value{Type: typ, Num: n & 0xffffffff}, true
		case UInt64, DateTime:
			return Value{Type: typ, Num: n}, true
		case Boolean:
			return BoolValue(n != 0), true
		}
		return Value{}, false
	}
	switch x := member.(type) {
	case uint32:
		return integer(uint64(x), 32)
	case uint64:
		return integer(x, 64)
	case float32:
		switch typ {
		case Float:
			return Value{Type: typ, Num: uint64(math.Float32bits(x))}, true
		case Double:
			return Value{Type: typ, Num: math.Float64bits(float64(x))}, true
		}
	case float64:
		switch typ {
		case Float:
			return Value{Type: typ, Num: uint64(math.Float32bits(float32(x)))}, true
		case Double:
			return Value{Type: typ, Num: math.Float64bits(x)}, true
		}
	case bool:
		return BoolValue(x), typ == Boolean
	case string:
		return Value{Type: typ, Bytes: []byte(x)}, typ == String || typ == Text || typ == UUID
	case []byte:
		return Value{Type: typ, Bytes: x}, typ == Bytes || typ == File
	}
	return Value{}, false
}

// rawValue is a member as it came.
func rawValue(member any) (v Value, ok bool) {
	switch x := member.(type) {
	case uint32:
		return Value{Num: uint64(x)}, true
	case uint64:
		return Value{Num: x}, true
	case float32:
		return Value{Num: uint64(math.Float32bits(x))}, true
	case float64:
		return Value{Num: math.Float64bits(x)}, true
	case bool:
		return Value{Num: boolBits(x)}, true
	case string:
		return Value{Bytes: []byte(x)}, true
	case []byte:
		return Value{Bytes: x}, true
	}
	return Value{}, false
}
