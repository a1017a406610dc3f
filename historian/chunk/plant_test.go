package chunk

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

const perDevice = 50

// windows are the first minutes of G1 (20 devices, or fewer), by device and window of ten minutes.
func windows(devices, minutes int) map[[2]int][]journal.Sample {
	set := gen.G1
	set.Metrics, set.Duration = devices*perDevice, time.Duration(minutes)*time.Minute
	out := make(map[[2]int][]journal.Sample)
	index := journal.Index(1)
	for source := gen.New(set); ; {
		messages, ok := source.Next()
		if !ok {
			return out
		}
		for _, m := range messages {
			for _, s := range m.Samples {
				s.Index, s.Value.Bytes = index, bytes.Clone(s.Value.Bytes)
				k := [2]int{m.Device, int(s.At / 600_000)}
				out[k] = append(out[k], s)
				index++
			}
		}
	}
}

// The goal of the format is 2.3 bytes a sample at rest, files whole. These minutes have more doubles than the day.
func TestBytesPerSample(t *testing.T) {
	parts, count := partsOf(t, windows(20, 10))
	sum := 0
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		t.Logf("%-12s %.4f", name, float64(parts[name])/float64(count))
		sum += parts[name]
	}
	rate := float64(sum) / float64(count)
	t.Logf("%d samples, %.3f bytes each", count, rate)
	if count < 100_000 || rate > 2.45 {
		t.Errorf("%.3f bytes a sample over %d samples", rate, count)
	}
}

// partsOf says how many bytes of the blocks each part takes; of values by datatype.
func partsOf(t testing.TB, sets map[[2]int][]journal.Sample) (parts map[string]int, count int) {
	parts = make(map[string]int)
	var e Encoder
	for _, k := range slices.SortedFunc(maps.Keys(sets), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
		block, err := e.Encode(sets[k])
		if err != nil {
			t.Fatal(err)
		}
		count += len(sets[k])
		left := len(block)
		note := func(name string, bytes int) {
			parts[name] += bytes
			left -= bytes
		}
		w := &e.work
		note("slot times", len(w.appendTimes(nil, e.slotAt)))
		note("received", len(w.appendColumn(nil, e.slotReceived)))
		note("indices", len(w.appendColumn(nil, e.slotIndex)))
		for _, c := range e.series {
			note("members", len(w.appendSlots(nil, c.slots, len(e.slotAt))))
			if c.stats {
				note("statistics", len(c.appendStats(nil)))
			}
			own := 0
			if c.anyOffset {
				own = len(w.appendColumn(nil, c.offset))
			}
			note("own times", own)
			note("checksums", 4)
			note("values of "+map[journal.DataType]string{3: "Int32", 4: "Int64", 9: "Float", 10: "Double", 11: "Boolean", 12: "String"}[c.kind],
				len(c.payload)-own-4)
		}
		note("directory", left)
	}
	return parts, count
}

func BenchmarkEncode(b *testing.B) {
	sets := slices.Collect(maps.Values(windows(20, 20)))
	b.ReportAllocs()
	bytes, count := 0, 0
	var e Encoder
	for b.Loop() {
		for _, samples := range sets {
			block, err := e.Encode(samples)
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(block)
			count += len(samples)
		}
	}
	b.ReportMetric(float64(bytes)/float64(count), "B/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count), "ns/sample")
}

func BenchmarkDecode(b *testing.B) {
	var blocks [][]byte
	count := 0
	for _, samples := range windows(5, 20) {
		block, err := Encode(samples)
		if err != nil {
			b.Fatal(err)
		}
		blocks, count = append(blocks, block), count+len(samples)
	}
	b.ReportAllocs()
	var dst []journal.Sample
	for b.Loop() {
		for _, data := range blocks {
			block, err := Parse(data)
			if err != nil {
				b.Fatal(err)
			}
			if dst, err = block.All(dst[:0]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/sample")
}
