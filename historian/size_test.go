package historian

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

// What a sample takes at rest, files whole, and what was written for it on the way. The goal at rest is 2.6 bytes over a day of
// G1; over this hour the file's own pages, which do not grow with it, weigh more. Bytes are the same on every machine.
func TestBytesPerSample(t *testing.T) {
	r := newRig(t, Options{})
	set := gen.G1
	set.Duration, set.Start = time.Hour, ms(noon)
	src, before := gen.New(set), written()
	for _, k := range src.Keys() {
		r.add(k)
	}
	for sec := 0; ; sec++ {
		list, ok := src.Next()
		if !ok {
			break
		}
		for _, m := range list {
			r.append(journal.Record{Kind: journal.KindSamples, At: m.Received, Samples: m.Samples})
		}
		if sec%600 == 15 && sec > 600 {
			r.clock.Set(noon.Add(time.Duration(sec) * time.Second))
			r.follow()
			r.flush(flushWindows)
		}
	}
	r.clock.Set(noon.Add(time.Hour))
	r.follow()
	r.flush(flushAll)
	st, day := r.s.Stats(), totals{}
	for _, d := range r.s.days.existing(0, 1<<40) { // a scan's jitter may put a sample before noon, none before midnight
		_, day = r.s.days.info(d)
	}
	n := float64(st.SamplesTotal)
	blocks, log := float64(day.blockBytes)/n, float64(r.j.Stats().PayloadBytes)/n
	t.Logf("%d samples: %.3f B each in blocks, %.3f at rest, files whole; %.2f B of journal; %.1f B reached the device",
		st.SamplesTotal, blocks, st.BytesPerSample, log, float64(written()-before)/n)
	if n != 1_012_643 || blocks > 2.3 || st.BytesPerSample > 3.2 || log > 6.4 || st.Late > 0 || st.Duplicates > 0 {
		t.Errorf("%+v", st)
	}
	r.close()
}

// What a sample takes in memory, what slices have grown ahead counted. The goal is 30 MB for 10,000 series with 168 samples each
// in a window, with all that belongs to them.
func TestBytesInMemory(t *testing.T) {
	set := gen.G1
	set.Duration, set.Start = 10*time.Minute, ms(noon)
	src, c := gen.New(set), newCatalog(1000, time.Now)
	for i, k := range src.Keys() {
		c.bind(journal.SeriesID(i+1), k, 0, false)
	}
	h := newHead(10 * 60_000)
	for i := journal.Index(1); ; {
		list, ok := src.Next()
		if !ok {
			break
		}
		for _, m := range list {
			for k := range m.Samples {
				m.Samples[k].Index = i
				h.add(&m.Samples[k], c.get(m.Samples[k].Series))
				i++
			}
		}
	}
	if got := float64(h.bytes) / float64(h.count); h.count < 150_000 || got > 14.5 {
		t.Errorf("%d samples take %.1f bytes each", h.count, got)
	}
}

// written is what this process caused to be written to storage, 0 where that is not counted.
func written() (n int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ = strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return n
}
