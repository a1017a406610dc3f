package journal

import (
	"math"
	"path/filepath"
	"testing"
	"time"
)

// plantMessage is what one device sends in a scan: n metrics by report by exception, one stamp, mixed types.
func plantMessage(n int) Record {
	rec := Record{Kind: KindSamples}
	at := Millis(1_700_000_000_000)
	for i := range n {
		v := Value{Type: 9, Num: uint64(math.Float32bits(float32(i) * 27.648))}
		switch i % 5 {
		case 1:
			v = Value{Type: 10, Num: math.Float64bits(float64(i) * 0.1)}
		case 2:
			v = Value{Type: 4, Num: uint64(1_000_000 + i)}
		case 3:
			v = Value{Type: 11, Num: uint64(i % 2)}
		}
		rec.Samples = append(rec.Samples, Sample{Series: SeriesID(100 + 3*i), At: at - 4, Received: at, Value: v, Quality: Good})
	}
	return rec
}

// BenchmarkAppend appends messages of 50 samples, commits included, and reports what a sample costs.
func BenchmarkAppend(b *testing.B) {
	j, _ := startJournal(b, filepath.Join(b.TempDir(), "j"), Options{})
	rec := plantMessage(50)
	b.ReportAllocs()
	for b.Loop() {
		rec.At = 0
		if _, err := j.Append(250*time.Millisecond, rec); err != nil {
			if err := j.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := j.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	s := j.Stats()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(s.Last), "ns/sample")
	b.ReportMetric(float64(s.PayloadBytes)/float64(s.Last), "bytes/sample")
	b.ReportMetric(float64(s.CommitBytes)/float64(s.Last), "written/sample")
}

// BenchmarkEncode is Append without the disk.
func BenchmarkEncode(b *testing.B) {
	rec := plantMessage(50)
	var entry, body []byte
	b.ReportAllocs()
	for b.Loop() {
		entry, body = appendEntry(entry[:0], body, &rec, rec.At)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*50), "ns/sample")
	b.ReportMetric(float64(len(entry))/50, "bytes/sample")
}

func BenchmarkRead(b *testing.B) {
	j := openJournal(b, filepath.Join(b.TempDir(), "j"), Options{})
	rec := plantMessage(50)
	for range 2000 {
		if _, err := j.Append(0, rec); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.commit(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := j.NewReader(1)
		for {
			if _, ok, err := r.TryNext(); err != nil {
				b.Fatal(err)
			} else if !ok {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100_000), "ns/sample")
}
