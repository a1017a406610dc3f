package sparkplug

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestDecodeAllocs: what comes every second is read into memory that is there.
func TestDecodeAllocs(t *testing.T) {
	quality := liveMix(true)
	for i := range quality.Metrics {
		quality.Metrics[i].Properties = []Property{{Key: "Quality", Value: Int64Value(Int32, 192)}}
		quality.Metrics[i].Unknown = raw(t, "fa 07 01 41")
	}
	for name, p := range map[string]Payload{"by alias": liveMix(true), "by name": liveMix(false), "with quality and unknown fields": quality} {
		data := Encode(&p)
		reused := Payload{Names: NewNames()}
		decode := func() {
			if err := reused.Decode(data, Limits{}); err != nil || len(reused.Metrics) != 20 {
				t.Fatal(err)
			}
		}
		decode()
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// TestStepAllocs: a message of a living node is applied in the memory of outputs that were given back. One that was not given back stays
// as it is.
func TestStepAllocs(t *testing.T) {
	for _, by := range []string{"alias", "name"} {
		p := newPlant(t, Options{})
		payloads := everySeq(p, by)
		m := Message{Topic: "spBv1.0/G/NDATA/E"}
		in := Input{Message: &m}
		seq := uint8(1)
		step := func() Output {
			m.Payload = payloads[seq]
			seq++
			return p.h.Step(in, t0)
		}
		kept := step()
		want := fmt.Sprint(kept.Changed, *kept.Records[0].Sample, *kept.Records[9].Sample)
		p.h.Done(step())
		if n := testing.AllocsPerRun(1000, func() { p.h.Done(step()) }); n > 2 { // what is in a pool may go, and does with the race detector
			t.Errorf("by %s: %v allocations a step, want none as a rule", by, n)
		}
		if got := fmt.Sprint(kept.Changed, *kept.Records[0].Sample, *kept.Records[9].Sample); got != want {
			t.Errorf("by %s: an output that was kept is now\n%s\nbefore\n%s", by, got, want)
		}
		out := step()
		samples := out.Records[:10]
		p.h.Done(out)
		if samples[0].Sample != nil {
			t.Error("what was given back still holds its samples, and their payload")
		}
	}
}

// TestNames: names that share a place, names that are too long to be kept, and a name beyond the limit that is kept all
// come out right.
func TestNames(t *testing.T) {
	p := Payload{Names: NewNames()}
	var ms []Metric
	for i := range 3 * len(p.Names.slots) {
		ms = append(ms, Metric{Name: string(rune('a'+i%26)) + string(bytes.Repeat([]byte{'x'}, i%200)) + string(rune(0x100+i))})
	}
	data := Encode(&Payload{Metrics: ms})
	for range 2 {
		if err := p.Decode(data, Limits{}); err != nil {
			t.Fatal(err)
		}
		for i := range ms {
			if p.Metrics[i].Name != ms[i].Name {
				t.Fatalf("metric %d is %q, want %q", i, p.Metrics[i].Name, ms[i].Name)
			}
		}
	}
	short := Encode(&Payload{Metrics: []Metric{{Name: "abcde"}}})
	if err := p.Decode(short, Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Decode(short, Limits{Name: 4}); err == nil {
		t.Error("a name beyond the limit is let through because it is known")
	}
}

// repeated is a message of the same field over and over.
func repeated(field []byte, n int) []byte { return bytes.Repeat(field, n) }

// inMetric is a payload of one metric with a member of the given number.
func inMetric(num protowire.Number, b []byte) []byte {
	return appendBytes(nil, 2, append([]byte{0x0a, 0x01, 0x6e}, appendBytes(nil, num, b)...))
}

// TestDecodeHostile: whatever comes, memory is a bounded multiple of its bytes, or of what it inflates to.
func TestDecodeHostile(t *testing.T) {
	const times, besides = 128, 256 << 10
	empty := []byte{0x12, 0x00}
	set := repeated([]byte{0x0a, 0x00, 0x12, 0x00}, 100_000)
	table := repeated([]byte{0x22, 0x00}, 150_000)
	members := repeated(empty, 49_000)
	deep := members
	for range 14 {
		deep = append(appendBytes(nil, 2, append([]byte{0x20, 0x13}, appendBytes(nil, 18, deep)...)), 0x28, 0x00)
	}
	inputs := map[string][]byte{
		"empty metrics":            repeated(empty, 50_000),
		"more metrics than may be": repeated(empty, 500_000),
		"names":                    repeated([]byte{0x12, 0x03, 0x0a, 0x01, 0x6e}, 50_000),
		"unknown fields":           repeated([]byte{0x38, 0x01}, 200_000),
		"unknown in each metric":   repeated([]byte{0x12, 0x02, 0x78, 0x01}, 50_000),
		"misfits":                  repeated(raw(t, "12 04 20 01 7a 00"), 50_000),
		"nulls with values":        repeated(raw(t, "12 04 38 01 50 00"), 50_000),
		"a large property set":     appendBytes(nil, 2, appendBytes(nil, 9, set)),
		"the same in pieces":       appendBytes(nil, 2, repeated(appendBytes(nil, 9, []byte{0x0a, 0x00, 0x12, 0x00}), 50_000)),
		"sets in sets":             nestedSets(15),
		"lists of sets":            appendBytes(nil, 2, appendBytes(nil, 9, appendBytes([]byte{0x0a, 0x00}, 2, appendBytes(nil, 10, repeated([]byte{0x0a, 0x00}, 150_000))))),
		"metadata in pieces":       appendBytes(nil, 2, repeated([]byte{0x42, 0x02, 0x08, 0x01}, 5_000)),
		"rows":                     inMetric(17, table),
		"cells":                    inMetric(17, appendBytes(nil, 4, repeated([]byte{0x0a, 0x00}, 150_000))),
		"packed types":             inMetric(17, appendBytes(nil, 3, repeated([]byte{0x01}, 150_000))),
		"columns":                  inMetric(17, repeated([]byte{0x12, 0x00}, 150_000)),
		"members":                  inMetric(18, members),
		"members, 14 deep":         inMetric(18, deep),
		"parameters":               inMetric(18, repeated([]byte{0x1a, 0x00}, 150_000)),
		"templates in templates":   nested(5000),
		"a size that lies":         raw(t, "12 ff ff ff ff 0f 0a 01"),
		"a body":                   appendBytes(nil, 5, make([]byte, 1<<20)),
	}
	for name, data := range inputs {
		t.Run(name, func(t *testing.T) {
			if used := allocated(func() { Decode(data, Limits{}) }); used > uint64(times*len(data)+besides) { //nolint:errcheck // refused or not
				t.Errorf("%d bytes took %d: %d times as many", len(data), used, used/uint64(len(data)))
			}
		})
	}
	const most = 1 << 20
	for _, algorithm := range []string{"DEFLATE", "GZIP"} {
		for _, size := range []int{most, 16 * most} {
			data := bomb(algorithm, size)
			if used := allocated(func() { Decode(data, Limits{Inflated: most}) }); used > uint64(times*len(data)+2*most+besides) { //nolint:errcheck // refused or not
				t.Errorf("%s of %d bytes: %d bytes took %d", algorithm, size, len(data), used)
			}
		}
	}
}

// TestShowHostile: neither does what is shown of a value take more than its bytes allow.
func TestShowHostile(t *testing.T) {
	const times, besides = 512, 256 << 10
	member := appendBytes(nil, 2, nil)
	values := map[string]Value{
		"booleans": {Type: BooleanArray, Bytes: append(raw(t, "00 00 10 00"), make([]byte, 1<<17)...)},
		"strings":  {Type: StringArray, Bytes: make([]byte, 1<<18)},
		"rows":     {Type: DataSet, Bytes: repeated([]byte{0x22, 0x00}, 150_000)},
		"cells":    {Type: DataSet, Bytes: appendBytes(nil, 4, repeated([]byte{0x0a, 0x00}, 150_000))},
		"members":  {Type: Template, Bytes: repeated(member, 49_000)},
		"sets":     {Type: PropertySetList, Bytes: repeated([]byte{0x0a, 0x00}, 150_000)},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			var out []byte
			if used := allocated(func() { out = AppendJSON(nil, v) }); used > uint64(times*len(v.Bytes)+besides) || len(out) < len(v.Bytes)/2 {
				t.Errorf("%d bytes took %d and were shown in %d", len(v.Bytes), used, len(out))
			}
		})
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
