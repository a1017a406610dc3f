package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawRecord draws a record; samples have any series, times, types and qualities.
func drawRecord(rt *rapid.T) Record {
	rec := Record{At: Millis(rapid.Int64Range(-1000, 1<<45).Draw(rt, "at"))}
	switch rec.Kind = rapid.SampledFrom([]Kind{KindSamples, KindSamples, KindSession, KindState, KindEvent, KindSchema}).Draw(rt, "kind"); rec.Kind {
	case KindSamples:
		for range rapid.IntRange(1, 20).Draw(rt, "samples") {
			rec.Samples = append(rec.Samples, drawSample(rt))
		}
	case KindSchema:
		rec.Schema = &Schema{Series: SeriesID(rapid.Uint32().Draw(rt, "series")), Key: SeriesKey{Metric: rapid.String().Draw(rt, "metric")}}
	case KindEvent:
		rec.Event = &Event{Kind: NodeDeath, At: Millis(rapid.Int64().Draw(rt, "event at")), BdSeq: rapid.Int16().Draw(rt, "bdSeq")}
	default:
		rec.Data = bytes.Repeat([]byte{rapid.Byte().Draw(rt, "data")}, rapid.IntRange(1, 3000).Draw(rt, "length"))
	}
	return rec
}

func drawSample(rt *rapid.T) Sample {
	s := Sample{
		Series:     SeriesID(rapid.Uint32Range(0, 1<<32-1).Draw(rt, "series")),
		At:         Millis(rapid.Int64().Draw(rt, "at")),
		Received:   Millis(rapid.Int64().Draw(rt, "received")),
		Quality:    rapid.SampledFrom([]Quality{Good, Good, Bad, Stale, 65535}).Draw(rt, "quality"),
		Historical: rapid.Bool().Draw(rt, "historical"),
		Birth:      rapid.Bool().Draw(rt, "birth"),
		Value:      Value{Type: DataType(rapid.IntRange(0, 40).Draw(rt, "type"))},
	}
	switch v := &s.Value; {
	case rapid.IntRange(0, 5).Draw(rt, "null") == 0:
		v.Null = true
	case v.Type == 9:
		v.Num = uint64(rapid.Uint32().Draw(rt, "float"))
	case v.Type >= 1 && v.Type <= 11 || v.Type == 13:
		v.Num = rapid.Uint64().Draw(rt, "num")
	default:
		if b := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(rt, "bytes"); len(b) > 0 {
			v.Bytes = b
		}
	}
	return s
}

// trim is what a reader from an index gets of records.
func trim(recs []Record, from Index) (out []Record) {
	for _, rec := range recs {
		n := Index(max(1, len(rec.Samples)))
		switch {
		case rec.Index+n <= from:
			continue
		case rec.Index < from:
			rec.Samples = rec.Samples[from-rec.Index:]
			rec.Index = from
		}
		out = append(out, rec)
	}
	return out
}

// TestTwin appends, commits, skips, recycles, reopens and reads at random, and compares with a slice.
func TestTwin(t *testing.T) {
	base := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, fmt.Sprint(round))
		o := Options{SegmentBytes: minSegmentBytes, MaxBytes: minSegmentBytes, TailBytes: 3000, Spares: 1, Files: unsynced{}}
		open := func() *Journal {
			j, err := Open(dir, o)
			if err != nil {
				rt.Fatal(err)
			}
			return j
		}
		j := open()
		defer func() { j.Close() }()
		var appended, durable []Record
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "append", "commit", "recycle", "reopen", "skip", "read"}).Draw(rt, "step") {
			case "append":
				recs := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 10).Draw(rt, "records")
				if _, err := j.Append(0, recs...); errors.Is(err, ErrFull) {
					continue
				} else if err != nil {
					rt.Fatal(err)
				}
				appended = append(appended, recs...)
			case "skip":
				j.Owner("someone").Checkpoint(j.Stats().Last + Index(rapid.IntRange(1, 1000).Draw(rt, "skip")))
			case "recycle":
				j.Owner("someone").Checkpoint(j.Durable())
				if name, ok := j.recycleOldest(o.MaxBytes); ok {
					j.keepSpare(name)
				}
				durable = trim(durable, j.Oldest())
			case "reopen": // Close commits
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				durable, appended = append(durable, appended...), nil
				j = open()
			case "commit":
				if err := j.commit(); err != nil {
					rt.Fatal(err)
				}
				durable, appended = append(durable, appended...), nil
			}
			compareTwin(rt, j, durable)
		}
	})
}

func compareTwin(rt *rapid.T, j *Journal, want []Record) {
	rt.Helper()
	from := j.Oldest()
	if len(want) > 0 {
		from += Index(rapid.IntRange(0, int(j.Durable()-from)).Draw(rt, "from"))
	}
	var got []Record
	r := j.NewReader(from)
	for {
		rec, ok, err := r.TryNext()
		if err != nil {
			rt.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, rec)
	}
	if want = trim(want, from); !reflect.DeepEqual(want, got) { // a difference is worth the slower look
		rt.Fatalf("from %d (-want +got):\n%s", from, cmp.Diff(want, got))
	}
	if !slices.IsSortedFunc(got, func(a, b Record) int { return int(a.Index) - int(b.Index) }) {
		rt.Fatal("indices do not rise")
	}
}
