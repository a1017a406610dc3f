package chunk

import (
	"maps"
	"slices"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

// classWindows are the windows of one class of signals, in order of time: of the blocks of devices that have nothing else.
func classWindows(class gen.Class, minutes int) (list [][]journal.Sample) {
	of := gen.New(gen.G1)
	sets := windows(20, minutes)
	keys := slices.SortedFunc(maps.Keys(sets), func(a, b [2]int) int { return slices.Compare([]int{a[1], a[0]}, []int{b[1], b[0]}) })
	for _, k := range keys {
		samples := slices.DeleteFunc(sets[k], func(s journal.Sample) bool { return of.Class(s.Series) != class })
		if len(samples) > 0 {
			list = append(list, samples)
		}
	}
	return list
}

// BenchmarkClasses says what each class of signals costs: bytes a sample, time line and directory with it; ns to encode, which reads the
// block again, and ns to read times and numbers.
func BenchmarkClasses(b *testing.B) {
	for class := range gen.Classes {
		b.Run(class.String(), func(b *testing.B) {
			sets := classWindows(class, 30)
			var e Encoder
			var line Timeline
			var block Block
			var c Columns
			var numbers []float64
			var encoding, reading time.Duration
			bytes, count := 0, 0
			for b.Loop() {
				for _, samples := range sets {
					start := time.Now()
					data, err := e.Encode(samples)
					if err != nil {
						b.Fatal(err)
					}
					encoding += time.Since(start)
					bytes, count = bytes+len(data), count+len(samples)
					start = time.Now()
					if err = block.Reset(data); err == nil {
						err = block.Timeline(&line)
					}
					for i := 0; err == nil && i < len(block.Entries); i++ {
						err = block.Columns(i, &line, &c)
						numbers = c.Floats(numbers[:0])
					}
					if err != nil {
						b.Fatal(err)
					}
					reading += time.Since(start)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(bytes)/float64(count), "B/sample")
			b.ReportMetric(float64(encoding.Nanoseconds())/float64(count), "encode-ns/sample")
			b.ReportMetric(float64(reading.Nanoseconds())/float64(count), "read-ns/sample")
		})
	}
}
